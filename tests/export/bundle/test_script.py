import hashlib
from pathlib import Path

import numpy as np
import pytest

from mirada.export.bundle.script import check_files, difference, main, read_sensors, same_objects

RED = {"label": "red", "score": 0.9, "box": [0.0, 0.0, 10.0, 10.0]}


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"score": 0.76}, True),
        ({"score": 0.74}, False),
        ({"label": "blue"}, False),
        ({"box": [0.0, 0.0, 10.0, 8.1]}, True),  # IoU 0.81
        ({"box": [0.0, 0.0, 10.0, 7.9]}, False),
    ],
)
def test_objects_are_the_same_within_what_kernels_may_differ(change, same) -> None:
    assert same_objects({"objects": [RED | change]}, {"objects": [RED]}) is same


def test_an_object_more_counts_where_the_model_is_sure_of_it() -> None:
    for score, same in ((0.39, True), (0.41, False)):
        more = {"objects": [RED, RED | {"label": "blue", "score": score}]}
        assert same_objects(more, {"objects": [RED]}) is same
        assert same_objects({"objects": [RED]}, more) is same


def test_of_a_whole_picture_the_probability_and_the_box_are_compared() -> None:
    wanted = {"label": "dim", "probability": 0.6, "probabilities": {"dim": 0.6, "bright": 0.4}}
    near = {"label": "bright", "probability": 0.54, "probabilities": {"dim": 0.46, "bright": 0.54}}
    far = {"label": "bright", "probability": 0.6, "probabilities": {"dim": 0.4, "bright": 0.6}}
    assert same_objects(near, wanted)
    assert not same_objects(far, wanted)
    assert not same_objects(near | {"box": [0.0, 0.0, 1.0, 1.0]}, wanted | {"box": [5.0, 5.0, 6.0, 6.0]})


def test_differences_are_steps_of_integers_and_shares_of_what_floats_span() -> None:
    wanted = np.array([-128, 0, 127], np.int8)
    assert difference(np.array([-128, 3, 126], np.int8), wanted) == (3.0, 2)
    assert difference(np.array([127, 0, 127], np.int8), wanted) == (255.0, 1)  # no integer runs over
    largest, differing = difference(np.array([0.0, 2.0], np.float32), np.array([0.0, 4.0], np.float32))
    assert (largest, differing) == (0.5, 1)


def test_a_file_that_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
    lines = [f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n" for name in ("a", "b", "c")]
    (tmp_path / "SHA256SUMS").write_text("".join(lines))
    assert check_files(tmp_path) == []
    (tmp_path / "b").write_text("other")
    (tmp_path / "c").unlink()
    assert check_files(tmp_path) == [
        "b is damaged: copy the bundle again.",
        "c is missing: copy the whole bundle again.",
    ]


def test_temperature_and_clock_are_read_where_linux_tells(tmp_path: Path) -> None:
    nothing, cpuinfo = tmp_path / "nothing", tmp_path / "cpuinfo"
    assert read_sensors(tmp_path, nothing) == {"temperature_c": None, "clock_mhz": None}
    cpuinfo.write_text("model name\t: A\ncpu MHz\t\t: 2400.125\ncpu MHz\t\t: 800.0\n")
    assert read_sensors(tmp_path, cpuinfo)["clock_mhz"] == 2400.125
    for number, text in enumerate(("48312\n", "51000\n", "broken")):
        zone = tmp_path / f"class/thermal/thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "temp").write_text(text)
    clock = tmp_path / "devices/system/cpu/cpu0/cpufreq"
    clock.mkdir(parents=True)
    (clock / "scaling_cur_freq").write_text("1500000\n")
    assert read_sensors(tmp_path, cpuinfo) == {"temperature_c": 51.0, "clock_mhz": 1500.0}


def test_a_mistake_is_one_sentence_and_exit_status_1(tmp_path: Path, capsys) -> None:
    assert main(["predict", "a.jpg"], tmp_path) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: ") and len(told.err.splitlines()) == 1
