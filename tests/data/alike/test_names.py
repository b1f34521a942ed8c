from mirada.data.alike.names import neighbours, originals, scenes

DIGEST = "22e3b1a3dcde3ddeec431595634ca3b9"
OTHER = "45f082d316e735d2a177db027cafb878"


def test_versions_of_one_original_are_found_across_splits_but_not_across_classes() -> None:
    names = [
        f"train/images/a_jpg.rf.{DIGEST}.jpg",
        f"valid/images/a_jpg.rf.{OTHER}.jpg",
        f"train/images/b_jpg.rf.{DIGEST}.jpg",
        "train/images/a_jpg.jpg",
    ]
    assert originals(names) == {"/a_jpg": [names[0], names[1]]}
    assert originals([f"train/cat/1_jpg.rf.{DIGEST}.jpg", f"train/dog/1_jpg.rf.{OTHER}.jpg"]) == {}


def test_frames_are_of_one_scene_unless_all_are() -> None:
    names = ["street_frame_0001.jpg", "street_frame_0002.jpg", "park-frame7.jpg", "park-frame8.jpg", "cat.jpg"]
    assert scenes(names) == {"/street": names[:2], "/park": names[2:4]}
    assert scenes(names[:2]) == {}


def test_neighbours_have_near_numbers_in_one_series() -> None:
    names = ["a/IMG_7.jpg", "a/IMG_8.jpg", "a/IMG_12.jpg", "b/IMG_9.jpg", "a/x8.jpg", "a/cat.jpg"]
    assert neighbours(names) == [("a/IMG_7.jpg", "a/IMG_8.jpg")]
    assert neighbours(["a/IMG_9.jpg", "a/IMG_11.jpg"]) == [("a/IMG_9.jpg", "a/IMG_11.jpg")]
