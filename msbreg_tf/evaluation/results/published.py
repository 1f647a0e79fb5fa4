"""What the paper reports, to stand beside our results and never to be taken for them.

Source: the supplement of "An Embedding-Dynamic Approach to Self-supervised Learning", Tables 2 to
5. Its protocols are ours as far as the supplement tells them. Table 2 is Detectron2's, so it stands
beside `detection/train_net.py` with its own configuration, and not beside torchvision's detectors.
The supplement names the metrics of VOC07+12 detection, but prints no values of them.
"""

import dataclasses
from typing import Optional


@dataclasses.dataclass(frozen=True)
class PublishedValue:
    """One printed number, and what it stands beside.

    Attributes:
      method: as the table names it, with what distinguishes its row.
      source: where it is printed.
      protocol: name of the protocol, as in results.jsonl.
      dataset: as --dataset.
      metric: as in results.jsonl.
      value: of the metric.
      settings: (K, λ_s, λ_b) of a row of the ablation, which stands beside runs with these settings
        only; None stands beside every run.
    """

    method: str
    source: str
    protocol: str
    dataset: str
    metric: str
    value: float
    settings: Optional[tuple[int, float, float]] = None


# COCO, Mask R-CNN FPN on ResNet-50, train2017 to val2017: AP^bb and AP^mk.
_TABLE_2 = {
    "SimCLR": (39.7, 35.8),
    "MoCo": (40.4, 36.4),
    "BYOL": (41.6, 37.2),
    "VICReg": (39.4, 36.4),
    "SwAV": (41.6, 37.8),
    "Barlow Twins": (40.0, 36.7),
    "OBoW": (40.8, 36.4),
    "MSBReg K=4": (41.8, 37.8),
}
# ImageNet-100, ResNet-18: accuracy (linear top-1, %), alignment, uniformity.
_TABLE_3 = {
    "BYOL": (71.9, 0.25, -1.52),
    "BYOL + uniformity loss": (72.1, 0.27, -2.95),
    "BYOL + L_b + L_s": (72.8, 0.26, -2.92),
    "MSBReg K=4": (80.4, 0.36, -3.8),
}
# STL-10, ResNet-18: linear top-1, %.
_TABLE_4 = {
    "BYOL, batch norm, batch 256": 89.5,
    "MSBReg, batch norm, batch 256, λ_b=0.05": 91.4,
    "BYOL, layer norm, batch 256": 10.6,
    "BYOL + L_b, layer norm, batch 256, λ_b=0.005": 75.3,
    "BYOL, layer norm, batch 1024": 10.6,
    "MSBReg, layer norm, batch 256, λ_b=0.0005": 80.7,
    "MSBReg, layer norm, batch 256, λ_b=0.005": 82.3,
    "MSBReg, layer norm, batch 256, λ_b=0.05": 78.7,
}
# ImageNet-100, ResNet-18, 300 epochs: linear top-1, %; {(K, λ_s): for each λ_b}.
_TABLE_5_LAMBDA_B = (0.0, 0.25, 0.5, 1.0, 2.0)
_TABLE_5 = {
    (2, 0.0): (71.9, 72.3, 72.8, 72.3, 71.9),
    (2, 0.002): (72.2, 72.4, 72.4, 72.1, 71.9),
    (2, 0.004): (72.8, 72.8, 72.4, 72.1, 71.2),
    (2, 0.01): (71.1, 71.0, 71.0, 70.7, 70.3),
    (4, 0.0): (78.2, 79.1, 79.7, 79.2, 79.0),
    (4, 0.002): (78.9, 78.8, 79.1, 79.2, 79.2),
    (4, 0.004): (79.7, 80.2, 80.4, 80.1, 79.9),
    (4, 0.01): (79.3, 79.4, 79.2, 79.2, 79.0),
    (8, 0.0): (79.5, 80.1, 80.3, 80.3, 80.2),
    (8, 0.002): (79.8, 80.2, 80.9, 81.1, 80.8),
    (8, 0.004): (80.0, 80.9, 81.6, 81.5, 81.3),
    (8, 0.01): (79.9, 81.2, 81.4, 81.1, 79.8),
}


def _table_2() -> list[PublishedValue]:
    return [
        PublishedValue(method, "Table 2", "detect", "coco/2017", metric, value)
        for method, values in _TABLE_2.items()
        for metric, value in zip(("box AP %", "mask AP %"), values)
    ]


def _table_3() -> list[PublishedValue]:
    columns = (("linear", "top-1 %"), ("geometry", "alignment"), ("geometry", "uniformity"))
    return [
        PublishedValue(method, "Table 3", protocol, "imagenet100", metric, value)
        for method, values in _TABLE_3.items()
        for (protocol, metric), value in zip(columns, values)
    ]


def _table_4() -> list[PublishedValue]:
    return [
        PublishedValue(method, "Table 4", "linear", "stl10", "top-1 %", value)
        for method, value in _TABLE_4.items()
    ]


def _table_5() -> list[PublishedValue]:
    return [
        PublishedValue(
            f"K={views} λ_s={lambda_s:g} λ_b={lambda_b:g}",
            "Table 5",
            "linear",
            "imagenet100",
            "top-1 %",
            value,
            (views, lambda_s, lambda_b),
        )
        for (views, lambda_s), values in _TABLE_5.items()
        for lambda_b, value in zip(_TABLE_5_LAMBDA_B, values)
    ]


PUBLISHED = (*_table_2(), *_table_3(), *_table_4(), *_table_5())
