"""Everything that is known of where a model fails: gathered, and told in figures, tables and plots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import Progress

from mirada.config import EvaluateConfig
from mirada.data.images import load_input
from mirada.data.records import Dataset
from mirada.evaluation.measuring import Measured, decoding_of, open_crew
from mirada.evaluation.pictures import Picture
from mirada.evaluation.weaknesses.conditions import Group, conditions_table, group_objects, plot_conditions
from mirada.evaluation.weaknesses.corruptions import STRENGTHS
from mirada.evaluation.weaknesses.reliability import (
    Reliability,
    measure_reliability,
    plot_reliability,
    reliability_table,
)
from mirada.evaluation.weaknesses.robustness import (
    CONDITIONS,
    Robustness,
    measure_robustness,
    pick_examples,
    plot_robustness,
    robustness_table,
)
from mirada.evaluation.weaknesses.saliency import draw_saliency, explain
from mirada.evaluation.weaknesses.scenes import scenes_of
from mirada.inference.card import Card
from mirada.inference.litert import Model
from mirada.inference.prediction import Classification
from mirada.inference.variants import REFERENCE
from mirada.tables import Table
from mirada.tasks import get_task
from mirada.tasks.average_precision import operating_point
from mirada.tasks.pictures import scaled_canvas

_PANEL = 320  # side of a drawn image in pixels
_POINT = ("precision", "recall", "f1")
_OF_DETECTION = ("side", "overlap", "occlusion", "flag")


@dataclass
class Weaknesses:
    """Where float32 and the variant beside it fail.

    Attributes:
        classes: variant -> label -> its figures, of every variant.
        groups: objects by size, crowding, occlusion and flag; empty but for detection.
        reliability: variant -> how far its certainty is to be trusted.
        min_score: detection: the card's, which was chosen on validation images.
        operating: variant -> precision, recall and F1 on this split from that score on; empty but for detection.
        robustness: what corruption costs; None where it was not asked for or nothing is to be found.
        saliency: pictures of what a classifier looks at, the worst images first; empty but for such.
    """

    classes: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)
    reliability: dict[str, Reliability] = field(default_factory=dict)
    min_score: float = 0.0
    operating: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    robustness: Robustness | None = None
    saliency: list[Picture] = field(default_factory=list)

    def figures(self) -> dict[str, dict[str, Any]]:
        """Variant -> kind -> what -> figures, as `weaknesses.json` has them."""
        rows: dict[str, dict[str, Any]] = {name: {"class": row} for name, row in self.classes.items()}
        for group in self.groups:
            for name in group.found:
                row = {"recall": group.recall(name), "objects": group.objects}
                row |= {"ap50": group.ap50[name]} if group.ap50 else {}
                rows[name].setdefault(group.by, {})[group.name] = row
        for name, known in self.reliability.items():
            rows[name]["calibration"] = {"ece": known.error, "excess": known.excess}
        for name, point in self.operating.items():
            rows[name]["at_min_score"] = {"min_score": self.min_score} | dict(zip(_POINT, point, strict=True))
        if found := self.robustness:
            for name, clean in found.clean.items():
                corrupted = {
                    f"{kind} {STRENGTHS[strength]}": row[name] for (kind, strength), row in found.metrics.items()
                }
                rows[name]["corruption"] = {"clean": clean} | corrupted | {"mean_drop": found.mean_drop[name]}
            if found.beside and found.mean_extra:
                ends = ("mean_extra", "mean_extra_low", "mean_extra_high")
                rows[found.beside]["corruption"] |= dict(zip(ends, found.mean_extra, strict=True))
        return rows

    def tables(self) -> dict[str, Table | None]:
        """What is told by group, 'operating', 'reliability' and 'robustness', as far as there is something to tell."""
        points = [[name, *(f"{value:.3f}" for value in point)] for name, point in self.operating.items()]
        return {by: conditions_table(self.groups, by) for by in _OF_DETECTION} | {
            "operating": Table(["variant", "precision", "recall", "F1"], points) if points else None,
            "reliability": reliability_table(self.reliability) if self.reliability else None,
            "robustness": robustness_table(self.robustness) if self.robustness else None,
        }

    def plots(self, metric_name: str, *, dark: bool = False) -> dict[str, bytes]:
        """'side', 'overlap', 'occlusion', 'reliability' and 'robustness' as PNGs, as far as there is something to show."""
        plots = {}
        for by in ("side", "overlap", "occlusion"):
            if any(group.by == by for group in self.groups):
                plots[by] = plot_conditions(self.groups, by, dark=dark)
        if self.reliability:
            plots["reliability"] = plot_reliability(self.reliability, dark=dark)
        if self.robustness:
            plots["robustness"] = plot_robustness(self.robustness, metric_name, dark=dark)
        return plots


def flatten_figures(figures: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Nested figures as '<variant>/<kind>/<what>/<figure>' -> number, with what MLflow allows in a name."""
    flat: dict[str, float] = {}
    for key, value in figures.items():
        name = prefix + "".join(sign if sign.isalnum() or sign in "_-. " else "_" for sign in str(key))
        flat |= flatten_figures(value, f"{name}/") if isinstance(value, Mapping) else {name: float(value)}
    return flat


def find_weaknesses(
    config: EvaluateConfig,
    card: Card,
    dataset: Dataset,
    variants: Mapping[str, Path],
    measured: Measured,
    shown: str | None,
    progress: Progress,
) -> Weaknesses:
    """Look at float32 and at the variant that the report is about; the classes of all.

    Args:
        config: of the stage.
        card: of the model.
        dataset: that it is measured on.
        variants: name -> file.
        measured: what they found.
        shown: the variant beside float32; None: float32 alone.
        progress: bars for what takes time.
    """
    task, truths, results = get_task(card.task), measured.truths, measured.results
    names = [REFERENCE, *([shown] if shown and shown != REFERENCE else [])]
    found = {name: measured.predictions[name] for name in names}
    told: dict[str, Reliability] = {}
    for name in names:
        known = measure_reliability(*task.certainty(truths, found[name], results[name]), task.least_certainty)
        told |= {name: known} if known else {}
    crew = open_crew(card, {name: variants[name] for name in names})
    robustness = None
    if config.corruptions:
        examples = pick_examples(dataset, config.split, config.corruptions)
        bar = progress.add_task("corruptions", total=len(examples) * (1 + len(CONDITIONS)))
        robustness = measure_robustness(
            crew, examples, scenes_of(dataset, config.split, examples), task, decoding_of(config),
            config.bootstrap_samples, config.seed, lambda: progress.advance(bar),
        )  # fmt: skip
    return Weaknesses(
        classes={name: task.class_figures(result) for name, result in results.items()},
        groups=group_objects(truths, found, results, len(card.labels)) if task.counts_objects else [],
        reliability=told,
        min_score=card.min_score,
        operating={name: operating_point(results[name].matches, card.min_score) for name in names}
        if task.counts_objects
        else {},
        robustness=robustness,
        saliency=_explain_worst(config, card, dataset, measured, crew[0], progress),
    )


def _explain_worst(
    config: EvaluateConfig,
    card: Card,
    dataset: Dataset,
    measured: Measured,
    models: Mapping[str, Model],
    progress: Progress,
) -> list[Picture]:
    """What the models look at in the photographs that came out worst with float32, the worst first."""
    predictions, task = measured.predictions, get_task(card.task)
    if not config.saliency or not isinstance(predictions[REFERENCE][0], Classification):
        return []
    pairs = zip(measured.truths, predictions[REFERENCE], strict=True)
    qualities = [task.quality(truth, found, measured.results[REFERENCE]) or (1.0, 1.0) for truth, found in pairs]
    worst = sorted(range(len(qualities)), key=lambda i: qualities[i])[: config.saliency]
    bar = progress.add_task("saliency", total=len(worst) * len(models))
    images = {
        i: load_input(
            photograph.image,
            card.input_size,
            card.fit,
            channels=card.channels,
            enhance=card.enhance,
            transpose=True,
            depth_range=card.depth_range,
        )[0]
        for i, photograph in enumerate(dataset.whole_photographs(config.split))
        if i in worst
    }
    pictures = []
    for i in worst:
        label = int(measured.truths[i].labels[0])
        panels, said = {"input": scaled_canvas(images[i], _PANEL)[0]}, []
        for name, model in models.items():
            chosen = predictions[name][i]
            panels[name] = draw_saliency(images[i], explain(model, images[i], chosen.label), _PANEL)
            said.append(f"{name} says {card.labels[chosen.label]} ({chosen.probability:.2f})")
            progress.advance(bar)
        caption = f"{card.labels[label]}; {', '.join(said)}"
        pictures.append(Picture(measured.truths[i].image_id, caption, panels))
    return pictures
