from dataclasses import replace

import numpy as np
import pytest
import tf_keras as keras

from mirada.config import ModelConfig
from mirada.config.training import PRETRAINED
from mirada.learning.backbones import build_backbone, build_features, load_imagenet, moving_statistics
from mirada.learning.models import backbone_depths, backbone_variables, build_model
from tests.learning.course.conftest import config, make_trainer  # noqa: F401 - a fixture

SIDE = 64


def network(batch_norm: str) -> keras.Model:
    image = keras.Input((SIDE, SIDE, 3), name="image")
    return keras.Model(image, build_features(ModelConfig(name="lite0", batch_norm=batch_norm), image)[1])


def arrays_of(folded: keras.Model) -> dict[str, np.ndarray]:
    """What the package's file would hold: kernels in torch's order and, of each batch normalization, four vectors."""
    rng, arrays = np.random.default_rng(0), {}
    for layer in folded.layers:
        if not layer.get_weights():
            continue
        number, part = layer.name.split("_")[1], layer.name.split("_")[-1]
        conv, bn = {
            "stem": ("_conv_stem", "_bn0"),
            "head": ("_conv_head", "_bn1"),
            "expand": (f"_blocks.{number}._expand_conv", f"_blocks.{number}._bn0"),
            "depthwise": (f"_blocks.{number}._depthwise_conv", f"_blocks.{number}._bn1"),
            "project": (f"_blocks.{number}._project_conv", f"_blocks.{number}._bn2"),
        }[part]
        kernel, bias = layer.get_weights()
        arrays[f"{conv}.weight"] = kernel.transpose((2, 3, 0, 1) if part == "depthwise" else (3, 2, 0, 1))
        for name, low, high in (
            ("weight", 0.8, 1.2),
            ("bias", -0.1, 0.1),
            ("running_mean", -0.1, 0.1),
            ("running_var", 0.8, 1.2),
        ):
            arrays[f"{bn}.{name}"] = rng.uniform(low, high, bias.shape).astype("f4")
    return arrays


@pytest.mark.parametrize("stem", [2, 4])
def test_mcu_has_the_channels_and_blocks_that_its_keys_say(stem):
    settings = {"stem_stride": stem, "stem_width": 12, "multiplier": 0.5, "blocks": 2, "expansion": 4}
    network = ModelConfig(name="mcu", backbone="mcu", weights=None, width=20, **settings)
    image = keras.Input((64, 96, 1))
    maps = build_backbone(network, image)
    # 32, 64 and 128 halved; a block adds to what it was given where that has its size
    assert [tuple(map_.shape[1:]) for map_ in maps] == [(8, 12, 16), (4, 6, 32), (2, 3, 64)]
    model = keras.Model(image, build_features(network, image)[1])
    assert model.output_shape == (None, 2, 3, 20)
    assert sum(isinstance(layer, keras.layers.Add) for layer in model.layers) == {2: 4, 4: 5}[stem]
    cells = {tuple(layer.output.shape[1:3]): 0 for layer in model.layers}
    for layer in model.layers:
        place = tuple(layer.output.shape[1:3])
        cells[place] = max(cells[place], layer.output.shape[3])
    before_four = {2: {(64, 96): 1, (32, 48): 12}, 4: {(64, 96): 1}}[stem]
    # 4 x 12 inside the second block at stride 4, and in the first at stride 8 before its own stride
    assert cells == before_four | {(16, 24): 48, (8, 12): 64, (4, 6): 128, (2, 3): 256}


@pytest.mark.slow
def test_batch_norms_compute_the_same_folded_in_and_beside():
    folded, beside = network("folded"), network("trained")
    arrays = arrays_of(folded)
    for model in (folded, beside):
        load_imagenet(model, arrays)
    pixels = np.random.default_rng(1).uniform(-1, 1, (2, SIDE, SIDE, 3)).astype("f4")
    np.testing.assert_allclose(beside(pixels), folded(pixels), rtol=1e-3, atol=1e-4)
    assert moving_statistics(folded) == [] and len(moving_statistics(beside)) == 49


def cut(stages: int, batch_norm: str = "folded", channels: int = 3) -> keras.Model:
    image = keras.Input((SIDE, SIDE, channels), name="image")
    network = ModelConfig("lite0", batch_norm=batch_norm, stages=stages, width=24)
    maps, features = build_features(network, image)
    return keras.Model(image, [*maps, features])


def test_a_cut_network_computes_what_the_whole_one_does_so_far():
    longer, shorter, grey = cut(5), cut(4, "trained"), cut(4, channels=1)
    assert [tuple(found.shape[1:]) for found in longer.outputs] == [(8, 8, 40), (4, 4, 112), (4, 4, 24)]
    assert [tuple(found.shape[1:]) for found in shorter.outputs] == [(8, 8, 40), (4, 4, 80), (4, 4, 24)]
    names = {layer.name for layer in shorter.layers}  # 1 + 2 + 2 + 3 blocks
    assert "backbone_7_project" in names and "backbone_8_expand" not in names and "backbone_head" not in names
    arrays = arrays_of(keras.Model(longer.input, longer.layers[-4].output))  # without the head's own convolution
    for model in (longer, shorter, grey):
        load_imagenet(model, arrays)
    pixels = np.random.default_rng(1).uniform(-1, 1, (1, SIDE, SIDE, 1)).astype("f4")
    wanted = longer(pixels.repeat(3, axis=3))[0]
    np.testing.assert_allclose(shorter(pixels.repeat(3, axis=3))[0], wanted, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(grey(pixels)[0], wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("task", "stages", "head_stride", "outputs"),
    [
        ("classification", 1, None, {"classes": (3,)}),
        ("detection", 3, 8, {"objectness_8": (8, 8, 1), "classes_8": (8, 8, 3), "distances_8": (8, 8, 4)}),
        ("localization", 4, None, {"classes_16": (4, 4, 3), "scores_16": (4, 4, 1), "distances_16": (4, 4, 4)}),
    ],
)
def test_every_head_stands_on_the_shortest_cut_that_has_its_map(task, stages, head_stride, outputs):
    network = ModelConfig("lite0", stages=stages, head_stride=head_stride, width=8, head_depth=1, frozen_blocks=3)
    assert network.missing_map(task) == ""
    model = build_model(network, task, SIDE, 3, 3, pretrained=False)
    assert {name: tuple(found.shape[1:]) for name, found in model.output.items()} == outputs
    old, new = backbone_variables(model)
    assert len(old) == {1: 0, 3: 12, 4: 30}[stages]  # blocks 3 and 4, 5 to 7: three convolutions of two arrays each
    assert new and len(backbone_depths(model)) == len(old)


@pytest.mark.parametrize(
    ("name", "channels"),  # of each block, as the published builder rounds them
    [
        ("efficientnet_lite1", [16] + [24] * 3 + [40] * 3 + [80] * 4 + [112] * 4 + [192] * 5 + [320]),
        ("efficientnet_lite2", [16] + [24] * 3 + [48] * 3 + [88] * 4 + [120] * 4 + [208] * 5 + [352]),
    ],
)
def test_larger_networks_have_the_published_blocks(name: str, channels: list[int]):
    image = keras.Input((SIDE, SIDE, 3), name="image")
    maps = build_backbone(ModelConfig(name=name, backbone=name), image)
    model = keras.Model(image, maps)
    assert [model.get_layer(f"backbone_{n}_project").filters for n in range(PRETRAINED[name])] == channels
    assert [tuple(found.shape[1:]) for found in maps] == [
        (8, 8, channels[6]),
        (4, 4, channels[14]),
        (2, 2, channels[20]),
    ]


def small_network() -> keras.Model:
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = keras.layers.Conv2D(4, 3, 4, name="backbone_0_conv")(image)
    x = keras.layers.BatchNormalization(momentum=0.5, name="backbone_0_conv_normalized")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, {"classes": keras.layers.Dense(2, name="classes")(x)})


def test_statistics_move_only_once_the_backbone_is_let_go(config):  # noqa: F811
    pretrained = ModelConfig(name="lite0", backbone="efficientnet_lite0", weights="imagenet", batch_norm="trained")
    trainer = make_trainer(replace(config, model=pretrained, epochs=3, freeze_epochs=2), small_network)
    mean, seen = trainer.model.get_layer("backbone_0_conv_normalized").moving_mean, []
    for _ in trainer.fit():
        seen.append(np.abs(mean.numpy()).max())
    assert seen[0] == seen[1] == 0 < seen[2]
