"""Settings of `inspect`: which raw data are looked at, and as what the network will see them."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING

from mirada.config.checks import at_least, between, one_of, require
from mirada.config.commands import command
from mirada.config.data import DataConfig

SEVERITIES = ("error", "warning", "note")
"""What a finding is: it spoils the data or the figures; it may; it is worth knowing."""


@command("inspect")
@dataclass
class InspectConfig:
    """Settings of `inspect`."""

    data: DataConfig = field(default_factory=DataConfig)
    raw_dir: str | None = None  # None: data.path, a folder or an archive, else where fetch put the data
    output_dir: str = MISSING
    enabled: bool = True  # false: nothing is looked at
    fail_on: str = "never"  # never | error | warning (or an error): end with status 1 where there is one
    input_size: int = 320  # as preprocess is to have them: boxes are measured in the network's pixels
    fit: str = "letterbox"  # letterbox keeps the aspect and pads, stretch does not
    channels: int = 3  # 3: RGB, 1: grey
    model_dir: str | None = None  # what quantize wrote: likely label errors are looked for with this model
    variant: str | None = None
    suspects: int = 200  # likely label errors to list, the worst first
    examples: int = 6  # pictures of a finding
    workers: int = 2

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        one_of("fail_on", self.fail_on, ("never", "error", "warning"))
        between("input_size", self.input_size, 32, 2048)
        one_of("fit", self.fit, ("letterbox", "stretch"))
        require(self.channels in (1, 3), f"channels must be 3 (RGB) or 1 (grey), got {self.channels}.")
        at_least("suspects", self.suspects, 1)
        between("examples", self.examples, 0, 50)
        at_least("workers", self.workers, 1)
