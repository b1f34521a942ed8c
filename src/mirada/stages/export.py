"""Export: a variant and a device in; out, a folder with all that is needed to run the one on the other and to test it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mirada.config import ExportConfig
from mirada.data.records import Dataset
from mirada.data.stored_data import open_dataset
from mirada.errors import MiradaError
from mirada.export.bundle.assembly import assemble, choose_figures, licence_of
from mirada.export.bundle.content import BundleContent, Part
from mirada.export.bundle.golden import make_golden
from mirada.export.bundle.model_file import output_names
from mirada.export.bundle.script import MODEL
from mirada.export.bundle.writing import check_output, whole_folder, write_bundle
from mirada.export.outside import onnx_file
from mirada.export.parts import (
    SAVED_MODEL,
    compare_floats,
    write_c_part,
    write_memory_part,
    write_onnx_part,
    write_postprocess_part,
    write_proof_part,
    write_vela_part,
)
from mirada.inference.card import load_card
from mirada.inference.suitability import check_suits
from mirada.inference.tflite_file import read_tables
from mirada.inference.variants import REFERENCE, choose_variant, load_variants

KERAS = "model.keras"
PARTS: tuple[Part, ...] = (
    write_c_part,
    write_vela_part,
    write_memory_part,
    write_postprocess_part,
    write_onnx_part,
    write_proof_part,
)
"""What is written besides, in this order; each looks at the device and does what that needs."""


def run(config: ExportConfig) -> None:
    """Write the bundle, as a whole or not at all.

    Raises:
        MiradaError: the device has no use for the variant, something is missing, or the bundle fails its own test.
    """
    output_dir = Path(config.output_dir)
    check_output(output_dir)
    card = load_card(config.model_dir)
    variants = load_variants(Path(config.variants_dir))
    variant = choose_variant(list(variants), config.variant)
    path = variants[variant]
    dataset = open_dataset(config.data_dir)
    notes = check_suits(card, dataset, config.data_dir, config.model_dir)
    figures = _read_figures(config, variant, path.stat().st_size)
    wanted = (path, card, variant, config.device, config.io, licence_of(dataset))
    float_file = _float_file(config, variants)
    postprocessed = assemble(*wanted, postprocess=True)[0] if config.postprocess else b""
    content, card = assemble(*wanted, strips=config.strips)
    with whole_folder(output_dir) as folder:
        (folder / MODEL).write_bytes(content)
        golden = make_golden(dataset, folder / MODEL, card, config.golden)
        about = _about_data(dataset)
        bundle = BundleContent(
            card, variant, config.device, content, golden, figures, about_data=about, postprocessed=postprocessed,
            float_file=float_file if "onnx" in config.targets else None,
        )  # fmt: skip
        more = (_saved_model_part(Path(config.model_dir), float_file),) if "saved_model" in config.targets else ()
        write_bundle(bundle, folder, (*PARTS, *more))
        _test(folder)
        size = sum(entry.stat().st_size for entry in folder.rglob("*") if entry.is_file())
    print(*notes, sep="\n", end="\n" if notes else "")
    print(
        f"{card.dataset} {variant} for {config.device.title}: {len(content):,} bytes of model, {len(golden)} golden "
        f"pictures, {size:,} bytes in all; its own test passed; written to {output_dir}"
    )


def _float_file(config: ExportConfig, variants: Mapping[str, Path]) -> Path | None:
    """The float32 variant where a target is held against it; what the targets need is refused here, before the work.

    Raises:
        MiradaError: it, `model.keras` or a package is missing.
    """
    if not config.targets:
        return None
    if "onnx" in config.targets and (reason := onnx_file.why_not()):
        raise MiradaError(reason)
    if "saved_model" in config.targets and not (Path(config.model_dir) / KERAS).is_file():
        raise MiradaError(
            f"{Path(config.model_dir) / KERAS} is missing, of which targets=[saved_model] is made: run the train stage "
            "first, or leave it out."
        )
    if REFERENCE not in variants:
        raise MiradaError(
            f"{config.variants_dir} has no variant {REFERENCE}, against which targets are held: quantize again."
        )
    return variants[REFERENCE]


def _saved_model_part(model_dir: Path, float_file: Path | None) -> Part:
    """`saved_model/`: the trained network, held against the float32 variant on the golden pictures."""

    def write(bundle: BundleContent, folder: Path) -> list[Path]:
        from mirada.learning.quantization.saved_model import (  # TensorFlow takes seconds
            run_saved_model,
            write_saved_model,
        )

        place = folder / SAVED_MODEL
        write_saved_model(model_dir / KERAS, place)
        names = output_names(read_tables(float_file.read_bytes())) if float_file else []

        def run(images: np.ndarray) -> list[np.ndarray]:
            found = run_saved_model(place, images)
            return [found[name] for name in names]

        gap = compare_floats(replace(bundle, float_file=float_file), run, "TensorFlow")
        bundle.notes.append(f"`{SAVED_MODEL}` answers as the float32 variant does in LiteRT, within {gap}.")
        return [path for path in place.rglob("*") if path.is_file()]

    return write


def _read_figures(config: ExportConfig, variant: str, size_bytes: int) -> dict[str, float]:
    if config.reports_dir is None:
        return {}
    path = Path(config.reports_dir) / "metrics.json"
    if not path.is_file():
        raise MiradaError(
            f"{path} is missing: run the evaluate stage first (`dvc repro evaluate`), or set reports_dir=null for a bundle "
            "without figures."
        )
    try:
        return choose_figures(json.loads(path.read_text()), variant, size_bytes, path)
    except (ValueError, AttributeError, TypeError) as error:
        raise MiradaError(f"{path} is corrupt ({error!r}): run the evaluate stage again.") from error


def _about_data(dataset: Dataset) -> dict[str, Any]:
    counts = ", ".join(f"{content['images']} {split}" for split, content in dataset.splits.items())
    return {"source": dataset.about.get("source", {}), "counts": counts}


def _test(folder: Path) -> None:
    """Let the bundle test itself in a process that knows nothing of Mirada.

    Raises:
        MiradaError: it fails.
    """
    command = [sys.executable, "-I", "-B", str(folder / "run.py"), "selftest"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    try:
        faults = json.loads(done.stdout)["faults"]
    except ValueError:
        faults = done.stderr.strip().splitlines()[-1:] or ["no message"]
    raise MiradaError(
        f"the bundle fails its own test ({' '.join(faults)}): nothing was written; try another variant or io."
    )
