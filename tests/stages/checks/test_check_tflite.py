"""The command on files of all kinds: what it says, what it writes, how it exits."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mirada.config import CheckTfliteConfig
from mirada.errors import MiradaError
from mirada.stages.checks import check_tflite
from tests.quantization.foreign.drafts import Draft, convolution, image

SCRIPT = Path(__file__).resolve().parents[3] / "src" / "check_tflite.py"


def flawed(path: Path) -> Path:
    """An int8 file whose bias has the wrong scale (error) and which takes float (note)."""
    draft = Draft()
    first, source = draft.tensor("first", (1, 4, 4, 2), "FLOAT32"), image(draft)
    draft.step("QUANTIZE", [first], [source])
    return draft.write(path / "flawed.tflite", [first], [convolution(draft, source, bias_scale=0.004)])


def test_an_int8_file_of_ours_passes(squares_folder, tmp_path, capsys):
    path = squares_folder / "model" / "int8.tflite"
    check_tflite.run(CheckTfliteConfig(path=str(path), output_dir=str(tmp_path)))
    said = capsys.readouterr().out
    assert "int8.tflite: Whole int8" in said and "LiteRT loads it" in said
    told = json.loads((tmp_path / "findings.json").read_text())
    assert told["whole"] and told["counts"]["error"] == 0 and told["layers"] == []
    assert {p.name for p in tmp_path.iterdir()} == {"findings.json", "index.html"}


def test_a_twin_adds_the_error_of_each_layer(squares_folder, tmp_path, capsys):
    model = squares_folder / "model"
    config = CheckTfliteConfig(
        path=str(model / "int8.tflite"),
        twin=str(model / "float32.tflite"),
        data_dir=str(squares_folder / "data"),
        images=3,
        fail_on="never",
        output_dir=str(tmp_path),
    )
    check_tflite.run(config)
    told = json.loads((tmp_path / "findings.json").read_text())
    assert len(told["layers"]) > 3 and (tmp_path / "layers.csv").is_file()
    assert "output_error" in [finding["code"] for finding in told["findings"]]
    assert "Measured on 3 images of" in capsys.readouterr().out.replace("\n", " ")
    assert "data:image/png" in (tmp_path / "index.html").read_text()


@pytest.mark.parametrize(("fail_on", "count"), [("error", 1), ("never", 0)])
def test_it_fails_on_what_it_is_told_to_after_all_is_written(tmp_path, fail_on, count):
    config = CheckTfliteConfig(path=str(flawed(tmp_path)), fail_on=fail_on, output_dir=str(tmp_path / "out"))
    if count:
        with pytest.raises(
            MiradaError, match=r"^flawed.tflite: 1 finding as grave as fail_on=error, see .*index.html\.$"
        ):
            check_tflite.run(config)
    else:
        check_tflite.run(config)
    assert (tmp_path / "out" / "index.html").is_file()


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    config = CheckTfliteConfig(path=str(flawed(tmp_path)), output_dir=str(tmp_path / "file"))
    with pytest.raises(MiradaError, match=r"^output_dir=.*file can't be written \(File exists\): choose another\.$"):
        check_tflite.run(config)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fail_on": "never ever"}, "fail_on must be one of"),
        ({"images": 0}, "images must be at least 1"),
        ({"twin": "a.tflite"}, "twin and data_dir belong together"),
        ({"mean": 1.0}, "mean and std belong together"),
        ({"mean": 1.0, "std": 0.0}, "std must be"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, words):
    with pytest.raises(MiradaError, match=words):
        CheckTfliteConfig(path="a", output_dir="b", **changes)


def test_the_command_exits_with_1_and_one_line(tmp_path):
    path = flawed(tmp_path)
    for file, words in (
        (path, "1 finding as grave"),
        (tmp_path, "is a folder"),
        (tmp_path / "no", "there is no such file"),
    ):
        done = subprocess.run(
            [sys.executable, str(SCRIPT), f"path={file}", f"output_dir={tmp_path / 'out'}"],
            capture_output=True, text=True, cwd=tmp_path, check=False,
        )  # fmt: skip
        assert done.returncode == 1 and words in done.stderr, done.stderr
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert len(json.loads((tmp_path / "out" / "findings.json").read_text())["findings"]) >= 2
