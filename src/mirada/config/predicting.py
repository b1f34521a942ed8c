"""Settings of `predict`: what is looked at, with which variant, and what is written."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING

from mirada.config.checks import at_least, between, greater_than, one_of, require
from mirada.config.commands import command
from mirada.config.data import LABEL_FORMATS

RANKS = ("uncertainty",)


@command("predict")
@dataclass
class PredictConfig:
    """Settings of `predict`."""

    source: str | None = None  # file, folder, glob, list (.txt), archive, video, URL of a bucket or a stream
    camera: int | None = None  # number of a camera, in the place of source
    model_dir: str = MISSING  # holds model.json
    variants_dir: str = MISSING  # holds variants.json and the .tflite files
    variant: str | None = None  # null: best, else int8, else the first
    output_dir: str = MISSING  # what was found, with its pictures
    view: str = "auto"  # as the training did; or whole, or tiles
    tile: int | None = None  # side in pixels of the photograph; null: the card's
    overlap: float | None = None  # share of a tile's side; null: a half
    scales: list[float] = field(default_factory=lambda: [1.0])
    min_score: float | None = None  # null: the card's, chosen on validation images
    max_detections: int | None = None  # of a photograph, the best; null: all
    formats: list[str] = field(default_factory=list)  # labels beside predictions.json
    row_scores: bool = False  # YOLO: the score at the end of each row
    pictures: bool = True  # photographs, or the video, with what was found drawn on them
    rank: str | None = None  # uncertainty: which photographs to label first
    threads: int = 1  # inferences at a time within a photograph
    workers: int = 1  # photographs at a time
    resume: bool = False  # go on where a run into the same output_dir stopped
    every_nth: int = 1  # of a video: one frame in so many
    max_fps: float | None = None  # of a video: at most so many frames of a second
    seconds: float | None = None  # of a video: so long; null: to its end, of a camera until Ctrl-C
    show: bool = False  # a window that follows the video

    def __post_init__(self) -> None:
        """Refuse values out of range, and settings that exclude each other."""
        require(
            (self.source is None) != (self.camera is None),
            "Say what to look at: source=<file, folder, archive, video or URL>, or camera=0.",
        )
        one_of("view", self.view, ("auto", "whole", "tiles"))
        if self.min_score is not None:
            between("min_score", self.min_score, 0.0, 1.0)
        for name in self.formats:
            one_of("formats", name, LABEL_FORMATS)
        if self.rank is not None:
            one_of("rank", self.rank, RANKS)
        for key in ("threads", "workers", "every_nth"):
            at_least(key, getattr(self, key), 1)
        if self.max_detections is not None:
            at_least("max_detections", self.max_detections, 1)
        if self.camera is not None:
            at_least("camera", self.camera, 0)
        for key in ("max_fps", "seconds"):
            if (value := getattr(self, key)) is not None:
                greater_than(key, value, 0)
