"""The guard of what a network knew: weights to go back to where training on only makes them worse.

Fine-tuning can destroy what ImageNet, or the float training, has taught, and the epochs that are left may not bring it back.
So the figure from before is remembered with its weights. Where the figure stays below, the training goes back to them and
goes on more gently; after so many times the layers in question stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

GENTLER = 3.0  # times: the rates after going back are so much lower


@dataclass
class Guard:
    """What the guard has seen. All is part of a checkpoint's state.

    Attributes:
        figure: on val, of the weights to go back to; None: there are none.
        checkpoint: these weights' file, without its folder.
        whole: whether all layers are guarded, or the pretrained ones alone.
        since: the epoch, from 0, with which the present try began.
        below: epochs in a row that ended below the figure.
        returns: how often the training went back.
        closed: whether that was too often: nothing is tried any more.
    """

    figure: float | None = None
    checkpoint: str = ""
    whole: bool = False
    since: int = 0
    below: int = 0
    returns: int = 0
    closed: bool = False

    @property
    def divisor(self) -> float:
        """By what the guarded layers' rate is divided."""
        return GENTLER**self.returns

    def remember(self, figure: float, checkpoint: str, since: int, whole: bool) -> None:
        """Guard what has this figure and lies in this file; the first try begins with epoch `since`."""
        self.figure, self.checkpoint, self.since, self.whole = figure, checkpoint, since, whole

    def watch(self, figure: float, epoch: int, warmup_epochs: float, patience: int) -> bool:
        """Take an epoch's figure in, and tell whether it is time to go back.

        Args:
            figure: on val.
            epoch: finished ones, this one among them.
            warmup_epochs: that a try needs until its rate is reached; what was measured before doesn't count.
            patience: epochs below in a row that are too many; 0: the guard is off.
        """
        if self.figure is None or self.closed or not patience or epoch - self.since < max(1.0, warmup_epochs):
            return False
        self.below = self.below + 1 if figure < self.figure else 0
        return self.below >= patience

    def go_back(self, epoch: int, most: int) -> None:
        """Begin the next try with this epoch, more gently, or none where there were `most` already."""
        self.closed = self.returns >= most
        self.returns, self.since, self.below = self.returns + 1, epoch, 0
