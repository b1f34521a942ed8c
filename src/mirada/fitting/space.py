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
from mirada.config.training import STAGE_STRIDES
from mirada.errors import MiradaError

if TYPE_CHECKING:
    from optuna.trial import Trial

Value = int | float
MODEL, INPUT_SIZE, CHANNELS = "model", "input_size", "channels"
_OF_MCU = ("stem_stride", "stem_width", "multiplier", "blocks", "expansion")
_OF_DATA = (INPUT_SIZE, CHANNELS)
_STEM = "stem_stride"
_PRETRAINED = "lite0"  # of the networks, the one that can be cut
_STAGES, _HEAD = "stages", "head_stride"
_OR_ALL = {_HEAD: "8 to 32", _STAGES: "all"}  # key -> what its 0 says


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
        apart: pairs of stages and head_stride that can't go together, as the cut takes the head's map. Every head_stride
            has stages that it can go with, and so with all that come after these.
    """

    axes: Mapping[str, Mapping[str, tuple[Value, ...]]]
    apart: frozenset[tuple[Value, Value]] = frozenset()

    def __len__(self) -> int:
        """How many candidates there are."""
        total = 0
        for axes in self.axes.values():
            pairs = [*product(axes.get(_STAGES, (0,)), axes.get(_HEAD, (0,)))]
            allowed = sum(pair not in self.apart for pair in pairs)
            total += math.prod(map(len, axes.values())) // len(pairs) * allowed
        return total

    def smallest_of_all(self) -> list[Candidate]:
        """Of each network and stem the smallest: every candidate is as large as one of them (`is_larger`)."""
        found = []
        for model, axes in self.axes.items():
            first = {key: values[0] for key, values in axes.items()}
            stems: list[dict[str, Value]] = [{_STEM: stem} for stem in axes.get(_STEM, ())] or [{}]
            heads: list[dict[str, Value]] = [{_HEAD: head} for head in axes.get(_HEAD, ()) if _STAGES in axes] or [{}]
            made = [self._joined(model, first | stem | head) for stem, head in product(stems, heads)]
            found += [one for one in made if not any(one != other and self.is_larger(one, other) for other in made)]
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
        """Those that are one step larger, on one axis each; of values that can't go together none."""
        axes = self.axes[candidate.model]
        for number, (key, value) in enumerate(candidate.values):
            after = axes[key].index(value) + 1
            if after < len(axes[key]):
                values = list(candidate.values)
                values[number] = (key, axes[key][after])
                larger = dict(values)
                if (larger.get(_STAGES, 0), larger.get(_HEAD, 0)) not in self.apart:
                    yield Candidate(candidate.model, tuple(values))

    def suggest(self, trial: Trial) -> Candidate:
        """What Optuna draws: the network, then a place on each of its axes; too few stages for its head are raised."""
        model = str(trial.suggest_categorical(MODEL, tuple(self.axes)))
        axes = self.axes[model]
        places = {key: trial.suggest_int(f"{model}.{key}", 0, len(values) - 1) for key, values in axes.items()}
        return self._joined(model, {key: axes[key][place] for key, place in places.items()})

    def read(self, model: str, values: Mapping[str, Value]) -> Candidate:
        """A candidate from what was written of it."""
        return Candidate(model, tuple((key, values[key]) for key in self.axes[model]))

    def _joined(self, model: str, values: Mapping[str, Value]) -> Candidate:
        """The candidate with these values, its stages raised to those that its head can go with."""
        own = dict(values)
        if _STAGES in own:
            stages = self.axes[model][_STAGES]
            later = stages[stages.index(own[_STAGES]) :]
            own[_STAGES] = next(value for value in later if (value, own.get(_HEAD, 0)) not in self.apart)
        return Candidate(model, tuple(own.items()))


def make_space(config: SpaceConfig, task: str) -> Space:
    """The space of a task, without the keys that have no say there.

    Args:
        config: the values of every key.
        task: 'detection', 'localization' or 'classification'.

    Raises:
        MiradaError: a network would be cut before the maps of all heads.
    """
    spaces = {model: {key: _ordered(config, key) for key in _keys(model, config, task)} for model in config.model}
    if _PRETRAINED not in spaces:
        return Space(spaces)
    axes = spaces[_PRETRAINED]
    pairs = {*product(axes[_STAGES], axes.get(_HEAD, (0,)))}
    apart = {pair for pair in pairs if _cut(*pair).missing_map(task)}
    if not pairs - apart:
        raise MiradaError(_say_apart(config, task))
    for place, key in enumerate((_STAGES, _HEAD)):
        left = {pair[place] for pair in pairs - apart}
        axes |= {key: tuple(value for value in axes[key] if value in left)} if key in axes else {}
    return Space(spaces, frozenset(apart))


def _cut(stages: Value, head_stride: Value) -> ModelConfig:
    return ModelConfig(_PRETRAINED, stages=int(stages) or None, head_stride=int(head_stride) or None)


def _say_apart(config: SpaceConfig, task: str) -> str:
    heads = config.head_stride if task == "detection" else [0]
    counts = range(1, len(STAGE_STRIDES) + 1)
    least = {head: next(n for n in counts if not _cut(n, head).missing_map(task)) for head in heads}
    head = min(least, key=lambda head: least[head])
    needs = f"space.head_stride={head} needs" if task == "detection" else f"{task} needs"
    return (
        f"space.stages={config.stages} cuts {_PRETRAINED} before the maps that its heads need: {needs} {least[head]} at "
        "least; add more, or 0 for all."
    )


def _keys(model: str, config: SpaceConfig, task: str) -> list[str]:
    keys, cut = [INPUT_SIZE, CHANNELS], model == _PRETRAINED and 0 not in config.stages
    if task != "classification" or model == "mcu" or cut:  # ImageNet's own features have a width of theirs
        keys.append("width")
    if task != "classification":
        keys.append("head_depth")
    if task == "detection":
        keys.append(_HEAD)
    if model == _PRETRAINED:
        keys.append(_STAGES)
    return keys + (list(_OF_MCU) if model == "mcu" else [])


def _ordered(config: SpaceConfig, key: str) -> tuple[Value, ...]:
    values = sorted(getattr(config, key))
    if key == _STEM:
        values.reverse()
    if key == _HEAD:  # the fewer cells the smaller; 0 is a pyramid, which has those of 8 and more
        values.sort(key=lambda value: -value)
    if key == _STAGES:  # 0 is all of them
        values.sort(key=lambda value: value or math.inf)
    return tuple(values)
