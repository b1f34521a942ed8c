"""The networks among which a search looks: axes of values, candidates, and which candidate is the larger one.

On every axis the values stand in the order of the memory that they take. So of two candidates of one network, the one that
is nowhere smaller takes as much memory at least, and what is larger than a candidate that does not fit need not be built.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

from mirada.config import ModelConfig, SpaceConfig
from mirada.errors import MiradaError

if TYPE_CHECKING:
    from optuna.trial import Trial

Value = int | float
MODEL, INPUT_SIZE, CHANNELS = "model", "input_size", "channels"
_OF_MCU = ("stem_stride", "stem_width", "multiplier", "blocks", "expansion")
_OF_DATA = (INPUT_SIZE, CHANNELS)
_STEM = "stem_stride"
_PRETRAINED = "lite0"  # of the networks, the one that can be cut
_OR_ALL = {"head_stride": "8 to 32", "stages": "all"}  # key -> what its 0 says


@dataclass(frozen=True)
class Candidate:
    """A network and its input.

    Attributes:
        model: a file of conf/model.
        values: (key, value) in the order of the axes: 'input_size', 'channels', and keys of the model.
    """

    model: str
    values: tuple[tuple[str, Value], ...]

    @property
    def input_size(self) -> int:
        """Side of the input in pixels."""
        return int(dict(self.values)[INPUT_SIZE])

    @property
    def channels(self) -> int:
        """1 (grey) or 3 (RGB)."""
        return int(dict(self.values)[CHANNELS])

    @property
    def pretrained(self) -> bool:
        """Whether its backbone has ImageNet's weights."""
        return self.model == _PRETRAINED

    @property
    def key(self) -> str:
        """Twelve hexadecimal digits, the same for the same candidate."""
        return hashlib.sha256(json.dumps([self.model, *self.values]).encode()).hexdigest()[:12]

    @property
    def title(self) -> str:
        """For people: 'mcu 128 grey, width 32, multiplier 0.5'."""
        colour = "grey" if self.channels == 1 else "RGB"
        rest = [f"{key} {_text(key, value)}" for key, value in self.values if key not in _OF_DATA]
        return ", ".join([f"{self.model} {self.input_size} {colour}", *rest])

    def configure(self, model: ModelConfig) -> ModelConfig:
        """The settings of its network.

        Args:
            model: what `conf/model/<model>.yaml` says.
        """
        own: dict[str, Any] = {key: value for key, value in self.values if key not in _OF_DATA}
        own |= {key: own[key] or None for key in _OR_ALL if key in own}
        return replace(model, **own)


def _text(key: str, value: Value) -> str:
    return _OR_ALL[key] if key in _OR_ALL and not value else f"{value:g}"


@dataclass(frozen=True)
class Space:
    """All candidates.

    Attributes:
        axes: network -> its keys -> their values, those first that take less memory.
    """

    axes: Mapping[str, Mapping[str, tuple[Value, ...]]]

    def __len__(self) -> int:
        """How many candidates there are."""
        total = 0
        for axes in self.axes.values():
            count = 1
            for values in axes.values():
                count *= len(values)
            total += count
        return total

    def smallest(self, model: str) -> Candidate:
        """The candidate of a network that is nowhere larger than another."""
        return Candidate(model, tuple((key, values[0]) for key, values in self.axes[model].items()))

    def smallest_of_all(self) -> list[Candidate]:
        """Of each network and stem the smallest: every candidate is as large as one of them (`is_larger`)."""
        found = []
        for model, axes in self.axes.items():
            least = dict(self.smallest(model).values)
            stems: list[dict[str, Value]] = [{_STEM: stem} for stem in axes.get(_STEM, ())]
            found += [Candidate(model, tuple((least | stem).items())) for stem in stems or [{}]]
        return found

    def places(self, candidate: Candidate) -> tuple[int, ...]:
        """On each axis, the place of its value."""
        axes = self.axes[candidate.model]
        return tuple(axes[key].index(value) for key, value in candidate.values)

    def is_larger(self, one: Candidate, other: Candidate) -> bool:
        """Whether one is nowhere smaller than the other and has the same network and stem; equal ones are.

        A stem of stride 4 has one addition more, whose tables may weigh more than its smaller maps save.
        """
        if one.model != other.model or dict(one.values).get(_STEM) != dict(other.values).get(_STEM):
            return False
        return all(a >= b for a, b in zip(self.places(one), self.places(other), strict=True))

    def next_larger(self, candidate: Candidate) -> Iterator[Candidate]:
        """Those that are one step larger, on one axis each."""
        axes = self.axes[candidate.model]
        for number, (key, value) in enumerate(candidate.values):
            after = axes[key].index(value) + 1
            if after < len(axes[key]):
                values = list(candidate.values)
                values[number] = (key, axes[key][after])
                yield Candidate(candidate.model, tuple(values))

    def suggest(self, trial: Trial) -> Candidate:
        """What Optuna draws: the network, then a place on each of its axes."""
        model = str(trial.suggest_categorical(MODEL, tuple(self.axes)))
        axes = self.axes[model]
        places = {key: trial.suggest_int(f"{model}.{key}", 0, len(values) - 1) for key, values in axes.items()}
        return Candidate(model, tuple((key, axes[key][place]) for key, place in places.items()))

    def read(self, model: str, values: Mapping[str, Value]) -> Candidate:
        """A candidate from what was written of it."""
        return Candidate(model, tuple((key, values[key]) for key in self.axes[model]))


def make_space(config: SpaceConfig, task: str) -> Space:
    """The space of a task, without the keys that have no say there.

    Args:
        config: the values of every key.
        task: 'detection', 'localization' or 'classification'.

    Raises:
        MiradaError: a network would be cut before a map that one of the heads needs.
    """
    if _PRETRAINED in config.model:
        for stages, stride in product(config.stages, config.head_stride):
            cut = ModelConfig(_PRETRAINED, stages=stages or None, head_stride=stride or None)
            if missing := cut.missing_map(task):
                raise MiradaError(f"of space.stages and space.head_stride all must go together, and {missing}")
    return Space({model: {key: _ordered(config, key) for key in _keys(model, config, task)} for model in config.model})


def _keys(model: str, config: SpaceConfig, task: str) -> list[str]:
    keys, cut = [INPUT_SIZE, CHANNELS], model == _PRETRAINED and 0 not in config.stages
    if task != "classification" or model == "mcu" or cut:  # ImageNet's own features have a width of theirs
        keys.append("width")
    if task != "classification":
        keys.append("head_depth")
    if task == "detection":
        keys.append("head_stride")
    if model == _PRETRAINED:
        keys.append("stages")
    return keys + (list(_OF_MCU) if model == "mcu" else [])


def _ordered(config: SpaceConfig, key: str) -> tuple[Value, ...]:
    values = sorted(getattr(config, key))
    if key == _STEM:
        values.reverse()
    if key == "head_stride":  # the fewer cells the smaller; 0 is a pyramid, which has those of 8 and more
        values.sort(key=lambda value: -value)
    if key == "stages":  # 0 is all of them
        values.sort(key=lambda value: value or math.inf)
    return tuple(values)
