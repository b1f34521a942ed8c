"""Which detection is of which object, worked out by hand."""

from mirada.tasks.matching import confusion_matrix, match_image
from tests.tasks.test_average_precision import A, B, C, found, truth


def test_an_object_is_found_once_by_the_best_detection_of_its_label() -> None:
    assert match_image(truth([A]), found([A, A], [0.9, 0.8])) == ([(0, 0)], [1])
    # A better one of another label waits until those of the label have had their turn.
    assert match_image(truth([A]), found([A, A], [0.9, 0.8], [1, 0])) == ([(1, 0)], [0])


def test_what_is_left_over_is_matched_across_labels() -> None:
    assert match_image(truth([A, B], [0, 1]), found([A, B], [0.9, 0.8], [1, 1])) == ([(1, 1), (0, 0)], [])
    assert match_image(truth([A]), found([A, A], [0.9, 0.8], [1, 1])) == ([(0, 0)], [1])


def test_a_detection_takes_the_object_that_it_overlaps_most_from_half_on() -> None:
    near = [[0, 0, 10, 7], [0, 0, 10, 9]]
    assert match_image(truth(near), found([A], [0.9])) == ([(0, 1)], [])
    assert match_image(truth([A]), found([[0, 0, 10, 5]], [0.9])) == ([(0, 0)], [])
    assert match_image(truth([A]), found([[0, 0, 10, 4.9]], [0.9])) == ([], [0])


def test_a_detection_half_inside_an_ignore_box_of_its_label_counts_for_nothing() -> None:
    image = truth([[5, 0, 50, 50], B], ignore=[True, False])
    assert match_image(image, found([A, B], [0.9, 0.8])) == ([(1, 1)], []), "objects keep their place in the truth"
    assert match_image(image, found([[0, 0, 9.9, 10]], [0.9])) == ([], [0]), "4.9 of 9.9 columns lie inside"
    assert match_image(image, found([A], [0.9], [1])) == ([], [0]), "another label"
    assert match_image(truth([[0, 0, 50, 50]], ignore=[True]), found([B, C], [0.9, 0.8])) == ([], [1])


def test_the_confusion_counts_what_was_missed_and_what_is_nothing() -> None:
    truths = [truth([A, B, C], [0, 1, 1]), truth([A], [0], ignore=[True])]
    said = [found([A, B, [200, 0, 210, 10], C], [0.9, 0.8, 0.7, 0.4], [0, 0, 1, 1]), found([B], [0.5], [0])]
    assert confusion_matrix(truths, said, 2, 0.5).tolist() == [[1, 0, 0], [1, 0, 1], [1, 1, 0]]
