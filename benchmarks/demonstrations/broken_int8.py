"""A model that plain int8 breaks, and what repairs it.

    python benchmarks/demonstrations/broken_int8.py --data data/processed

Takes a trained model and makes one channel a thousand times as large, and the weights that read it a thousand times as
small: the float network says what it said. In int8 a tensor has one scale, so this channel leaves all others of its tensor
few of the 256 levels. The ladder of `quantize` then climbs its rungs that need no training. It prints, on validation images:
float32, plain int8 before and after the change, the layer that `layers.csv` blames, and what the ladder ends with. Takes
about three minutes on two cores.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from mirada.config import QuantizeConfig, TrackingConfig  # noqa: E402


def break_model(source: Path, target: Path, factor: float) -> tuple[str, str]:
    """Scale a channel of one layer up and the weights that read it down; the function stays.

    Returns:
        The names of the two convolutions.
    """
    from mirada.learning.models import load_model

    model = load_model(source / "model.keras")
    first, last, reader = linear_pair(model)
    weights = last.get_weights()
    for array in weights[:2]:  # gamma and beta, or kernel and bias
        array[..., 0] *= factor
    last.set_weights(weights)
    kernel, *bias = reader.get_weights()
    kernel[..., 0, :] /= factor
    reader.set_weights([kernel, *bias])
    target.mkdir(parents=True, exist_ok=True)
    model.save(target / "model.keras")
    shutil.copy(source / "model.json", target)
    return first.name, reader.name


def linear_pair(model: Any) -> tuple[Any, Any, Any]:
    """A convolution, itself or the batch normalization after it, and the convolution that alone reads that."""
    import tf_keras as keras

    from mirada.learning.quantization.schemes import Graph, activation_of, folds

    graph = Graph(model)
    for layer in graph.layers:
        if type(layer) is not keras.layers.Conv2D or activation_of(layer) != "linear":
            continue
        last, reader = layer, graph.only_reader(layer)
        if reader is not None and folds(reader, graph):
            last, reader = reader, graph.only_reader(reader)
        if type(reader) is keras.layers.Conv2D:
            return layer, last, reader
    raise SystemExit("No convolution here is read by another one without an activation in between.")


def quantize(model_dir: Path, data_dir: str, output_dir: Path, max_drop: float) -> dict[str, Any]:
    """Climb the ladder without training; returns `ladder.json`."""
    from mirada.stages import quantize

    quantize.run(
        QuantizeConfig(
            tracking=TrackingConfig(enabled=False),
            model_dir=str(model_dir),
            data_dir=data_dir,
            output_dir=str(output_dir),
            variants=["float32", "int8"],
            ladder=["calibration", "selective"],
            max_drop=max_drop,
        )
    )
    return json.loads((output_dir / "ladder.json").read_text())


def main() -> None:
    """Break, quantize, tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="models/train", help="folder of model.keras and model.json")
    parser.add_argument("--data", default="data/processed")
    parser.add_argument("--factor", type=float, default=1000.0)
    parser.add_argument("--max-drop", type=float, default=0.03)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mirada-broken-") as folder:
        broken, output = Path(folder) / "train", Path(folder) / "quantize"
        before = quantize(
            Path(args.model), args.data, Path(folder) / "before", max_drop=1.0
        )  # its first rung is enough
        pair = break_model(Path(args.model), broken, args.factor)
        ladder = quantize(broken, args.data, output, args.max_drop)
        with (output / "layers.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["variant"] == "int8"]
    worst = max(rows, key=lambda row: float(row["hurt"]))
    rungs = {rung["rung"]: rung for rung in ladder["rungs"]}
    best = rungs[ladder["best"]]
    print(f"\na channel between {pair[0]} and {pair[1]} was made {args.factor:g} times as large")
    print(f"{'':12}{ladder['metric']:>8}{'MB':>8}{'in float':>10}")
    print(f"{'float32':12}{ladder['reference']:8.3f}")
    for name, rung in (("int8 before", before["rungs"][0]), ("int8", rungs["int8"]), ("best", best)):
        print(f"{name:12}{rung['value']:8.3f}{rung['size_bytes'] / 1e6:8.2f}{len(rung['float_layers']):10}")
    print(f"blamed: {worst['layer']} ({worst['op']}), {float(worst['hurt']):.0%} error, {worst['why']}")
    print(f"repaired by: {best['rung']} ({best['what']}): {', '.join(best['float_layers']) or 'nothing in float'}")


if __name__ == "__main__":
    main()
