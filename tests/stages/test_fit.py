"""A search for a board: refusals before anything trains, where nothing fits, and a small one from end to end."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from PIL import Image

from mirada.boards.tflm import allocate
from mirada.cli import explain
from mirada.config import FitConfig, parse
from mirada.errors import MiradaError
from mirada.evaluation.runtimes import Runtimes
from mirada.export.bundle.assembly import assemble
from mirada.fitting.plan import Trained
from mirada.fitting.space import Candidate
from mirada.stages import fit
from mirada.stages.fitting.outcome import ROWS, add_row, note_failure, row_of
from mirada.stages.fitting.shipping import compare_accuracy
from mirada.stages.fitting.workshop import Finished, Workshop
from mirada.sweeps.compose import qualify
from mirada.sweeps.fit_settings import FitSettings, compose_fit
from mirada.tables import Table
from tests.cards import CARD

pytest.importorskip("tflite_micro")
CONF = Path(__file__).resolve().parents[2] / "conf"
SMALL = [
    "data=shapes", "data.source.images=24", "data.source.size=64", "data.split.kind=ratio", "data.split.val=0.25",
    "space.model=[tiny]", "space.input_size=[64,512]", "space.channels=[1]", "space.width=[8]", "space.head_depth=[1]",
    "space.head_stride=[16]", "epochs=1", "tracking.enabled=false", "evidence_images=0", "calibration_images=4",
    "ladder=[calibration]", "bootstrap_samples=20", "latency_runs=2", "corruptions=0", "pictures=1",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _hydra() -> Iterator[None]:
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        yield


def composed(folder: Path, *words: str, small: list[str] = SMALL) -> tuple[FitConfig, FitSettings]:
    own = [f"output_dir={folder / 'out'}", f"store_dir={folder / 'store'}"]
    given = [word.replace("tracking.", "train.tracking.") for word in (*small, *words)]
    arguments = qualify([*given, *own], FitConfig)
    config = parse(compose("fit", overrides=arguments))
    return config, compose_fit(config, arguments)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["device.limits.arena_bytes=10000000"], "is more than the 524,288 bytes of RAM that Espressif ESP32-S3 has"),
        (["device=ethos_u55_128", "npu_milliseconds=null"], "device=ethos_u55_128 sets no limit: ram_bytes belongs to"),
        (["short_epochs=5"], "short_epochs=5 is more than train.epochs=1"),
        (["data.split.val=0", "data.split.kind=ratio"], "has no validation images, which candidates are chosen by"),
        (
            ["data.split.test=0"],
            "has no test images, on which the chosen one is tested at the end: set data.split.test",
        ),
        (["data.source.size=640", "data.source.images=8", "space.input_size=[32]"], "less than a cell of 16"),
    ],
)
def test_what_would_end_in_nothing_is_refused_before_anything_trains(
    tmp_path: Path, words: list[str], sentence: str
) -> None:
    with pytest.raises(MiradaError) as refused:
        fit.run(*composed(tmp_path, *words))
    assert sentence in str(refused.value)
    assert not list(tmp_path.rglob("model.keras"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["device=none"], "fit needs a board: device=esp32s3, or another file of conf/device"),
        (["device.limits.arena_bytes=0"], "device.limits.arena_bytes must be at least 1, got 0"),
        (["minutes=0.001"], "minutes must be at least 1, got 0.001"),
    ],
)
def test_bad_input_is_refused_while_it_is_read(tmp_path: Path, words: list[str], sentence: str) -> None:
    with pytest.raises(MiradaError, match=sentence):
        composed(tmp_path, *words)


def test_a_value_of_the_space_without_brackets_is_told_how_to_be_written(tmp_path: Path) -> None:
    with pytest.raises(HydraException) as refused:
        composed(tmp_path, "space.width=16")
    assert explain(refused.value) == "space.width is a list: write space.width=[16]."


def test_rungs_with_float_operators_are_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(MiradaError, match="quantize.ladder holds selective, qat_selective, whose float operators take"):
        fit.run(*composed(tmp_path, "ladder=[calibration,selective,qat,qat_selective]"))
    assert not (tmp_path / "out").exists() and not (tmp_path / "store").exists()


@pytest.mark.slow
def test_the_bundle_takes_what_was_judged_before_training_and_what_does_not_fit_is_not_trained(tmp_path: Path) -> None:
    config, settings = composed(tmp_path, "device.limits.arena_bytes=60000")
    fit.run(config, settings)
    out = tmp_path / "out"
    told = json.loads((out / "fit.json").read_text())
    assert told["values"]["input_size"] == 64
    assert (told["trained"], told["unfit"], told["unfit_trained"]) == (1, 1, 0)
    assert allocate(out / "bundle" / "model.tflite").total == told["untrained"]["arena_bytes"] <= 60_000
    assert 0 <= told["untrained"]["flash_bytes"] - (out / "bundle" / "model.tflite").stat().st_size < 1000
    assert told["budget"]["sentence"] in told["said"] and told["budget"]["max_drop"] == 0.01
    assert told["verdict"]["answer"] == "fits" and "to the byte" in " ".join(told["said"])
    assert all((out / name).is_file() for name in ("fit.csv", "pareto.png", "memory.png", "evaluate/index.html"))
    beside = told["board_accuracy"]
    assert beside["images"] == beside["of"] == beside["equal"] > 0 and beside["tflm"] == beside["reference"]
    judged = json.loads((out / "evaluate" / "metrics.json").read_text())["best"]  # of the bundle's file
    assert judged["arena_bytes"] == told["untrained"]["arena_bytes"]
    assert judged["flash_bytes"] == (out / "bundle" / "model.tflite").stat().st_size


@pytest.mark.slow
def test_where_nothing_fits_the_nearest_miss_and_a_board_that_carries_it_are_named(tmp_path: Path) -> None:
    with pytest.raises(MiradaError, match="Nothing of this space fits .* nearest is tiny 64 grey") as nothing:
        fit.run(*composed(tmp_path, "device.limits.arena_bytes=9000"), sweep_dir=str(tmp_path))
    note_failure(tmp_path, "esp32s3", "", nothing.value)
    assert "18,304 of 9,000 bytes of arena" in str(nothing.value)
    assert "the smallest board that would carry it is" in str(nothing.value)
    assert json.loads((tmp_path / ROWS).read_text())[0]["candidate"] == "nothing fits"


def test_a_classifier_in_strips_is_judged_as_it_is_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mirada.learning.quantization.untrained import untrained_int8  # TensorFlow takes seconds

    for number in range(16):
        image = Image.effect_noise((48, 48), 20 + number)
        (tmp_path / "raw" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        image.save(tmp_path / "raw" / "ab"[number % 2] / f"{number}.png")
    plain: list[int] = []

    def finish(self: Workshop, candidate: Candidate, epochs: int) -> Finished:  # what quantize and export do, untrained
        data = self.dataset(candidate.input_size, candidate.channels)
        variant, bundle = tmp_path / "best.tflite", tmp_path / "out" / "bundle"
        model = candidate.configure(self.settings.models[candidate.model])
        made = (data.task, candidate.input_size, candidate.channels, len(data.classes))
        variant.write_bytes(untrained_int8(model, *made, io="uint8"))
        plain.append(allocate(variant).total)
        card = replace(CARD, input_size=candidate.input_size, channels=candidate.channels, labels=data.classes)
        bundle.mkdir()
        content, _ = assemble(variant, card, "best", self.config.device, self.config.io, "", strips=self.config.strips)
        (bundle / "model.tflite").write_bytes(content)
        accuracy = compare_accuracy(Runtimes("best", 0, 0.0, Table([], [])), card, "test", 3, "tflm")
        rung = {"rung": "int8", "drop": 0.0, "drop_low": 0.0, "drop_high": 0.1}
        ladder = {
            "best": "int8",
            "max_drop": 0.01,
            "answer": "cannot tell",
            "sentence": "Four images can't.",
            "rungs": [rung],
        }
        figures = {"best": {"accuracy": 0.75}, "float32": {"accuracy": 0.8}}
        return Finished(figures, ladder, None, bundle, 0.625, accuracy)

    monkeypatch.setattr(Workshop, "finish", finish)
    monkeypatch.setattr(Workshop, "train_shortly", lambda self, candidate, epochs: Trained(0.5, 1.0))
    config, settings = composed(
        tmp_path, "data=folder", f"data.path={tmp_path / 'raw'}", "data.name=noise", "data.split.val=0.25", "strips=true",
        "space.model=[mcu]", "space.input_size=[64]", "space.stem_stride=[2]", "space.stem_width=[8]",
        "space.multiplier=[0.25]", "space.blocks=[1]", small=SMALL[4:],
    )  # fmt: skip
    fit.run(config, settings)
    out = tmp_path / "out"
    told = json.loads((out / "fit.json").read_text())
    assert allocate(out / "bundle" / "model.tflite").total == told["untrained"]["arena_bytes"] < plain[0]
    assert "to the byte as judged before training" in " ".join(told["said"]) and told["val"] == 0.625
    peak = told["untrained"]["peak"]
    assert peak.startswith("The peak is at operator ") and peak in (out / "fit.csv").read_text()
    assert [path.name[:19] for path in (out / "memory").iterdir()] == ["mcu-64-grey-width-8"]


def test_a_sweep_has_a_line_for_each_board_and_settings_the_last_one_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, _ = composed(tmp_path)
    other = replace(config.device, name="other")
    add_row(tmp_path, row_of(config.device, None, None, None, None, "too small", "device=esp32s3 minutes=9"), "mAP50")
    add_row(tmp_path, row_of(other, None, 0.5, 0.01, None, "more", "device=other minutes=9"), "mAP50")
    add_row(tmp_path, row_of(config.device, None, 0.25, 0.0, None, "again", "device=esp32s3 minutes=9"), "mAP50")
    rows = json.loads((tmp_path / ROWS).read_text())
    assert [(row["board"], row["accuracy"]) for row in rows] == [("other", "0.500"), ("esp32s3", "0.250")]
    assert "other: more\nesp32s3: again" in capsys.readouterr().out
    note_failure(tmp_path, "esp32s3", "device=esp32s3 minutes=9 seed=1", MiradaError("no disk"))
    rows = json.loads((tmp_path / ROWS).read_text())
    assert [row["candidate"] for row in rows] == ["nothing fits", "nothing fits", "failed"]
    assert "esp32s3: again\nesp32s3 seed=1: no disk" in capsys.readouterr().out


def test_every_job_of_a_sweep_has_a_folder_and_a_line_also_those_refused(tmp_path: Path) -> None:
    words = ["-m", "data=shapes", "minutes=0.5,0.25", "device=esp32s3,none", f"hydra.sweep.dir={tmp_path}"]
    done = subprocess.run(
        [sys.executable, "src/fit.py", *words], capture_output=True, text=True, cwd=CONF.parent, timeout=300
    )
    assert done.returncode == 1
    rows = json.loads((tmp_path / ROWS).read_text())
    assert [(row["board"], row["next_better"]) for row in rows] == [
        ("esp32s3", "minutes must be at least 1, got 0.5; set minutes to 1 or more."),
        ("none", "fit needs a board: device=esp32s3, or another file of conf/device."),
        ("esp32s3", "minutes must be at least 1, got 0.25; set minutes to 1 or more."),
        ("none", "fit needs a board: device=esp32s3, or another file of conf/device."),
    ]
    assert {path.name for path in tmp_path.glob("[0-9]*")} == {"0_esp32s3", "1_none", "2_esp32s3", "3_none"}
