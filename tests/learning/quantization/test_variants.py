import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mirada.data.records import Dataset, load_dataset
from mirada.errors import MiradaError
from mirada.inference.card import load_card
from mirada.quantization.calibration import calibration_images, choose_balanced, choose_random, train_classes
from mirada.stages import quantize

pytestmark = pytest.mark.slow


def test_every_variant_is_listed_with_its_size_and_digest(to_quantize, capsys):
    quantize.run(to_quantize)
    folder = Path(to_quantize.output_dir)
    told = json.loads((folder / "variants.json").read_text())
    variants = told["variants"]
    assert {name: sum(seen["counts"]) for name, seen in told["usual"].items()} == {
        "score": 4,
        "brightness": 4,
    }  # an image of val each
    assert [variant["name"] for variant in variants] == ["float32", "float16", "dynamic", "int8", "qat"]
    for variant in variants:
        assert (folder / variant["file"]).stat().st_size == variant["size_bytes"]
        assert len(variant["sha256"]) == 64 and variant["conversion_s"] > 0
    assert "int8" in capsys.readouterr().out


def test_a_variant_that_is_not_what_its_name_says_is_refused_and_leaves_no_file(to_quantize, tmp_path, monkeypatch):
    from mirada.learning.quantization import variants

    real = variants.convert
    monkeypatch.setattr(variants, "convert", lambda model, name, images, **scaling: real(model, "float32", images))
    config = replace(to_quantize, output_dir=str(tmp_path / "q"), variants=["float32", "int8"])
    with pytest.raises(MiradaError, match=r"The int8 variant still computes in float: .*CONV_2D"):
        quantize.run(config)
    assert not (tmp_path / "q/variants.json").exists()
    assert not list((tmp_path / "q").glob("int8*"))


def test_calibration_holds_every_class_even_when_asked_for_one_image(squares):
    examples = list(squares.examples("train"))
    classes = train_classes(squares)
    chosen = choose_random(classes, 1, seed=0)
    assert {int(examples[index].labels[0]) for index in chosen} == {0, 1}
    assert chosen == choose_random(classes, 1, seed=0)
    assert len(choose_random(classes, 7, seed=0)) == 7
    assert len(choose_random(classes, 100, seed=0)) == len(examples)
    images = list(calibration_images(squares, chosen))
    assert len(images) == len(chosen) and images[0].shape == (64, 64, 3) and images[0].dtype == np.uint8


def test_the_training_split_is_looked_through_once_whatever_is_chosen_from_it(to_quantize, monkeypatch):
    from mirada.learning.quantization import variants

    looked = []
    monkeypatch.setattr(variants, "train_classes", lambda dataset: looked.append(dataset) or train_classes(dataset))
    dataset = load_dataset(to_quantize.data_dir)
    config = replace(to_quantize, variants=["float32", "int8"])
    made = variants.Conversions(config, load_card(to_quantize.model_dir), dataset)
    made.convert("float32")
    assert looked == [], "float32 needs no image"
    made.convert("int8")
    made.convert("int8")
    assert made.choose_random(4) == choose_random(train_classes(dataset), 4, to_quantize.seed)
    assert made.choose_balanced(4) == choose_balanced(train_classes(dataset), 4, to_quantize.seed)
    assert looked == [dataset]


def test_an_absent_or_damaged_model_is_told(to_quantize, tmp_path):
    with pytest.raises(MiradaError, match="model.json is missing: run the train stage first"):
        quantize.run(replace(to_quantize, model_dir=str(tmp_path)))
    (tmp_path / "model.json").write_text(Path(to_quantize.model_dir, "model.json").read_text())
    with pytest.raises(MiradaError, match="model.keras is missing: run the train stage first"):
        quantize.run(replace(to_quantize, model_dir=str(tmp_path)))
    (tmp_path / "model.keras").write_bytes(b"no zip file")
    with pytest.raises(MiradaError, match=r"model.keras is corrupt .*run the train stage again"):
        quantize.run(replace(to_quantize, model_dir=str(tmp_path)))
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(MiradaError, match="model.json is corrupt"):
        quantize.run(replace(to_quantize, model_dir=str(tmp_path)))


def test_images_of_another_size_are_refused(to_quantize, tmp_path):
    dataset: Dataset = load_dataset(to_quantize.data_dir)
    content = json.loads((dataset.folder / "dataset.json").read_text()) | {"input_size": 96}
    for shard in dataset.folder.iterdir():
        (tmp_path / shard.name).write_bytes(shard.read_bytes())
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(MiradaError, match="has images of 96 pixels, the model in .* takes 64: .*, or train again"):
        quantize.run(replace(to_quantize, data_dir=str(tmp_path)))
