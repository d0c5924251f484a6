"""How good detections are: COCO's mean average precision, by pycocotools.

Imported where a detector is evaluated (see experiments.lazy).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracker.errors import DataError

try:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval
except ImportError as error:
    raise DataError(f"pycocotools is needed to judge detections: pip install pycocotools ({error})") from error

MOST_DETECTIONS = 100
"""Of an image, those of the highest scores: COCO's."""

Found = Sequence[np.ndarray]
"""For each image the detections (n, 6): left, top, width, height, score, class; or the objects (n, 5), without."""


def needed() -> None:
    """Raises DataError, at its import, where pycocotools is missing."""


def average_precisions(found: Found, right: Found, classes: int) -> dict[str, float]:
    """``mean_average_precision`` and ``average_precision_50``, from 0 to 1, over all classes that ``right`` has.

    The first is COCO's AP (Lin et al. 2014, arXiv:1405.0312; cocodataset.org/#detection-eval): the mean over overlaps
    (intersection over union) from 0.5 to 0.95, the second that at 0.5; of 100 detections an image at most.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # the library prints what it does
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": image} for image in range(len(right))],
            "categories": [{"id": label} for label in range(classes)],
            "annotations": _annotations(right),
        }
        truth.createIndex()
        rows = [np.column_stack([np.full(len(each), image), each]) for image, each in enumerate(found) if len(each)]
        if not rows:
            return {"mean_average_precision": 0.0, "average_precision_50": 0.0}
        evaluation = COCOeval(truth, truth.loadRes(np.concatenate(rows)), "bbox")
        # What it works out for objects of some sizes, and of fewer detections, is three quarters of its time.
        evaluation.params.areaRng, evaluation.params.areaRngLbl = evaluation.params.areaRng[:1], ["all"]
        evaluation.params.maxDets = [MOST_DETECTIONS]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"]  # overlaps × recalls × classes × 1 × 1, -1 where a class has no object
    return {"mean_average_precision": _mean(precision), "average_precision_50": _mean(precision[0])}


def _mean(precision: np.ndarray) -> float:
    known = precision[precision > -1]
    return float(known.mean()) if len(known) else 0.0


def _annotations(right: Found) -> list[dict[str, Any]]:
    rows = [(image, row) for image, of_image in enumerate(right) for row in of_image.tolist()]
    return [
        {
            "id": number,
            "image_id": image,
            "category_id": int(row[4]),
            "bbox": row[:4],
            "area": row[2] * row[3],
            "iscrowd": 0,
        }
        for number, (image, row) in enumerate(rows, start=1)
    ]
