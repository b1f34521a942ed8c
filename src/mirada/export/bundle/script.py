"""What `run.py` of a bundle does: predict, selftest and benchmark. `single_file` makes the file of this module."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from mirada.data.images import load_input
from mirada.errors import MiradaError
from mirada.inference.boxes import iou_matrix
from mirada.inference.card import Card, load_card
from mirada.inference.engine import Answer, Engine
from mirada.inference.litert import Model, measure_latencies
from mirada.inference.prediction import Classification, Decoding, Detections, Localization
from mirada.inference.tiling import Viewing

MODEL, SUMS, GOLDEN = "model.tflite", "SHA256SUMS", "golden"
PLAIN_SCORE = 0.25  # what a bundle's expected objects begin with, whatever score the card shows things from
BOUND_STEPS = 16  # of an 8-bit output, by which kernels of another processor may differ
BOUND_FLOAT = 1e-3  # likewise of a float output, as a share of what it spans
_SURE, _SAME_IOU, _SAME_SCORE = 0.4, 0.8, 0.15  # objects are compared from this score on, and are the same within these


def describe(answer: Answer, card: Card) -> dict[str, Any]:
    """What was found, as JSON: numbers in full, boxes in pixels of the picture."""
    found = answer.prediction
    told: dict[str, Any] = {"width": answer.width, "height": answer.height, "view": answer.view, "tiles": answer.tiles}
    if isinstance(found, Detections):
        rows = zip(found.labels.tolist(), found.scores.tolist(), found.boxes_xyxy.tolist(), strict=True)
        told["objects"] = [{"label": card.labels[label], "score": score, "box": box} for label, score, box in rows]
        return told
    assert isinstance(found, Classification)
    told["label"], told["probability"] = card.labels[found.label], found.probability
    told["probabilities"] = dict(zip(card.labels, found.probabilities.tolist(), strict=True))
    if isinstance(found, Localization):
        told["box"] = found.box_xyxy.tolist()
    return told


def read_pixels(picture: Path | bytes, card: Card) -> np.ndarray:
    """A picture as the network sees it where it is looked at as a whole: (S, S, C) uint8."""
    return load_input(
        picture, card.input_size, card.fit, channels=card.channels, enhance=card.enhance, transpose=True,
        depth_range=card.depth_range,
    )[0]  # fmt: skip


def same_objects(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether two descriptions of a picture mean the same, as kernels of two processors may say it."""
    if "objects" in wanted:
        return _all_there(found["objects"], wanted["objects"]) and _all_there(wanted["objects"], found["objects"])
    if abs(found["probabilities"][wanted["label"]] - wanted["probability"]) > _SAME_SCORE:
        return False
    return "box" not in wanted or _iou(found["box"], wanted["box"]) >= _SAME_IOU


def _all_there(these: Sequence[Mapping[str, Any]], those: Sequence[Mapping[str, Any]]) -> bool:
    return all(
        any(
            one["label"] == other["label"]
            and abs(one["score"] - other["score"]) <= _SAME_SCORE
            and _iou(one["box"], other["box"]) >= _SAME_IOU
            for other in those
        )
        for one in these
        if one["score"] >= _SURE
    )


def _iou(a: Sequence[float], b: Sequence[float]) -> float:
    return float(iou_matrix(np.array([a], np.float32), np.array([b], np.float32))[0, 0])


def difference(found: np.ndarray, wanted: np.ndarray) -> tuple[float, int]:
    """Largest difference of two tensors, in steps of 8 bits or as a share of what floats span; how many values differ."""
    apart = np.abs(found.astype(np.float64) - wanted.astype(np.float64))
    if wanted.dtype.kind == "f":
        apart /= max(float(np.ptp(wanted)), 1e-6)
    return float(apart.max(initial=0)), int(np.count_nonzero(found != wanted))


# -- selftest


def check_files(folder: Path) -> list[str]:
    """Sentences about files of SHA256SUMS that are missing or damaged."""
    faults = []
    for line in (folder / SUMS).read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        path = folder / name
        if not path.is_file():
            faults.append(f"{name} is missing: copy the whole bundle again.")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            faults.append(f"{name} is damaged: copy the bundle again.")
    return faults


def selftest(folder: Path, threads: int, reference: int) -> dict[str, Any]:
    """Run the golden pictures, and hold input, outputs and objects against those of the bundle.

    Args:
        folder: the bundle.
        threads: of an inference.
        reference: so many pictures also by the reference kernels, which must give the same bytes.
    """
    if faults := check_files(folder):
        return {"passed": False, "exact": False, "faults": faults}
    card = load_card(folder)
    expected = json.loads((folder / GOLDEN / "expected.json").read_text(encoding="utf-8"))
    engine = Engine(folder / MODEL, card, decoding=Decoding(score_floor=PLAIN_SCORE), threads=threads)
    plain = Model(folder / MODEL, card, reference=True) if reference else None
    rows = []
    for number, entry in enumerate(expected):
        rows.append(_test_picture(folder, engine, entry, plain if number < reference else None))
    return _judge(rows)


def _test_picture(folder: Path, engine: Engine, entry: Mapping[str, Any], plain: Model | None) -> dict[str, Any]:
    path = folder / GOLDEN / entry["picture"]
    answer = engine.predict(path, viewing=Viewing(entry["view"]))
    told = describe(answer, engine.card)
    row: dict[str, Any] = {"picture": entry["picture"], "objects_equal": told == entry["found"]}
    row["objects_same"] = row["objects_equal"] or same_objects(told, entry["found"])
    if entry["tensors"] is None:
        return row
    pixels, wanted = read_pixels(path, engine.card), np.load(folder / GOLDEN / entry["tensors"])
    row |= {"input_equal": True, "values": 0, "differing": 0, "largest": 0.0, "bound": BOUND_STEPS}
    row["input_equal"] = bool(np.array_equal(engine.model.to_tensor(pixels), wanted["input"]))
    engine.model.set_image(pixels)
    engine.model.invoke()
    for name, found in engine.model.read_tensors().items():
        largest, differing = difference(found, wanted[f"output/{name}"])
        row["largest"] = max(row["largest"], largest)
        row["differing"] += differing
        row["values"] += found.size
        row["bound"] = BOUND_FLOAT if found.dtype.kind == "f" else BOUND_STEPS
    if plain is not None:
        plain.set_image(pixels)
        plain.invoke()
        found_plain = plain.read_tensors()
        row["reference_equal"] = all(np.array_equal(found_plain[n], wanted[f"reference/{n}"]) for n in found_plain)
    return row


def _judge(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    with_tensors = [row for row in rows if "largest" in row]
    report: dict[str, Any] = {
        "pictures": len(rows),
        "inputs_equal": sum(row["input_equal"] for row in with_tensors),
        "objects_equal": sum(row["objects_equal"] for row in rows),
        "objects_same": sum(row["objects_same"] for row in rows),
        "largest_difference": max((row["largest"] for row in with_tensors), default=0.0),
        "bound": max((row["bound"] for row in with_tensors), default=0),
        "differing_share": sum(r["differing"] for r in with_tensors) / max(1, sum(r["values"] for r in with_tensors)),
        "reference_equal": [row["reference_equal"] for row in with_tensors if "reference_equal" in row],
    }
    faults = [f"{row['picture']}: the input is another one." for row in with_tensors if not row["input_equal"]]
    faults += [f"{row['picture']}: other objects were found." for row in rows if not row["objects_same"]]
    faults += [
        f"{row['picture']}: an output differs by {row['largest']:g}, more than {row['bound']:g}."
        for row in with_tensors
        if row["largest"] > row["bound"]
    ]
    faults += [
        f"{row['picture']}: the reference kernels give other bytes."
        for row in with_tensors
        if row.get("reference_equal") is False and row["bound"] != BOUND_FLOAT  # floats round as the compiler likes
    ]
    exact = not faults and report["differing_share"] == 0 and report["objects_equal"] == len(rows)
    return {"passed": not faults, "exact": exact, **report, "faults": faults}


# -- benchmark


def benchmark(folder: Path, threads: int, runs: int, warmup: int) -> dict[str, Any]:
    """Times of an inference alone, as the evaluate stage takes them, and of a whole picture from file to objects."""
    card = load_card(folder)
    expected = json.loads((folder / GOLDEN / "expected.json").read_text(encoding="utf-8"))
    before = read_sensors()
    model = Model(folder / MODEL, card, threads)
    pixels = read_pixels(folder / GOLDEN / expected[0]["picture"], card)
    times = measure_latencies({MODEL: model}, pixels, runs, warmup)[MODEL]
    engine, picture = Engine(folder / MODEL, card, threads=threads), folder / GOLDEN / expected[-1]["picture"]
    answers = [
        engine.predict(picture, viewing=Viewing(expected[-1]["view"])) for _ in range(max(3, min(10, runs // 10)))
    ]
    totals = [answer.timings_ms["total"] for answer in answers[1:]]
    return {
        "model_sha256": hashlib.sha256((folder / MODEL).read_bytes()).hexdigest(),
        "threads": threads,
        "runs": runs,
        "warmup": warmup,
        "latency_ms": _spread(times),
        "load_ms": model.load_ms,
        "picture": {"file": picture.name, "view": answers[0].view, "tiles": answers[0].tiles, **_spread(totals)},
        "before": before,
        "after": read_sensors(),
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            **{name: version(name) for name in ("ai-edge-litert", "numpy", "pillow")},
        },
    }


def _spread(times_ms: Sequence[float] | np.ndarray) -> dict[str, float]:
    p50, p95 = np.percentile(times_ms, (50, 95))
    return {"p50": float(p50), "p95": float(p95), "mean": float(np.mean(times_ms)), "least": float(np.min(times_ms))}


def read_sensors(system: Path = Path("/sys"), cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, float | None]:
    """Highest temperature, and clock of the first processor, where Linux tells; None where it does not."""
    zones = sorted(system.glob("class/thermal/thermal_zone*/temp"))
    temperatures = [value / 1000 for zone in zones if (value := _number_in(zone)) is not None]
    kilohertz = _number_in(system / "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")
    clock = _clock_in(cpuinfo) if kilohertz is None else kilohertz / 1000
    return {"temperature_c": max(temperatures, default=None), "clock_mhz": clock}


def _number_in(path: Path) -> float | None:
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return None


def _clock_in(cpuinfo: Path) -> float | None:
    """The first 'cpu MHz', which virtual machines have where they have no other."""
    try:
        return next(
            float(line.split(":")[1]) for line in cpuinfo.read_text().splitlines() if line.startswith("cpu MHz")
        )
    except (OSError, ValueError, StopIteration):
        return None


# -- the command


def _predict(folder: Path, wanted: argparse.Namespace) -> dict[str, Any]:
    viewing = Viewing(wanted.view, wanted.tile, wanted.overlap)
    card = load_card(folder)
    least = card.min_score if wanted.min_score is None else wanted.min_score
    decoding = Decoding(score_floor=least, max_detections=wanted.max_detections)
    engine = Engine(folder / MODEL, card, viewing, decoding, wanted.threads)
    told: dict[str, Any] = {}
    for picture in wanted.pictures:
        answer = engine.predict(Path(picture))
        told[picture] = describe(answer, engine.card) | {"left_out": answer.left_out, "timings_ms": answer.timings_ms}
    return told


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the model of this bundle; the answer is JSON on stdout.")
    commands = parser.add_subparsers(dest="command", required=True)
    predict = commands.add_parser("predict", help="what the model finds in pictures")
    predict.add_argument("pictures", nargs="+", metavar="PICTURE")
    predict.add_argument("--min-score", type=float, help="leave out what scores less; else min_score of model.json")
    predict.add_argument("--max-detections", type=int, help="of a picture, the best")
    predict.add_argument("--view", default="auto", help="auto (as the training saw pictures), whole or tiles")
    predict.add_argument("--tile", type=int, help="side of a tile in pixels of the picture")
    predict.add_argument("--overlap", type=float, help="share of a tile's side that neighbours have in common")
    selftest = commands.add_parser(
        "selftest", help="whether this machine answers as the bundle says; exit status 1 if not"
    )
    selftest.add_argument("--reference", type=int, default=1, help="so many pictures by the reference kernels, too")
    benchmark = commands.add_parser("benchmark", help="how long an inference takes here")
    benchmark.add_argument("--runs", type=int, default=100, help="timed inferences")
    benchmark.add_argument("--warmup", type=int, default=10, help="inferences before those")
    for command in (predict, selftest, benchmark):
        command.add_argument(
            "--threads", type=int, default=1, help="threads of an inference; for tiles inferences at a time"
        )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None, folder: Path | None = None) -> int:
    """Do what the command line says, print JSON, and return the exit status."""
    wanted, folder = _parse(arguments), folder or Path(__file__).resolve().parent
    try:
        if wanted.command == "predict":
            report = _predict(folder, wanted)
        elif wanted.command == "selftest":
            report = selftest(folder, wanted.threads, wanted.reference)
        else:
            report = benchmark(folder, wanted.threads, max(1, wanted.runs), max(0, wanted.warmup))
    except (MiradaError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(report, indent=2))  # ASCII, so that every console takes it
    return 0 if report.get("passed", True) else 1
