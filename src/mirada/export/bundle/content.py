"""What a bundle is made of, for all who write a part of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mirada.config import DeviceConfig
from mirada.export.bundle.golden import Golden
from mirada.inference.card import Card


@dataclass
class BundleContent:
    """All that the parts of a bundle are written from.

    Attributes:
        card: of the model, as the bundle's `model.json` has it: of a float input its scale and offset are those by which it
            gives the very integers of the uint8 one.
        variant: its name, such as 'best'.
        device: the target.
        model: the bundle's `.tflite`, bytes.
        golden: test pictures with exact input, outputs and objects.
        figures: of the variant in `metrics.json`; empty where there is none.
        notes: sentences for the README that a part has to add.
        postprocessed: a `.tflite` that decodes and suppresses by itself, bytes; empty where none is wanted.
        float_file: the float32 variant, where the model is wanted as ONNX; None: it is not.
        about_data: 'source', as `dataset.json` has it, and 'counts', a sentence of how many images.
    """

    card: Card
    variant: str
    device: DeviceConfig
    model: bytes
    golden: list[Golden]
    figures: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    about_data: dict[str, Any] = field(default_factory=dict)
    postprocessed: bytes = b""
    float_file: Path | None = None


Part = Callable[[BundleContent, Path], list[Path]]
"""Writes a part of the bundle below a folder that holds `model.tflite` and `golden/` already, and gives the files it wrote.

A part that has no say for `bundle.device.runtime` writes nothing and gives an empty list; one that finds the bundle not to
hold what it promises raises MiradaError, and nothing is left of the bundle.
"""
