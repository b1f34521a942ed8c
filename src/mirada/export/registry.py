"""Whether a model is good enough, and its way into the MLflow Model Registry.

A model is registered with all that it needs to be served without TensorFlow (`mirada.export.pyfunc_model`). The alias
`champion` moves to it when it is better than the champion on the very same images: both are measured on the split that was
just evaluated, and the 95 % interval of their paired difference in the task's main metric has to lie wholly above zero.
"""

from __future__ import annotations

import ast
import io
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirada.config import TASKS
from mirada.errors import MiradaError
from mirada.inference.card import Card, load_card, save_card
from mirada.inference.prediction import Detections
from mirada.project import PACKAGE
from mirada.tables import number_text
from mirada.tasks import get_task

if TYPE_CHECKING:
    from mirada.config import EvaluateConfig
    from mirada.data.records import Dataset
    from mirada.tasks.base import Judging

REQUIREMENTS = ("ai-edge-litert", "google-crc32c", "numpy", "pandas", "pillow", "protobuf")
Drop = tuple[float, float, float]  # of the main metric, from the champion to the candidate, and its 95 % interval


@dataclass(frozen=True)
class Decision:
    """Whether the alias moves to the candidate, and why or why not, in a sentence."""

    moves: bool
    reason: str


@dataclass(frozen=True)
class Registered:
    """Where a model went: its name and version in the registry, and what became of the alias."""

    name: str
    version: str
    decision: Decision

    @property
    def sentence(self) -> str:
        """For the terminal."""
        return f"registry: {self.name}, version {self.version}; {self.decision.reason}"


def decide(metric: str, champion: str | None, drop: Drop | None, obstacle: str | None = None) -> Decision:
    """Whether the alias moves.

    Args:
        metric: name of the main metric.
        champion: name and version of the present champion; None without one.
        drop: of the metric from the champion to the candidate on the same images, with its 95 % interval.
        obstacle: why the two can't be compared, in words; None where they can.
    """
    if champion is None:
        return Decision(True, "it is the first and becomes champion.")
    if obstacle is not None or drop is None:
        return Decision(False, f"{champion} stays champion: {obstacle or 'it was not measured on the same images'}.")
    gain, low, high = (0.0 - round(value, 6) for value in (drop[0], drop[2], drop[1]))  # 0.0 - 0.0 has no sign
    interval = f"{metric} {gain:+.4f}, 95 % interval {low:+.4f} to {high:+.4f} on the same images".replace("-", "−")
    if low > 0:
        return Decision(True, f"it is better than {champion} ({interval}) and becomes champion.")
    return Decision(False, f"{champion} stays champion: the new one is not clearly better ({interval}).")


def compare_on_same_images(
    config: EvaluateConfig, dataset: Dataset, result: Any, judging: Judging
) -> Callable[[Card, Path], Drop]:
    """A function that measures the champion on the split just evaluated.

    Args:
        config: of the evaluation: the split, the decoding and the resampling.
        dataset: evaluated on.
        result: the candidate's, as its task's `evaluate` gave it.
        judging: how it was judged.

    Returns:
        (the champion's card, its `.tflite`) -> the main metric's drop from the champion to the candidate. It raises
        MiradaError where the champion is for another task or other labels.
    """
    from mirada.evaluation.measuring import decoding_of, viewing_of
    from mirada.inference.engine import Engine, predict_photographs

    def drop(card: Card, path: Path) -> Drop:
        for key, value in {"task": dataset.task, "labels": dataset.classes}.items():
            if getattr(card, key) != value:
                raise MiradaError(f"it was made for {key}={getattr(card, key)}, these photographs have {key}={value}")
        task = get_task(card.task)
        engine = Engine(path, card, viewing_of(config), decoding_of(config))
        truths, found, _ = predict_photographs({"champion": engine}, dataset.whole_photographs(config.split))
        most = max([judging.max_detections, *(len(one) for one in found["champion"] if isinstance(one, Detections))])
        champion = task.evaluate(truths, found["champion"], card.labels, replace(judging, max_detections=most))
        return task.drop(champion, result, config.bootstrap_samples, config.seed)

    return drop


def register_model(
    card: Card,
    variant_file: Path,
    variant: str,
    figures: Mapping[str, float],
    compare: Callable[[Card, Path], Drop],
    *,
    name: str | None = None,
    alias: str = "champion",
    example: bytes | None = None,
    min_score: float | None = None,
) -> Registered:
    """Add a model to the active MLflow run and to the registry, and move the alias where it is better.

    Args:
        card: the model's card.
        variant_file: its `.tflite`.
        variant: that file's variant.
        figures: the variant's figures, as in `metrics.json`; they become tags.
        compare: measures the champion against it, see `compare_on_same_images`.
        name: in the registry; None: that of the data set.
        alias: which one moves.
        example: an image file's bytes that go with the model as its input example.
        min_score: detections below it are left out where a caller does not say otherwise; None: the card's.

    Raises:
        MiradaError: no MLflow run is active.
    """
    import mlflow

    run = mlflow.active_run()
    if run is None:
        raise MiradaError("A model is registered from its MLflow run: set tracking.enabled=true.")
    name, client = name or card.dataset, mlflow.MlflowClient()
    champion = _champion(client, name, alias)  # first, so that a broken registry leaves no version behind
    drop, obstacle = None, None
    if champion is not None:
        with tempfile.TemporaryDirectory() as folder:
            try:
                drop = compare(*_fetch(champion, Path(folder)))
            except MiradaError as error:
                obstacle = str(error).rstrip(".")
    title = f"version {champion.version}" if champion else None
    metric = get_task(card.task).main_metric
    decision = decide(metric, title, drop, obstacle)
    number = _log(card, variant_file, name, example, card.min_score if min_score is None else min_score)
    tags = {"variant": variant, "task": card.task, "dataset": card.dataset, "data_digest": card.data_digest}
    tags |= {"main_metric": metric, "git_commit": f"{card.git_commit}{' (changed)' if card.git_dirty else ''}"}
    tags |= {"moved": str(decision.moves).lower(), "reason": f"Version {number}: {decision.reason}", "alias": alias}
    tags |= {key: number_text(value) for key, value in figures.items()}
    for key, value in tags.items():
        client.set_model_version_tag(name, number, key, value)
    if decision.moves:
        client.set_registered_model_alias(name, alias, number)
    return Registered(name, number, decision)


def _champion(client: Any, name: str, alias: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        # A name that is not there, or an alias that is not: the stores word and code them differently.
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise MiradaError(f"The registry does not answer ({str(error).splitlines()[0]}): check the URI.") from error


def _fetch(model_version: Any, folder: Path) -> tuple[Card, Path]:
    """The card and the `.tflite` of a registered model."""
    import mlflow
    from mlflow.exceptions import MlflowException

    uri = f"models:/{model_version.name}/{model_version.version}"
    try:
        with redirect_stderr(io.StringIO()):
            artifacts = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(folder))) / "artifacts"
    except (MlflowException, OSError) as error:
        raise MiradaError(f"its files can't be fetched ({str(error).splitlines()[0]})") from error
    files = sorted(artifacts.glob("*.tflite"))
    if not files:
        raise MiradaError(f"{uri} holds no .tflite file")
    return load_card(artifacts), files[0]


def _log(card: Card, variant_file: Path, name: str, example: bytes | None, min_score: float) -> str:
    """Log the model with the modules it needs; returns its version in the registry."""
    import logging

    import mlflow
    import pandas as pd

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder, redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow's own making, as are the progress bars over tiny files
        package = Path(folder) / "code" / "mirada"
        for path in modules_of("export.pyfunc_model"):
            copy = package / path.relative_to(PACKAGE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
        save_card(card, Path(folder) / "model.json")
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(PACKAGE / "export/pyfunc_model.py"),
            artifacts={"card": str(Path(folder) / "model.json"), "variant": str(variant_file)},
            code_paths=[str(package)],
            pip_requirements=[f"{package}=={version(package)}" for package in REQUIREMENTS],
            signature=signature_of(card, min_score),
            input_example=None if example is None else pd.DataFrame({"image": [example]}),
            registered_model_name=name,
        )
    return str(logged.registered_model_version)


def signature_of(card: Card, min_score: float) -> Any:
    """What the served model takes and gives, as MLflow describes it."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array, Object, Property

    outputs: list[Any]
    params: list[ParamSpec] = []
    box = Array(DataType.double)
    label = Property("label", DataType.string)
    if TASKS[card.task] == "objects":
        entry = Object([label, Property("score", DataType.double), Property("box", box)])
        outputs, params = [ColSpec(Array(entry), "detections")], [ParamSpec("min_score", DataType.double, min_score)]
        # Without a default, so that the model decides.
        params += [ParamSpec("view", DataType.string, "auto"), ParamSpec("tile", DataType.integer, None)]
        params.append(ParamSpec("overlap", DataType.double, None))
    else:
        probabilities = Object([Property(name, DataType.double) for name in card.labels])
        outputs = [ColSpec(DataType.string, "label"), ColSpec(DataType.double, "probability")]
        outputs.append(ColSpec(probabilities, "probabilities"))
        outputs += [ColSpec(box, "box")] if TASKS[card.task] == "object" else []
    # An input without a name is a list of images as well as a column of a table, whatever its name.
    inputs = Schema([ColSpec(DataType.binary)])
    return ModelSignature(inputs, Schema(outputs), ParamSchema(params) if params else None)  # type: ignore[arg-type]


def modules_of(name: str) -> list[Path]:
    """The files of a module of this package and of all that it imports from the package, at whatever depth."""
    todo, found = [name], {PACKAGE / "__init__.py"}
    while todo:
        path = _file_of(todo.pop())
        if path is None or path in found:
            continue
        found.update((path, *_packages_above(path)))
        hints = _type_checking(tree := ast.parse(path.read_text(encoding="utf-8")))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node not in hints and (node.module or "").startswith("mirada."):
                base = str(node.module).removeprefix("mirada.")
                todo += [base, *(f"{base}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.ImportFrom) and node not in hints and node.module == "mirada":
                todo += [alias.name for alias in node.names]
    return sorted(found)


def _type_checking(tree: ast.Module) -> set[ast.AST]:
    """The nodes that only a type checker runs."""
    blocks = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    return {child for block in blocks for child in ast.walk(block)}


def _packages_above(path: Path) -> list[Path]:
    """The `__init__.py` of every folder that an import of the file passes."""
    return [folder / "__init__.py" for folder in path.parents if PACKAGE in (folder, *folder.parents)]


def _file_of(name: str) -> Path | None:
    path = PACKAGE / name.replace(".", "/")
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None
