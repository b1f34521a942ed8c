"""The one exception for mistakes that a user can mend."""


class MiradaError(Exception):
    """A mistake in a configuration, a file or an environment, told in one sentence.

    The message names the file or key, says what was wrong and what to do. Entry points print it on stderr, without a
    traceback, and exit with status 1.
    """


class Pruned(Exception):
    """A training was stopped because others were better at the same epoch: no mistake and no failure."""

    def __init__(self, epoch: int, value: float, median: float) -> None:
        super().__init__(epoch, value, median)  # as given, so that it can be sent between processes
        self.epoch, self.value, self.median = epoch, value, median

    def __str__(self) -> str:
        """Why, in words."""
        return (
            f"stopped after epoch {self.epoch}: at best {self.value:.4g} on val, the median of the others was "
            f"{self.median:.4g} by then"
        )
