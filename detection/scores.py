"""Average precision of predictions: VOC's by our own routine, COCO's by pycocotools."""

import contextlib
import io
from collections.abc import Sequence
from typing import Any

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detection.predictions import as_detections
from msbreg_tf.evaluation.detection.pictures import Split
from msbreg_tf.evaluation.detection.voc_ap import voc_metrics

_PARTS = ("AP", "AP50", "AP75")  # the first three of COCOeval's numbers
_KINDS = {"bbox": "box", "segm": "mask"}


def metrics(layout: str, test: Split, lines: Sequence[dict[str, Any]]) -> dict[str, float]:
    """{metric with its unit: 0 to 100}, of the lines that `predict` gives."""
    if layout == "voc":
        return voc_metrics(test, {line["name"]: as_detections(line) for line in lines})
    return coco_metrics(test, lines)


def coco_metrics(test: Split, lines: Sequence[dict[str, Any]]) -> dict[str, float]:
    """COCO's box and mask AP, AP50 and AP75 in %, over all categories with objects."""
    found = [entry for line in lines for entry in _entries(test, line)]
    values = {}
    with contextlib.redirect_stdout(io.StringIO()):  # it says how long everything took
        truth = COCO(test.annotations)
        for kind, called in _KINDS.items():
            if not found:
                values |= {f"{called} {part} %": 0.0 for part in _PARTS}
                continue
            # pycocotools takes an object's area from its box if it has one, from its mask if not.
            left_out = "bbox" if kind == "segm" else "segmentation"
            own = [{k: v for k, v in entry.items() if k != left_out} for entry in found]
            evaluation = COCOeval(truth, truth.loadRes(own), kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            parts = zip(_PARTS, evaluation.stats)
            values |= {f"{called} {part} %": 100 * float(value) for part, value in parts}
    return values


def _entries(test: Split, line: dict[str, Any]):
    """A line as COCO's results: boxes by corner and size, categories by number."""
    objects = zip(line["boxes"], line["labels"], line["scores"], line["masks"])
    for (left, top, right, bottom), label, score, mask in objects:
        yield {
            "image_id": int(line["name"]),
            "category_id": test.category_ids[label],
            "bbox": [left, top, right - left, bottom - top],
            "score": score,
            "segmentation": mask,
        }
