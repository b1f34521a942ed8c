"""What the backbones cost: parameters, multiplications, and the processor time of a training step relative to lite0's.

    python benchmarks/backbones.py --models lite0 lite2

Counted from the layers, without the 1,000 classes of ImageNet. Times are those of a classifier with weights of chance, as
`conf/model/<name>.yaml` sets it, its first blocks frozen; processor time, since other work on the machine changes it least.
Takes about two minutes for three networks on two cores.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from figures import Panel, figure, machine, make_parser, positive, ratio, report, spread, start, take_turns
from input import make_trainer, prepare

from mirada.config import ModelConfig

_REFERENCE = "lite0"


def read_config(name: str) -> ModelConfig:
    """A file of `conf/model`, without its weights."""
    import yaml

    from mirada.errors import MiradaError
    from mirada.project import PROJECT

    path = PROJECT / "conf" / "model" / f"{name}.yaml"
    if not path.is_file():
        raise MiradaError(f"--models {name}: there is no {path.name} in conf/model, name one that is there.")
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    del settings["defaults"]
    return ModelConfig(**{**settings, "weights": None})


def count(network: Any) -> tuple[int, int]:
    """Parameters of a Keras model, and multiplications of its convolutions and dense layers for one image."""
    from mirada.learning.backbones import keras

    macs = 0
    for layer in network.layers:
        if isinstance(layer, keras.layers.Dense):
            macs += layer.kernel.shape.num_elements()
        elif isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
            depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
            kernel = layer.depthwise_kernel if depthwise else layer.kernel
            macs += layer.output_shape[1] * layer.output_shape[2] * kernel.shape.num_elements()
    return network.count_params(), macs


def build(config: ModelConfig, side: int) -> Any:
    """The network as far as the features that ImageNet's classes were told by."""
    from mirada.learning.backbones import build_features, keras  # the module sees to it that Keras is the right one

    image = keras.Input((side, side, 3), name="image")
    return keras.Model(image, build_features(config.backbone, image)[1])


def epoch_of(data_dir: Path, config: ModelConfig, batch_size: int) -> Callable[[int], float]:
    """Milliseconds of processor time a training step, on average over an epoch."""
    trainer = make_trainer(data_dir, config, batch_size)

    def run(number: int) -> float:
        before = time.process_time()
        trainer.train_epoch(number)
        return 1000 * (time.process_time() - before) / trainer.input.steps

    return run


def main() -> None:
    parser = make_parser(__doc__ or "", rounds=4)
    parser.add_argument("--models", nargs="+", default=["lite0", "lite1", "lite2"], help="files of conf/model")
    parser.add_argument("--images", type=positive, default=96, help="how many images an epoch has")
    parser.add_argument("--input-size", type=positive, default=224)
    parser.add_argument("--batch-size", type=positive, default=8)
    measure(parser.parse_args())


def measure(arguments: argparse.Namespace) -> None:
    """Count, time in turns, report."""
    started, computer = time.perf_counter(), machine()
    configs = {name: read_config(name) for name in dict.fromkeys([_REFERENCE, *arguments.models])}
    counts = {name: count(build(config, arguments.input_size)) for name, config in configs.items()}
    with tempfile.TemporaryDirectory(prefix="mirada-benchmark-") as folder:
        data_dir = prepare(Path(folder), arguments.images, arguments.input_size, "classification")
        ways = {name: epoch_of(data_dir, config, arguments.batch_size) for name, config in configs.items()}
        steps = take_turns(ways, arguments.rounds, warmup=1)
    figures = []
    for name, (parameters, macs) in counts.items():
        figures.append(figure(f"{name}, parameters", spread([parameters / 1e6]), "million"))
        figures.append(figure(f"{name}, multiplications", spread([macs / 1e6]), "million"))
        figures.append(figure(f"{name}, training step to {_REFERENCE}'s", ratio(steps[name], steps[_REFERENCE]), "x"))
    title = f"processor time of a training step, {arguments.input_size} pixels, batches of {arguments.batch_size}"
    report("backbones", figures, [Panel(title, "ms", steps)], arguments, computer, started)


if __name__ == "__main__":
    start(main)
