import errno
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from mirada.cli import explain
from mirada.learning.course import checkpoints
from mirada.learning.course.checkpoints import Checkpoints, State


@pytest.fixture
def model() -> keras.Model:
    image = keras.Input((2,))
    return keras.Model(image, keras.layers.Dense(1)(image))


def test_the_best_weights_are_there_whole(tmp_path: Path, model: keras.Model) -> None:
    kept, state = Checkpoints(tmp_path / "new", tf.train.Checkpoint()), State({}, "", best_epoch=3)
    model.set_weights([np.array([[1.0], [2.0]]), np.array([3.0])])
    kept.write_best(state, model)
    model.set_weights([np.zeros((2, 1)), np.zeros(1)])
    model.load_weights(str(kept.best_path(state)))
    assert model.get_weights()[0].tolist() == [[1], [2]]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["best-0003.h5"]


def test_on_a_full_disk_hdf5_is_not_called(tmp_path: Path, model: keras.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would crash the process at its end, and leave half a file."""
    asked = []

    def check_room(folder: Path, size: int) -> None:
        asked.append(size)
        raise OSError(errno.ENOSPC, "No space left on device", str(folder))

    monkeypatch.setattr(checkpoints, "check_room", check_room)
    with pytest.raises(OSError, match="No space left"):
        Checkpoints(tmp_path, tf.train.Checkpoint()).write_best(State({}, "", best_epoch=1), model)
    assert not list(tmp_path.iterdir())
    assert asked[0] > 12  # three weights of four bytes, and what HDF5 puts around them


def test_what_a_killed_process_left_goes(tmp_path: Path) -> None:
    (tmp_path / "epoch-0005_temp").mkdir()
    (tmp_path / "epoch-0005_temp" / "part-00000").touch()
    (tmp_path / "epoch-0001.index").touch()
    Checkpoints(tmp_path, tf.train.Checkpoint(step=tf.Variable(1))).save(State({}, "", epoch=2))
    assert sorted({path.name.split(".")[0] for path in tmp_path.iterdir()}) == ["epoch-0002", "state"]


def test_a_checkpoint_that_does_not_fit_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Checkpoints(tmp_path, tf.train.Checkpoint())

    def write(path: str) -> None:
        Path(f"{path}_temp").mkdir()
        raise tf.errors.ResourceExhaustedError(None, None, "epoch-0001_temp/part-00000; No space left on device")

    monkeypatch.setattr(kept.content, "write", write)
    with pytest.raises(tf.errors.ResourceExhaustedError) as caught:
        kept.save(State({}, "", epoch=1))
    assert "the disk is full" in explain(caught.value)
    assert not list(tmp_path.iterdir())
