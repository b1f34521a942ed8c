"""What a training leaves to be resumed: checkpoints that a kill can't spoil, and the state that belongs to them."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras as keras

from mirada.config.influence import check_resumed
from mirada.data.records import digest_of
from mirada.errors import MiradaError
from mirada.files import check_room, write_whole, written_aside
from mirada.learning.course.guard import Guard


@dataclass
class State:
    """What a resumed training has to know besides the weights."""

    settings: dict[str, Any]  # all that decides the weights; it must be the same, save epochs
    data: str  # digest
    epoch: int = 0  # epochs finished
    step: int = 0
    best_epoch: int = 0
    best_metric: float = -1.0
    better_epoch: int = 0  # the last one that was better, not only as good
    checkpoint: str = ""
    run_id: str | None = None
    loss_scale: float = 0.0  # of float16; 0: the usual one
    learning_rate: float | None = None  # what the range test found
    backbone_lr_scale: float | None = None  # what was tried out before the pretrained layers were let go
    guard: Guard = field(default_factory=Guard)
    events: list[str] = field(default_factory=list)  # what was decided on the way, a sentence each
    history: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Take the guard as JSON has it."""
        if isinstance(self.guard, dict):
            self.guard = Guard(**self.guard)

    def digest(self) -> int:
        """Of settings and data, for workers to compare."""
        return int(digest_of([json.dumps(self.settings, sort_keys=True), self.data])[:12], 16)


class Checkpoints:
    """The folder of a training's checkpoints.

    Args:
        folder: receives them.
        content: what is saved and restored.
    """

    def __init__(self, folder: Path, content: tf.train.Checkpoint) -> None:
        self.folder, self.content = folder, content
        self._guarded = folder  # where the guarded weights lie: of several workers, with the chief's

    def best_path(self, state: State) -> Path:
        """The weights of the best epoch."""
        return self.folder / f"best-{state.best_epoch:04d}.h5"

    def write_best(self, state: State, model: keras.Model) -> None:
        """Write the weights of what is now the best epoch, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        size = sum(variable.shape.num_elements() * variable.dtype.size + 2048 for variable in model.variables)
        check_room(self.folder, size + (1 << 16))
        with written_aside(self.best_path(state)) as part:
            model.save_weights(str(part))

    def save(self, state: State) -> None:
        """Write the weights first and the state that points to them last, so a kill leaves one or the other whole."""
        self.folder.mkdir(parents=True, exist_ok=True)
        state.checkpoint = f"epoch-{state.epoch:04d}"
        try:
            self.content.write(str(self.folder / state.checkpoint))
        except tf.errors.OpError:  # a full disk
            shutil.rmtree(self.folder / f"{state.checkpoint}_temp", ignore_errors=True)
            raise
        write_whole(self.folder / "state.json", json.dumps(asdict(state), indent=1))
        for file in self.folder.glob("epoch-*"):
            if file.is_dir():  # TensorFlow's, of a process that was killed while it wrote
                shutil.rmtree(file)
            elif file.name.split(".")[0] != state.checkpoint:
                file.unlink()
        for file in self.folder.glob("best-*.h5"):
            if file != self.best_path(state):
                file.unlink()

    def restore(self, folder: Path, now: State) -> State | None:
        """Read the last finished epoch; None where there is none.

        Args:
            folder: of the checkpoints, not always the one that is written to.
            now: the training as its settings and data are now; `epochs` may be others.

        Raises:
            MiradaError: what lies there is damaged, was trained with other settings or data, or for longer.
        """
        path = folder / "state.json"
        if not path.is_file():
            return None
        try:
            state = State(**json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise MiradaError(f"{path} is corrupt ({error}): train anew with resume=false.") from error
        check_resumed(state.settings, now.settings, path, same_data=state.data == now.data)
        if now.settings["epochs"] < state.epoch:
            raise MiradaError(f"{path} has finished {state.epoch} epochs: set epochs to that or more, or resume=false.")
        self.content.read(str(folder / state.checkpoint)).assert_consumed()
        self._guarded = folder
        return state

    def write_guarded(self, name: str) -> None:
        """Keep the weights as they are now, to go back to."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.content.write(str(self.folder / name))
        self._guarded = self.folder

    def read_guarded(self, name: str) -> None:
        """Go back to them."""
        self.content.read(str(self._guarded / name)).assert_consumed()
