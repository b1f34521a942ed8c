import ast
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mirada import tracking
from mirada.config import EvaluateConfig, TrackingConfig
from mirada.data.images import decode, encode
from mirada.data.records import load_dataset
from mirada.errors import MiradaError
from mirada.evaluation.limits import check_limits
from mirada.evaluation.measuring import decoding_of
from mirada.export.registry import PACKAGE, REQUIREMENTS, compare_on_same_images, decide, modules_of, register_model
from mirada.inference.card import load_card
from mirada.tasks.judging import PLAINLY

FIGURES = {"map50": 0.55, "drop": 0.02, "size_bytes": 3_368_032.0, "latency_ms_p95": 12.5}


def test_limits_that_are_kept_are_no_breach():
    limits = {"min_map50": 0.55, "max_drop": 0.02, "max_size_bytes": 4e6, "max_latency_ms_p95": 20}
    assert check_limits(FIGURES, limits) == [] == check_limits(FIGURES, {})


def test_a_breach_names_figure_and_limit():
    found = check_limits(FIGURES, {"min_map50": 0.6, "max_drop": 0.01, "max_size_bytes": 3_000_000}, "int8")
    assert [breach.sentence for breach in found] == [
        "int8: map50 is 0.55, below the limit min_map50=0.6.",
        "int8: drop is 0.02, above the limit max_drop=0.01.",
        "int8: size_bytes is 3368032, above the limit max_size_bytes=3000000.",
    ]
    assert (found[0].limit, found[0].measured, found[0].allowed) == ("min_map50", 0.55, 0.6)


def test_a_figure_that_is_not_a_number_keeps_no_limit():
    (breach,) = check_limits({"map50": float("nan")}, {"min_map50": 0.1})
    assert breach.sentence == "the model: map50 is not a number, the limit is min_map50."


@pytest.mark.parametrize("limit", ["min_accuracy", "map50", "most_drop"])
def test_a_limit_of_no_figure_is_refused_with_those_known(limit):
    with pytest.raises(
        MiradaError, match=f"limits.{limit} names no figure: .* map50, drop, size_bytes, latency_ms_p95"
    ):
        check_limits(FIGURES, {limit: 1})


@pytest.mark.parametrize(
    ("champion", "drop", "obstacle", "moves", "words"),
    [
        (None, None, None, True, "it is the first"),
        (
            "version 1",
            (-0.02, -0.03, -0.01),
            None,
            True,
            r"better than version 1 \(map50 \+0.0200, .* \+0.0100 to \+0.0300",
        ),
        (
            "version 1",
            (-0.02, -0.05, 0.01),
            None,
            False,
            r"not clearly better \(map50 \+0.0200, .* −0.0100 to \+0.0500",
        ),
        ("version 1", (0.02, 0.01, 0.03), None, False, "version 1 stays champion"),
        ("version 1", (0.0, 0.0, 0.0), None, False, "version 1 stays champion"),  # the very same model
        ("version 1", None, "it takes 224 pixels", False, "version 1 stays champion: it takes 224 pixels"),
        ("version 1", None, None, False, "not measured on the same images"),
    ],
)
def test_the_alias_moves_only_when_the_whole_interval_is_a_gain(champion, drop, obstacle, moves, words):
    decision = decide("map50", champion, drop, obstacle)
    assert decision.moves is moves
    assert re.search(words, decision.reason), decision.reason


def test_the_served_model_takes_no_module_that_needs_more_than_its_requirements():
    files = modules_of("export.pyfunc_model")
    names = {path.relative_to(PACKAGE).as_posix() for path in files}
    assert {"__init__.py", "data/__init__.py", "data/images.py", "export/__init__.py", "inference/card.py"} <= names
    assert not any(name.startswith(("learning", "stages", "config", "tasks", "tracking")) for name in names)
    provides = {"PIL": "pillow", "google": "protobuf", "google_crc32c": "google-crc32c"}
    for path in files:
        for node in ast.parse(path.read_text()).body:  # what runs when the module is imported
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in {module.partition(".")[0] for module in modules} - set(sys.stdlib_module_names):
                assert name in ("mirada", "mlflow") or provides.get(name, name) in REQUIREMENTS, (path, name)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_a_registered_model_answers_without_tensorflow_and_the_champion_stays_or_moves(squares_folder, tmp_path):
    store = TrackingConfig(uri=f"sqlite:///{tmp_path}/mlruns/mlflow.db", experiment="test")
    card, dataset = load_card(squares_folder / "model"), load_dataset(squares_folder / "data")
    config = EvaluateConfig(model_dir="", variants_dir="", data_dir="", output_dir="", bootstrap_samples=50)
    result = _result(card, squares_folder / "model" / "int8.tflite", dataset, config)
    example = next(example for example in dataset.examples("test") if len(example.labels) == 2)
    said = []
    compare = compare_on_same_images(config, dataset, result, PLAINLY)
    for name, its_card in (
        ("float32", replace(card, input_scale=-1 / 127.5, input_offset=1.0)),
        ("int8", card),
        ("int8", card),
    ):
        with tracking.start_run(store):  # the first one sees negatives, and finds nothing
            file = squares_folder / "model" / f"{name}.tflite"
            said.append(register_model(its_card, file, name, FIGURES, compare, example=example.image))
    assert [registered.version for registered in said] == ["1", "2", "3"]
    assert [registered.decision.moves for registered in said] == [True, True, False]
    assert "it is better than version 1 (map50 +" in said[1].sentence
    full = sum(len(example.labels) > 0 for example in dataset.examples("test"))  # only these could show a loss
    end = f"{1 - 0.025 ** (1 / full):.4f}"
    assert f"(map50 +0.0000, 95 % interval −{end} to +{end} on the same images)" in said[2].sentence
    import mlflow

    client = mlflow.MlflowClient(store.uri)
    assert str(client.get_model_version_by_alias("squares", "champion").version) == "2"
    tags = client.get_model_version("squares", "3").tags
    assert tags["moved"] == "false" and tags["reason"].startswith("Version 3: version 2 stays champion")
    _ask_in_a_fresh_process(store.uri, tmp_path, example)


def _result(card, path, dataset, config):
    from mirada.inference.engine import Engine, predict_photographs
    from mirada.tasks import get_task

    engine = Engine(path, card, decoding=decoding_of(config))
    truths, found, _ = predict_photographs({"it": engine}, dataset.whole_photographs("test"))
    return get_task(card.task).evaluate(truths, found["it"], card.labels, PLAINLY)


def _ask_in_a_fresh_process(uri, folder: Path, example):
    image = decode(example.image).repeat(2, axis=0).repeat(2, axis=1)  # twice as big: boxes come in its own pixels
    (folder / "image.png").write_bytes(encode(image, "png"))
    code = (
        "import base64, json, sys, mlflow, pandas as pd\n"
        "data = open('image.png', 'rb').read()\n"
        "model = mlflow.pyfunc.load_model('models:/squares@champion')\n"
        "answers = [model.predict(images, params={'min_score': 0.5})[0] for images in\n"
        "    ([data], pd.DataFrame({'image': [data]}), [base64.b64encode(data).decode()])]\n"
        "assert answers[0] == answers[1] == answers[2]\n"
        "assert not {'tensorflow', 'tf_keras', 'matplotlib', 'hydra'} & set(sys.modules)\n"
        "print(json.dumps(answers[0]))"
    )
    environment = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_DISABLE_TELEMETRY": "true", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])["detections"]
    boxes = np.array(sorted(entry["box"] for entry in found))
    assert boxes == pytest.approx(np.array(sorted((2 * example.boxes_xyxy).tolist())), abs=6)
