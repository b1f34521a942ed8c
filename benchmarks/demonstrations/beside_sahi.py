"""Our tiles beside SAHI's: the same `.tflite`, the same photographs, the same side and overlap of tiles, one thread.

    pip install sahi
    python benchmarks/demonstrations/beside_sahi.py --split test

SAHI (https://github.com/obss/sahi) cuts, hands each slice to a model and merges what it finds; its model is ours here, run
by LiteRT and decoded as in the project, so that cutting, scaling and merging are all that differs. Each way of its merging
is measured. Prints average precision at IoU 0.5 and seconds; both take turns on each photograph. Two minutes.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from mirada.data.images import decode, fit_image
from mirada.data.stored_data import open_dataset
from mirada.inference.card import load_card
from mirada.inference.engine import Engine
from mirada.inference.prediction import Decoding, Detections
from mirada.tasks.average_precision import evaluate_detections

WAYS = (("NMS", "IOU"), ("NMS", "IOS"), ("GREEDYNMM", "IOS"), ("NMM", "IOS"))  # GREEDYNMM by IOS is SAHI's default
FLOOR = 0.001


def sahi_model(path: Path, card):  # noqa: ANN001, ANN201 - SAHI's classes are known only where it is installed
    """Our variant as SAHI's `DetectionModel`."""
    from PIL import Image
    from sahi.models.base import DetectionModel
    from sahi.prediction import ObjectPrediction

    from mirada.inference.litert import Model

    class LiteRt(DetectionModel):
        def load_model(self) -> None:
            self.model = Model(path, card)
            self.category_mapping = {str(k): name for k, name in enumerate(card.labels)}

        def perform_inference(self, image: np.ndarray) -> None:
            pixels, self.placement = fit_image(
                Image.fromarray(image), card.input_size, card.fit, zoom=card.input_size / card.tile_size
            )
            self._original_predictions = self.model.find(pixels, Decoding(score_floor=FLOOR))

        def _create_object_prediction_list_from_original_predictions(
            self, shift_amount_list=None, full_shape_list=None
        ):  # noqa: ANN001, ANN202
            shift = shift_amount_list[0] if isinstance(shift_amount_list[0], (list, tuple)) else shift_amount_list
            full = (
                full_shape_list[0]
                if full_shape_list and isinstance(full_shape_list[0], (list, tuple))
                else full_shape_list
            )
            found, (scale_x, scale_y, pad_x, pad_y, _, _) = self._original_predictions, self.placement
            rows = []
            for box, score, label in zip(found.boxes_xyxy, found.scores, found.labels, strict=True):
                x1, y1, x2, y2 = (box - [pad_x, pad_y, pad_x, pad_y]) / [scale_x, scale_y, scale_x, scale_y]
                if x2 > x1 and y2 > y1:
                    rows.append(ObjectPrediction(bbox=[float(x1), float(y1), float(x2), float(y2)], category_id=int(label),
                                                 score=float(score), category_name=card.labels[label],
                                                 shift_amount=list(shift), full_shape=list(full)))  # fmt: skip
            self._object_prediction_list_per_image = [rows]

    return LiteRt(model_path=str(path), confidence_threshold=FLOOR, device="cpu")


def main() -> None:
    """Measure both and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model-dir", type=Path, default=Path("models/train"))
    parser.add_argument("--variants-dir", type=Path, default=Path("models/quantize"))
    parser.add_argument("--data-dir", type=Path, default=Path("data/processed"))
    parser.add_argument("--variant", default="int8")
    parser.add_argument("--split", default="test", choices=("val", "test"))
    given = parser.parse_args()
    try:
        from sahi.predict import get_sliced_prediction
    except ImportError:
        sys.exit("error: sahi is not installed: pip install sahi.")
    card, dataset = load_card(given.model_dir), open_dataset(given.data_dir)
    path = given.variants_dir / f"{given.variant}.tflite"
    engine, theirs = (
        Engine(path, card, decoding=Decoding(score_floor=FLOOR, max_detections=None)),
        sahi_model(path, card),
    )
    truths, found, seconds = [], {"Mirada": []}, {"Mirada": 0.0}
    for _ in range(20):  # caches and clock of the processor
        theirs.model.find(np.zeros((card.input_size, card.input_size, card.channels), np.uint8))
        engine.model.find(np.zeros((card.input_size, card.input_size, card.channels), np.uint8))
    for photograph in dataset.whole_photographs(given.split):
        image = decode(photograph.image, card.channels)
        truths.append(photograph)
        started = time.perf_counter()
        found["Mirada"].append(engine.predict(image).prediction)
        seconds["Mirada"] += time.perf_counter() - started
        for way, measure in WAYS:
            name = f"SAHI, {way} by {measure}"
            started = time.perf_counter()
            result = get_sliced_prediction(
                image, theirs, slice_height=card.tile_size, slice_width=card.tile_size, overlap_height_ratio=0.5,
                overlap_width_ratio=0.5, perform_standard_pred=False, postprocess_type=way, postprocess_match_metric=measure,
                postprocess_match_threshold=0.5, verbose=0, force_postprocess_type=True,
            )  # fmt: skip
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started
            rows = result.object_prediction_list
            found.setdefault(name, []).append(
                Detections(
                    np.array([row.bbox.to_xyxy() for row in rows], np.float32).reshape(-1, 4),
                    np.array([row.score.value for row in rows], np.float32),
                    np.array([row.category.id for row in rows], np.int64),
                )
            )
    print(f"{given.variant}, {len(truths)} photographs of {given.split}")
    for name, row in found.items():
        figures = evaluate_detections(truths, row, card.labels, max_detections=max(map(len, row))).figures
        print(f"{name:22s} AP50 {figures['map50']:.3f}  AP50-95 {figures['map50_95']:.3f}  {seconds[name]:7.2f} s")


if __name__ == "__main__":
    main()
