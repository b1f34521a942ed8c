"""Files that are left out or mended."""

from __future__ import annotations

from collections import Counter

from mirada.data.annotations import reject
from mirada.inspection.checks.files import find_left_out, find_odd, find_refusals, find_repaired
from tests.inspection.surveys import box, image, seen, survey


def test_left_out_by_reason_with_the_objects_that_go_with_them() -> None:
    made = survey(*(image(f"{n}.jpg") for n in range(97)))
    made.rejected = {
        reject("x.jpg", "image_unreadable", 3),
        reject("y.jpg", "image_unreadable", 1),
        reject("z.jpg", "in_no_list"),
    }
    broken, chosen = find_left_out(made)
    assert (broken.id, broken.severity, broken.count) == ("left_out.image_unreadable", "warning", 2)
    assert broken.sentence == "2 files left out as image_unreadable, with 4 objects."
    assert "export it again" in broken.mend and [example.source for example in broken.examples] == ["x.jpg", "y.jpg"]
    assert (chosen.severity, chosen.sentence) == ("note", "1 file left out as in_no_list.")
    made.rejected = {reject(f"{n}.png", "image_unreadable") for n in range(6)}
    assert [finding.severity for finding in find_left_out(made)] == ["error"]  # 6 of 103


def test_repairs_are_counted_and_shown() -> None:
    made = survey(
        image("a.jpg", box(0, 0, 9, 9), repairs=("box_clipped", "box_clipped")), image("b.jpg", repairs=("box_empty",))
    )
    made.repairs, made.books = Counter({"box_clipped": 2, "box_empty": 1}), {"found": 2}
    clipped, lost = find_repaired(made)
    assert clipped.sentence == "Boxes that reached out of their image were cut to it: 2 times (box_clipped)."
    assert (clipped.count, clipped.severity, clipped.examples[0].source) == (2, "note", "a.jpg")
    assert (
        lost.sentence == "1 object lost in 1 image, each a box without area (box_empty)." and lost.severity == "warning"
    )


def test_odd_pixels() -> None:
    looks = {"deep.png": seen(mode="I;16"), "print.jpg": seen(mode="CMYK"), "cut.png": seen(mode="RGBA")}
    found = {finding.id: finding for finding in find_odd(survey(*(image(name) for name in looks), looks=looks))}
    assert set(found) == {"odd.deep", "odd.cmyk", "odd.transparent"}
    assert found["odd.deep"].severity == "warning" and found["odd.deep"].sentence.startswith(
        "1 image (33 % of the images)"
    )


def test_what_preprocess_would_refuse_is_an_error() -> None:
    made = survey(image("a.jpg"))
    made.refusals = ["Class 'cat' is empty."]
    [finding] = find_refusals(made)
    assert finding.severity == "error" and finding.sentence.endswith("Class 'cat' is empty.")
