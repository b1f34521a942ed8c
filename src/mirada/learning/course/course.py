"""Where a training stands: which rates hold, what is frozen, and what follows from an epoch's figure."""

from __future__ import annotations

from mirada.config import AUTO, FROM_SCRATCH, TrainConfig
from mirada.learning.course.checkpoints import Checkpoints, State

_UNTRIED_SCALE = 0.3  # of pretrained layers where `auto` has nothing to try: without pretrained weights


class Course:
    """Reads the state, and changes it when an epoch is over.

    Args:
        config: the training's settings.
        state: of the training; it is changed.
        usual_rate: the learning rate where the settings name none, or it is yet to be looked for.
    """

    def __init__(self, config: TrainConfig, state: State, usual_rate: float) -> None:
        self.config, self.state, self._usual_rate = config, state, usual_rate

    # -- rates -----------------------------------------------------------------------------------------------------

    @property
    def seeks_rate(self) -> bool:
        """Whether the range test is still to come."""
        return self.config.learning_rate == AUTO and self.state.learning_rate is None

    @property
    def seeks_scale(self) -> bool:
        """Whether the pretrained layers are about to be let go, and it is not known how fast they may learn."""
        wanted = self.config.backbone_lr_scale == AUTO and self.config.model.weights is not None
        return wanted and self.state.backbone_lr_scale is None and self.state.epoch >= self.config.freeze_epochs

    @property
    def learning_rate(self) -> float:
        """Of the new layers, at its peak."""
        given = self.config.learning_rate
        rate = self.state.learning_rate if given == AUTO else given
        return float(rate or self._usual_rate) / (self.state.guard.divisor if self.state.guard.whole else 1.0)

    @property
    def backbone_lr_scale(self) -> float:
        """The pretrained layers' rate, relative to that."""
        given, found = self.config.backbone_lr_scale, self.state.backbone_lr_scale
        scale = (_UNTRIED_SCALE if found is None else found) if given == AUTO else float(given)
        return scale / (1.0 if self.state.guard.whole else self.state.guard.divisor)

    @property
    def started(self) -> int:
        """The epoch, from 0, with which the rates of all layers began to rise."""
        return self.state.guard.since if self.state.guard.whole else 0

    @property
    def thawed(self) -> int:
        """That with which the pretrained layers' rate begins to rise."""
        return self.state.guard.since if self.state.guard.returns else self.config.freeze_epochs

    def frozen(self, epoch: int) -> bool:
        """Whether the pretrained layers stand still in an epoch, from 0."""
        closed = self.state.guard.closed and not self.state.guard.whole
        return closed or epoch < self.thawed or self.backbone_lr_scale == 0

    # -- what follows from an epoch ----------------------------------------------------------------------------------

    @property
    def is_over(self) -> bool:
        """Whether no further epoch is worth its time: all were trained, none was better for long, or each made it worse."""
        state, patience = self.state, self.config.patience
        last = max(state.better_epoch, state.guard.since if state.guard.returns else 0)
        impatient = 0 < patience <= state.epoch - last and state.better_epoch > 0
        return state.epoch >= self.config.epochs or impatient or (state.guard.closed and state.guard.whole)

    def validates(self, epoch: int) -> bool:
        """Whether the val split is measured after so many epochs: also when the guard needs it."""
        config = self.config
        thawing = config.guard_epochs > 0 and epoch == config.freeze_epochs
        return epoch % config.val_every == 0 or epoch == config.epochs or thawing

    def guard(self, figure: float, name: str, checkpoints: Checkpoints) -> str | None:
        """Remember the frozen network when its time is over, and go back to it when the figure has stayed below.

        Args:
            figure: of the epoch that has ended, on val.
            name: of the figure.
            checkpoints: where weights are kept.

        Returns:
            A sentence for the user where the training went back.
        """
        state, config, guard = self.state, self.config, self.state.guard
        patience, returns = config.guard_epochs, config.guard_returns
        if guard.figure is None:
            if config.model.backbone in FROM_SCRATCH:
                return None  # nothing was frozen
            if patience and state.epoch == config.freeze_epochs < config.epochs:
                self.remember(figure, checkpoints)
        elif guard.watch(figure, state.epoch, config.warmup_epochs, patience):
            guard.go_back(state.epoch, returns)
            checkpoints.read_guarded(guard.checkpoint)
            return self._returned(figure, name)
        return None

    def remember(self, figure: float, checkpoints: Checkpoints, *, whole: bool = False) -> None:
        """Guard the weights as they are now.

        Args:
            figure: theirs, on val.
            checkpoints: where weights are kept.
            whole: whether all layers go on more gently after going back, or the pretrained ones alone.
        """
        name = f"guarded-{self.state.epoch:04d}"
        checkpoints.write_guarded(name)
        self.state.guard.remember(figure, name, self.state.epoch, whole)

    def _returned(self, figure: float, name: str) -> str:
        guard = self.state.guard
        known = "before" if guard.whole else "with a frozen backbone"
        if guard.closed:
            then = "no more training" if guard.whole else "the backbone stays frozen"
        elif guard.whole:
            then = f"on with learning_rate={self.learning_rate:.2g}"
        else:
            then = f"on with backbone_lr_scale={self.backbone_lr_scale:.2g}"
        return (
            f"after epoch {self.state.epoch}: val {name} {figure:.3f} is below the {guard.figure:.3f} {known}: "
            f"back to those weights, {then}"
        )
