"""The space: which keys count where, how many candidates there are, and which of two is the larger one."""

from collections.abc import Iterable

import pytest

from mirada.config import ModelConfig, SpaceConfig
from mirada.errors import MiradaError
from mirada.fitting.space import Candidate, Value, make_space
from tests.fitting.spaces import smallest

SMALL = SpaceConfig(
    model=["mcu", "tiny"], input_size=[128, 96], channels=[3, 1], width=[16, 32], head_depth=[1], head_stride=[0, 8, 16],
    stem_stride=[2, 4], stem_width=[8], multiplier=[0.5, 1.0], blocks=[1], expansion=[3],
)  # fmt: skip


def test_a_key_without_a_say_is_no_axis() -> None:
    detection, classification = make_space(SMALL, "detection"), make_space(SMALL, "classification")
    assert len(detection) == 2 * 2 * 2 * 3 * (2 * 2) + 2 * 2 * 2 * 3
    assert len(classification) == 2 * 2 * 2 * (2 * 2) + 2 * 2
    assert set(classification.axes["tiny"]) == {"input_size", "channels"}
    assert "head_stride" not in make_space(SMALL, "localization").axes["tiny"]


def test_values_stand_in_the_order_of_their_memory() -> None:
    axes = make_space(SMALL, "detection").axes["mcu"]
    assert axes["input_size"] == (96, 128)
    assert axes["stem_stride"] == (4, 2)  # a coarser stem leaves smaller maps
    assert axes["head_stride"] == (16, 8, 0)  # a pyramid has the cells of 8 and more


def test_the_smallest_is_smaller_than_all_and_of_its_network_alone() -> None:
    space = make_space(SMALL, "detection")
    least = smallest(space, "mcu")
    steps = list(space.next_larger(least))
    assert len(steps) == 6  # an axis each: input, colour, width, head stride, stem stride, multiplier
    other_stem = [step for step in steps if dict(step.values)["stem_stride"] != 4]
    assert len(other_stem) == 1 and not space.is_larger(other_stem[0], least)  # has an addition less
    steps.remove(other_stem[0])
    assert all(space.is_larger(step, least) and not space.is_larger(least, step) for step in steps)
    assert not space.is_larger(steps[0], steps[1]) and not space.is_larger(steps[1], steps[0])
    assert not space.is_larger(least, smallest(space, "tiny"))


def test_a_candidate_is_read_back_and_configures_its_network() -> None:
    space = make_space(SMALL, "detection")
    values = dict(smallest(space, "mcu").values) | {"head_stride": 0, "width": 32}
    candidate = space.read("mcu", dict(reversed(values.items())))
    assert candidate.title.startswith("mcu 96 grey, width 32, head_depth 1, head_stride 8 to 32, stem_stride 4")
    model = candidate.configure(ModelConfig(name="mcu", backbone="mcu", weights=None, head_stride=8))
    assert (model.head_stride, model.width, model.stem_stride, model.multiplier) == (None, 32, 4, 0.5)


def test_stages_are_an_axis_of_the_pretrained_network_alone() -> None:
    config = SpaceConfig(model=["mcu", "lite0"], width=[16, 32], head_stride=[8], stages=[0, 5, 3])
    detection, classification = make_space(config, "detection"), make_space(config, "classification")
    assert "stages" not in detection.axes["mcu"]
    assert detection.axes["lite0"]["stages"] == (3, 5, 0)  # 0 is all
    assert "width" not in classification.axes["lite0"]  # of a network that is whole it would have no say
    cut = make_space(SpaceConfig(model=["lite0"], width=[16, 32], stages=[3]), "classification")
    assert cut.axes["lite0"]["width"] == (16, 32)
    whole = detection.read("lite0", dict(smallest(detection, "lite0").values) | {"stages": 0})
    assert whole.title.endswith("stages all")
    assert whole.configure(ModelConfig("lite0")).stages is None
    assert smallest(detection, "lite0").configure(ModelConfig("lite0")).stages == 3


def cut(*stages: int, heads: tuple[int, ...] = (8, 16, 0)) -> SpaceConfig:
    """A space of stages and heads: 8 needs three stages, 16 four, a pyramid (0) six."""
    return SpaceConfig(
        model=["lite0"], input_size=[96], channels=[1], width=[16], head_depth=[1], head_stride=[*heads],
        stages=[*stages],
    )  # fmt: skip


def pairs_of(candidates: Iterable[Candidate]) -> list[tuple[Value, Value]]:
    return [(dict(one.values)["stages"], dict(one.values)["head_stride"]) for one in candidates]


def test_stages_and_heads_that_cannot_go_together_are_passed_over() -> None:
    space = make_space(cut(3, 4, 6, 2), "detection")
    assert space.axes["lite0"]["stages"] == (3, 4, 6)  # two leave no head its map
    assert len(space) == 6  # 3 with 8; 4 with 8 and 16; 6 with all
    assert pairs_of([smallest(space, "lite0")]) == [(4, 16)]
    assert pairs_of(space.smallest_of_all()) == [(4, 16), (3, 8)]  # six with a pyramid is larger than both
    assert pairs_of(space.next_larger(smallest(space, "lite0"))) == [(4, 8), (6, 16)]
    optuna = pytest.importorskip("optuna")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = {*pairs_of(space.suggest(study.ask()) for _ in range(60))}
    assert drawn == {(3, 8), (4, 8), (4, 16), (6, 8), (6, 16), (6, 0)}
    assert make_space(cut(3, heads=(8, 16)), "detection").axes["lite0"]["head_stride"] == (8,)
    assert make_space(cut(3, 4), "localization").axes["lite0"]["stages"] == (4,)
    assert len(make_space(cut(1, 2), "classification")) == 2


def test_stages_that_leave_no_head_its_map_are_refused() -> None:
    with pytest.raises(
        MiradaError, match=r"space.stages=\[3\] cuts .*: space.head_stride=16 needs 4 at least; add more"
    ):
        make_space(cut(3, heads=(0, 16)), "detection")
    with pytest.raises(MiradaError, match="localization needs 4 at least"):
        make_space(cut(3), "localization")


def test_two_candidates_have_two_keys() -> None:
    grey = Candidate("tiny", (("input_size", 96), ("channels", 1)))
    assert grey.key == Candidate("tiny", (("input_size", 96), ("channels", 1))).key
    assert grey.key != Candidate("tiny", (("input_size", 96), ("channels", 3))).key


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"input_size": [100]}, "space.input_size must hold multiples of 32, got 100"),
        ({"channels": [2]}, "space.channels may hold 1, 3, got 2"),
        ({"width": [16, 0]}, "space.width must be at least 8, got 0; set space.width to 8 or more"),
        ({"multiplier": [0.5, 9]}, "space.multiplier must be between 0.1 and 4.0, got 9"),
        ({"head_depth": [0]}, "space.head_depth must be between 1 and 6, got 0"),
        ({"blocks": [7]}, "space.blocks must be between 1 and 6, got 7"),
        ({"expansion": [0]}, "space.expansion must be between 1 and 6, got 0"),
        ({"stem_width": [65]}, "space.stem_width must be between 4 and 64, got 65"),
        ({"width": []}, "space.width must hold one value at least"),
        ({"width": [16, 16]}, "space.width holds a value twice"),
        ({"stages": [8]}, "space.stages may hold 0, 1, 2, 3, 4, 5, 6, 7, got 8"),
        ({"model": ["study1"]}, "space.model must be one of mcu, tiny, lite0"),
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, list], sentence: str) -> None:
    with pytest.raises(Exception, match=sentence):
        SpaceConfig(**values)
