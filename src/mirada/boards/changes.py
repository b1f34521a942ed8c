"""What a network would be with a smaller input, fewer channels, fewer blocks or a stride more: nothing is trained for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from mirada.boards.network import DENSE, Network, Operator, Tensor

INPUT_SIZE, WIDTH, BLOCKS, STRIDE = "input_size", "width", "blocks", "stride"
_CHANNELS = 8  # channels come in groups of so many
_SIDES = 32  # an input's side is a multiple of it, as preprocess has it
_WIDTHS = tuple(part / 20 for part in range(19, 2, -1))  # 0.95, 0.9 … 0.15
_REDUCES = ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "FULLY_CONNECTED")  # what comes out is as large whatever went in


@dataclass(frozen=True)
class Changed:
    """A network that was never built.

    Attributes:
        what: 'input_size' and the like, several joined by ' and '.
        before, after: the key's values; of a width its factor, of blocks their number.
        sentence: the change for people, without a subject: 'input_size 256 instead of 320'.
        network: as it would be.
        kept: share of the multiplications that is left, 0..1.
    """

    what: str
    before: float
    after: float
    sentence: str
    network: Network
    kept: float


def _times(network: Network, ratio: float, start: Sequence[int]) -> Network:
    """Maps that come of some tensors, with sides as many times as long."""
    grown, tensors = set(start), dict(network.tensors)
    for operator in network.operators:
        if operator.kind not in _REDUCES and any(index in grown for index in operator.inputs):
            grown.update(index for index in operator.outputs if _is_map(network.tensors[index]))
    for index in grown:
        tensors[index] = _stretch(tensors[index], ratio)
    return network.with_tensors(tensors)


def _is_map(tensor: Tensor) -> bool:
    """Whether it grows with the input: what a pooling over all of a map gives does not."""
    return len(tensor.shape) != 4 or tensor.places > 1


def _stretch(tensor: Tensor, ratio: float) -> Tensor:
    shape = tensor.shape
    if len(shape) == 4:
        return replace(tensor, shape=(shape[0], _side(shape[1], ratio), _side(shape[2], ratio), shape[3]))
    sides = list(shape)
    place = -2 if len(sides) > 2 else -1  # (N, places, values), or all in one row
    sides[place] = max(1, round(sides[place] * ratio * ratio))
    return replace(tensor, shape=tuple(sides))


def _side(side: int, ratio: float) -> int:
    return max(1, int(-(-side * ratio // 1)))


def with_input_size(network: Network, side: int) -> Network:
    """The same layers on an input of another side."""
    return _times(network, side / network.input_size, network.inputs)


def with_stride(network: Network) -> Network | None:
    """Twice the stride in the first convolution: all maps behind it have half the sides; None where there is none.

    In a file with strips the first convolution is there once for each strip of the picture.
    """
    first = [index for operator in _first_convolutions(network) for index in operator.outputs]
    if not first or min(side for index in first for side in network.tensors[index].shape[1:3]) < 2:
        return None
    return _times(network, 0.5, first)


def _first_convolutions(network: Network) -> list[Operator]:
    """Those that see the picture, or parts of it."""
    picture = {*network.inputs}
    for operator in network.operators:
        if not operator.kernel and operator.inputs and picture.issuperset(operator.inputs):
            picture.update(operator.outputs)
    return [one for one in network.operators if one.kind == "CONV_2D" and one.kernel and one.inputs[0] in picture]


def with_width(network: Network, factor: float) -> Network:
    """So many times the channels between the ends, in groups of 8."""
    fixed = _ends(network)
    tensors = {
        index: tensor if index in fixed or len(tensor.shape) < 2 else replace(tensor, shape=_narrow(tensor, factor))
        for index, tensor in network.tensors.items()
    }
    return network.with_tensors(tensors)


def _narrow(tensor: Tensor, factor: float) -> tuple[int, ...]:
    channels = max(_CHANNELS, round(tensor.channels * factor / _CHANNELS) * _CHANNELS)
    return (*tensor.shape[:-1], min(channels, tensor.channels))


def _ends(network: Network) -> set[int]:
    """Tensors whose channels are the picture's or the answer's: up to the first kernel, and from the last ones on."""
    given, answer = {*network.inputs}, {*network.outputs}
    for operator in network.operators:
        if operator.kind not in DENSE and any(index in given for index in operator.inputs):
            given.update(operator.outputs)
    for operator in reversed(network.operators):
        if operator.kind not in DENSE and any(index in answer for index in operator.outputs):
            answer.update(operator.inputs)
    return given | answer


def find_blocks(network: Network) -> list[tuple[int, ...]]:
    """Residual blocks that may be left out, as places of their operators, the addition last."""
    maker = {index: place for place, entry in enumerate(network.operators) for index in entry.outputs}
    readers: dict[int, set[int]] = {}
    for place, entry in enumerate(network.operators):
        for index in entry.inputs:
            readers.setdefault(index, set()).add(place)
    found = []
    for place, entry in enumerate(network.operators):
        if entry.kind != "ADD" or len(entry.inputs) != 2:
            continue
        shapes = {network.tensors[index].shape for index in (*entry.inputs, *entry.outputs)}
        for start, end in (entry.inputs, entry.inputs[::-1]):
            inside = _between(network, maker, start, end)
            made = {index for one in inside for index in network.operators[one].outputs}
            closed = all(readers.get(index, set()) <= {*inside, place} for index in made)
            if inside and closed and len(shapes) == 1 and not made & {*network.outputs}:
                found.append((*sorted(inside), place))
                break
    return found


def _between(network: Network, maker: dict[int, int], start: int, end: int) -> set[int]:
    """Operators that lead from one tensor to another; empty where another tensor is needed besides."""
    todo, found = [end], set()
    while todo:
        index = todo.pop()
        if index == start:
            continue
        if index not in maker:
            return set()
        if maker[index] not in found:
            found.add(maker[index])
            todo += network.operators[maker[index]].inputs
    return found


def without_blocks(network: Network, blocks: Sequence[tuple[int, ...]]) -> Network:
    """The network with each of these blocks passed over."""
    gone = {place for block in blocks for place in block}
    passed: dict[int, int] = {}
    for block in sorted(blocks, key=lambda block: block[-1]):
        addition = network.operators[block[-1]]
        made = {index for place in block[:-1] for index in network.operators[place].outputs}
        start = next(index for index in addition.inputs if index not in made)
        passed[addition.outputs[0]] = passed.get(start, start)
    operators = tuple(
        replace(entry, inputs=tuple(passed.get(index, index) for index in entry.inputs))
        for place, entry in enumerate(network.operators)
        if place not in gone
    )
    used = {index for entry in operators for index in (*entry.inputs, *entry.outputs)}
    used |= {*network.inputs, *(passed.get(index, index) for index in network.outputs)}
    tensors = {index: tensor for index, tensor in network.tensors.items() if index in used}
    return Network(tensors, operators, network.inputs, tuple(passed.get(i, i) for i in network.outputs))


def nearest_changes(network: Network, fits: Callable[[Network], bool]) -> list[Changed]:
    """For each kind of change the smallest that makes the network fit, the one first that keeps most multiplications.

    Args:
        network: that does not fit.
        fits: asked about networks that were never built.
    """
    ways = (_sizes(network), _widths(network), _blocks(network), _strides(network))
    found = [one for way in ways if (one := next((one for one in way if fits(one.network)), None))]
    if not found:
        both = (one for size in _sizes(network) for one in _and_width(network, size))
        fitting = [one for one in both if fits(one.network)]
        found = [max(fitting, key=lambda one: one.kept)] if fitting else []
    return sorted(found, key=lambda one: -one.kept)


def nearest_step(network: Network) -> Changed | None:
    """The next smaller input; None where there is none."""
    return next(_sizes(network), None)


def _changed(network: Network, what: str, before: float, after: float, sentence: str, other: Network) -> Changed:
    return Changed(what, before, after, sentence, other, other.macs / network.macs if network.macs else 1.0)


def _sizes(network: Network) -> Iterator[Changed]:
    side = network.input_size
    for smaller in range((side - 1) // _SIDES * _SIDES, 0, -_SIDES):
        text = f"input_size {smaller} instead of {side}"
        yield _changed(network, INPUT_SIZE, side, smaller, text, with_input_size(network, smaller))


def _widths(network: Network) -> Iterator[Changed]:
    for factor in _WIDTHS:
        text = f"{factor:g} times the width of every layer"
        yield _changed(network, WIDTH, 1.0, factor, text, with_width(network, factor))


def _and_width(network: Network, size: Changed) -> Iterator[Changed]:
    for factor in _WIDTHS:
        text = f"{size.sentence} and {factor:g} times the width of every layer"
        what = f"{INPUT_SIZE} and {WIDTH}"
        yield _changed(network, what, size.before, size.after, text, with_width(size.network, factor))


def _blocks(network: Network) -> Iterator[Changed]:
    """Without more and more of them, those first whose weights and multiplications weigh most."""

    def weight(copies: list[tuple[int, ...]]) -> float:
        own = [network.operators[place] for place in copies[0]]
        entries = [network.operators[place] for block in copies for place in block]
        share = sum(entry.weight_bytes for entry in own) / max(network.weight_bytes, 1)
        return share + sum(map(network.macs_of, entries)) / max(network.macs, 1)

    blocks = sorted(_copies(network, find_blocks(network)), key=weight, reverse=True)
    for count in range(1, len(blocks) + 1):
        text = f"without {count} of the {len(blocks)} repeated blocks"
        left = without_blocks(network, [block for copies in blocks[:count] for block in copies])
        yield _changed(network, BLOCKS, len(blocks), len(blocks) - count, text, left)


def _copies(network: Network, blocks: Sequence[tuple[int, ...]]) -> list[list[tuple[int, ...]]]:
    """Blocks of the same weights together: in a file with strips each strip has a block of its own."""
    found: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for block in blocks:
        shared = tuple(index for place in block for index in network.operators[place].constants)
        found.setdefault(shared or tuple(-place - 1 for place in block), []).append(block)
    return list(found.values())


def _strides(network: Network) -> Iterator[Changed]:
    if (other := with_stride(network)) is not None:
        yield _changed(network, STRIDE, 1, 2, "twice the stride in the first convolution", other)
