"""Quantize: `model.keras` in, one `.tflite` a variant, `variants.json` and what int8 does to each layer out.

With a budget of accuracy (`max_drop`), also the variant `best`: the rung of a ladder that keeps within it, or may.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirada import tracking
from mirada.boards.asking import BoardJudge, board_judge
from mirada.config import FLOAT, TUNED, QuantizeConfig
from mirada.config.idle import Facts, tell_idle
from mirada.data.records import Dataset
from mirada.data.stored_data import open_dataset
from mirada.errors import MiradaError
from mirada.files import write_whole, written_aside
from mirada.inference.card import Card, load_card
from mirada.inference.engine import Engine
from mirada.inference.litert import float_operators, gzip_size
from mirada.inference.suitability import check_suits, check_teacher
from mirada.inference.usual import measure_usual
from mirada.inference.variants import choose_variant
from mirada.quantization.budget import (
    Candidate,
    Ladder,
    Rung,
    Validation,
    climb,
    ladder_figures,
    require_val,
    write_ladder,
)
from mirada.quantization.calibration import calibration_images
from mirada.quantization.evidence import LayerEvidence, layer_evidence, write_evidence
from mirada.quantization.layer_plot import plot_layers
from mirada.quantization.on_board import MISSES as BOARD_MISSES
from mirada.quantization.on_board import board_figures
from mirada.quantization.operator_times import time_operators
from mirada.quantization.out_of_fold import OUTCOMES_FILE, write_val_outcomes
from mirada.quantization.terminal import print_board, print_ladder, print_variants
from mirada.quantization.verdict import BEYOND, CANNOT_TELL
from mirada.tables import signed_text
from mirada.tasks import get_task
from mirada.workers.folder_lock import alone_in_output_dir

if TYPE_CHECKING:
    from mirada.learning.quantization.variants import Conversions

BEST = "best"  # the variant that keeps within the budget, whatever rung it came from
_INT8 = ("int8", *TUNED)  # variants without a float operator
_JUDGED = ("int8", "qat")  # those whose layers are looked at, and that the ladder takes up
_EVIDENCE = ("layers.csv", "layers.json", "layers.png")
_LADDER = "ladder.json"
_MISSES: dict[str, tuple[str, ...]] = {
    "warn": (),
    "fail": (BEYOND,),
    "strict": (BEYOND, CANNOT_TELL),
}  # on_miss -> answers
_LOGGED = ("size_bytes", "size_gzip_bytes", "conversion_s")


@alone_in_output_dir
def run(config: QuantizeConfig) -> None:
    """Convert the trained model to every variant of `config.variants`, and climb the ladder where there is a budget.

    Raises:
        MiradaError: an earlier stage is missing, the data do not fit the model, a layer has no int8 scheme, a variant
            that claims int8 holds float operators, or the budget is missed, by what `on_miss` calls a miss.
    """
    card = load_card(config.model_dir)
    dataset = open_dataset(config.data_dir)
    _check(config, card, dataset)
    board = board_judge(config.device) if config.device is not None else None
    if told := tell_idle(config, Facts(card.task)):
        print(told, flush=True)
    if card.run_id:
        tracking.check(config.tracking)
    output_dir = _empty(Path(config.output_dir))
    started = time.perf_counter()
    from mirada.learning.quantization.variants import Conversions

    made = Conversions(config, card, dataset, partial(_report, f"val_{get_task(card.task).main_metric}"), _tell)
    variants = [_convert(made, name, output_dir) for name in config.variants]
    contents = {name: (output_dir / f"{name}.tflite").read_bytes() for name in config.variants if name in _JUDGED}
    ladder, best = None, None
    if config.max_drop is not None:
        ladder, best = _climb(made, contents, variants, output_dir, board)
        variants.append(_write_best(output_dir, best, ladder, variants))
    if board is not None:
        _ask_board(board, variants, output_dir)
    _write_layers(made, contents, best, output_dir)
    usual = _look_at_val(card, dataset, {entry["name"]: output_dir / entry["file"] for entry in variants})
    write_whole(output_dir / "variants.json", json.dumps({"variants": variants} | usual, indent=2) + "\n")
    print_variants(variants)
    if ladder is not None:
        print_ladder(ladder)
    if board is not None:
        print_board(board, variants)
    _track(config, card, variants, ladder, time.perf_counter() - started)
    if ladder is not None and ladder.answer in _MISSES[config.on_miss]:
        raise MiradaError(
            f"{ladder.sentence()} Raise max_drop or qat.epochs, or change the layers that "
            f"{output_dir / 'layers.csv'} blames."
        )
    chosen = choose_variant([entry["name"] for entry in variants])
    record = next(entry.get("board") for entry in variants if entry["name"] == chosen)
    if record and record["answer"] in BOARD_MISSES[config.on_miss]:
        raise MiradaError(f"{chosen}: {record['sentence']}")


def _check(config: QuantizeConfig, card: Card, dataset: Dataset) -> None:
    """Refuse data that the model was not made for."""
    check_suits(card, dataset, config.data_dir, config.model_dir, for_answers=False)
    if not (Path(config.model_dir) / "model.keras").is_file():
        raise MiradaError(
            f"{Path(config.model_dir) / 'model.keras'} is missing: run the train stage first (`dvc repro train`)."
        )
    if config.may_tune and config.qat.teacher not in (None, FLOAT):
        check_teacher("qat.teacher", str(config.qat.teacher), dataset, config.output_dir)
    if config.max_drop is not None:
        require_val(dataset)


def _empty(folder: Path) -> Path:
    """The output folder without what an earlier run left: until all variants are there, there is no list of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for stale in ("variants.json", _LADDER, OUTCOMES_FILE, *_EVIDENCE, "*.tflite", ".part-*"):
        for file in folder.glob(stale):
            file.unlink()
    return folder


def _look_at_val(card: Card, dataset: Dataset, variants: Mapping[str, Path]) -> dict[str, Any]:
    """What the variant that a service takes finds usually, for the list of variants."""
    if not dataset.splits["val"]["images"]:
        return {}
    engine = Engine(variants[choose_variant(list(variants), None)], card)
    return {"usual": measure_usual(engine, dataset.whole_photographs("val"))}


def _convert(made: Conversions, name: str, output_dir: Path) -> dict[str, Any]:
    """Make and write one variant; its entry of `variants.json`."""
    extra = {}
    if name in TUNED:
        extra = {"tuning": made.tuning_figures(name)}  # the training is no part of the conversion's time
    before = time.perf_counter()
    content = made.convert(name)
    entry = _write(output_dir, name, content, time.perf_counter() - before) | extra
    print(f"{name}: {len(content) / 1e6:.2f} MB in {entry['conversion_s']:.1f} s", flush=True)
    return entry


def _report(metric: str, variant: str, epoch: int, figures: dict[str, float]) -> None:
    """One line an epoch."""
    shown = [f"{key.replace('_', ' ', 1)} {figures[key]:.3f}" for key in ("loss", metric) if key in figures]
    shown += [f"{figures['seconds']:.0f} s"] if "seconds" in figures else []
    print(f"{variant} {f'epoch {epoch}' if epoch else 'calibrated'}: {', '.join(shown)}", flush=True)


def _tell(variant: str, text: str) -> None:
    """One line where a tuning found its rate, or went back."""
    print(f"{variant} {text}", flush=True)


def _write(output_dir: Path, name: str, content: bytes, seconds: float) -> dict[str, Any]:
    """Write one variant under its name only when it is what the name says."""
    path = output_dir / f"{name}.tflite"
    with written_aside(path) as part:
        part.write_bytes(content)
        if name in _INT8 and (floats := float_operators(part)):
            raise MiradaError(
                f"The {name} variant still computes in float: {', '.join(floats)}: leave out {name} with "
                "variants=[float32,float16,dynamic], or change these layers."
            )
    return {
        "name": name,
        "file": path.name,
        "size_bytes": len(content),
        "size_gzip_bytes": gzip_size(content),
        "conversion_s": round(seconds, 3),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


# -- the budget --------------------------------------------------------------------------------------------------------


def _climb(
    made: Conversions,
    contents: dict[str, bytes],
    variants: list[dict[str, Any]],
    output_dir: Path,
    board: BoardJudge | None,
) -> tuple[Ladder, Candidate]:
    """Try what `config.ladder` allows, and write `ladder.json`."""
    from mirada.learning.quantization.ladder import Candidates

    config, float32 = made.config, output_dir / "float32.tflite"
    assert config.max_drop is not None
    judge = Validation(
        made.card, made.dataset, output_dir, float32, config.seed, config.max_drop, board.record if board else None
    )
    ladder = Ladder(judge.task.main_metric, config.max_drop, len(judge.photographs), judge.reference)
    seconds = {entry["name"]: entry["conversion_s"] + entry.get("tuning", {}).get("seconds", 0) for entry in variants}
    candidates = Candidates(made, contents, seconds, float32, judge, ladder)
    best = climb(
        ladder,
        candidates.ready(),
        iter(candidates),
        judge.measure,
        prefer=config.prefer,
        until=config.climb_until,
        report=_report_rung,
    )
    write_ladder(ladder, output_dir / _LADDER)
    write_val_outcomes(output_dir / OUTCOMES_FILE, judge.seen(ladder.best))
    return ladder, best


def _report_rung(rung: Rung) -> None:
    """One line a rung."""
    drop, low, high = map(signed_text, (rung.drop, rung.drop_low, rung.drop_high))
    answer = rung.answer.replace("_", " ")
    print(
        f"ladder, {rung.rung} ({rung.what}): drop {drop} [{low}, {high}], {answer}, in {rung.minutes:.1f} min",
        flush=True,
    )


def _write_best(output_dir: Path, best: Candidate, ladder: Ladder, variants: list[dict[str, Any]]) -> dict[str, Any]:
    """Write the variant `best`; `of` is the variant that it is the same file as, if there is one."""
    entry = _write(output_dir, BEST, best.content, 60 * ladder.find(best.rung).minutes)
    same = next((variant["name"] for variant in variants if variant["sha256"] == entry["sha256"]), None)
    return entry | {"rung": best.rung, "of": same, "answer": ladder.answer}


def _ask_board(board: BoardJudge, variants: list[dict[str, Any]], output_dir: Path) -> None:
    """Add to each entry of `variants.json` what it takes of the device."""
    for entry in variants:
        entry["board"] = board.record((output_dir / entry["file"]).read_bytes())


# -- the layers --------------------------------------------------------------------------------------------------------


def _write_layers(made: Conversions, contents: dict[str, bytes], best: Candidate | None, output_dir: Path) -> None:
    """Write what int8 does to each layer of int8 and qat, and of best where it is neither."""
    count = made.config.evidence_images
    judged = dict(contents)
    if best is not None and best.content not in contents.values():
        judged[BEST] = best.content
    if count == 0 or not judged:
        return
    images = list(calibration_images(made.dataset, made.choose_balanced(count)))
    rows: list[LayerEvidence] = []
    notes = {}
    for name, content in judged.items():
        tuned = name == "qat" or (name == BEST and best is not None and best.kind.startswith("qat"))
        truth = made.tuned_network if tuned else made.network
        times = time_operators(content)
        rows += layer_evidence(name, content, truth.opened, images, made.card, times.alone)
        notes[name] = times.sentence
        print(f"{name}: {times.sentence[0].lower()}{times.sentence[1:]}", flush=True)
    write_evidence(rows, output_dir, notes)
    (output_dir / "layers.png").write_bytes(plot_layers(rows))


# -- what MLflow keeps --------------------------------------------------------------------------------------------------


def _track(
    config: QuantizeConfig, card: Card, variants: list[dict[str, Any]], ladder: Ladder | None, seconds: float
) -> None:
    output_dir = Path(config.output_dir)
    with tracking.resume_run(config.tracking, card) as mlflow_run:
        metrics = {"quantize_seconds": seconds} | (ladder_figures(ladder) if ladder else {})
        metrics |= board_figures({entry["name"]: entry["board"] for entry in variants if "board" in entry})
        for variant in variants:
            metrics |= {f"{variant['name']}/{key}": variant[key] for key in _LOGGED}
            metrics |= {f"{variant['name']}/{key}": value for key, value in variant.get("tuning", {}).items()}
            mlflow_run.log_artifacts(output_dir / variant["file"], "quantize")
        mlflow_run.log_metrics(metrics)
        mlflow_run.log_params({f"quantize.{key}": value for key, value in _settings(config).items()})
        if ladder is not None:
            mlflow_run.set_tags({"ladder.best": ladder.best, "ladder.answer": ladder.answer})
        for written in ("variants.json", _LADDER, OUTCOMES_FILE, *_EVIDENCE):
            if (output_dir / written).is_file():
                mlflow_run.log_artifacts(output_dir / written, "quantize")


def _settings(config: QuantizeConfig) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "variants": ",".join(config.variants),
        "calibration_images": config.calibration_images,
        "seed": config.seed,
        "max_drop": config.max_drop,
    }
    if config.device is not None:
        settings |= {"device": config.device.name}
    if config.max_drop is not None:
        settings |= {"ladder": ",".join(config.ladder), "float_layers": config.float_layers, "on_miss": config.on_miss}
        settings |= {"climb_until": config.climb_until, "prefer": config.prefer}
    sections = {"qat": config.may_tune, "fine_tune": bool({"pruned", "clustered"} & {*config.variants})}
    sections |= {"pruning": "pruned" in config.variants, "clustering": "clustered" in config.variants}
    for name in (name for name, used in sections.items() if used):
        settings |= {f"{name}.{key}": value for key, value in asdict(getattr(config, name)).items()}
    return settings
