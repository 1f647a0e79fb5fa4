"""Settings of `tools.detect`, and what the paper's protocols say where a flag is not given."""

import bisect
import dataclasses
from typing import NamedTuple, Optional

from msbreg_tf.settings import Settings, setting

ENGINES = ("torchvision",)
_PAPER_BATCH = 16
_WARMUP_FACTOR = 1e-3  # Detectron2's default: the warm-up begins at this part of the rate
_DECAY = 0.1
_LARGEST_WARMUP = 0.1  # of all steps


class Task(NamedTuple):
    """What is fine-tuned on a layout, and the paper's schedule for it (supplement 2.4).

    Attributes:
      network: in words.
      lr: rate for batches of 16.
      steps: iterations of batches of 16.
      milestones: steps at which the rate is divided by 10.
      warmup_steps: of the linear warm-up.
      min_sizes: shorter sides of training images, one drawn for each image.
      train_split: default of --train_split.
      test_split: default of --test_split.
    """

    network: str
    lr: float
    steps: int
    milestones: tuple[int, ...]
    warmup_steps: int
    min_sizes: tuple[int, ...]
    train_split: tuple[str, ...]
    test_split: str


TASKS = {
    "voc": Task(
        "Faster R-CNN, ResNet-50 C4, layer4 and one more norm as box head",
        0.02,
        24_000,
        (18_000, 22_000),
        100,
        tuple(range(480, 801, 32)),
        ("VOC2007/trainval", "VOC2012/trainval"),
        "VOC2007/test",
    ),
    "coco": Task(
        "Mask R-CNN, ResNet-50 FPN",
        0.05,
        90_000,
        (60_000, 80_000),
        50,
        tuple(range(640, 801, 32)),
        ("train2017",),
        "val2017",
    ),
}


@dataclasses.dataclass(frozen=True)
class DetectionData(Settings):
    """The images with their boxes, and the encoder."""

    data_dir: Optional[str] = setting(
        None,
        "Folder of images and annotations, in Pascal VOC's layout (VOC2007/Annotations, "
        "ImageSets/Main, JPEGImages) or in COCO's (annotations/instances_SPLIT.json, SPLIT/).",
        changes_result=False,
    )
    layout: Optional[str] = setting(
        None,
        "Which of the two (default: by the folder). voc: Faster R-CNN C4 and VOC's average "
        "precision; coco: Mask R-CNN FPN and COCO's.",
        choices=TASKS,
    )
    train_split: tuple[str, ...] = setting(
        (),
        "Splits to learn from, joined by commas (default: VOC2007/trainval,VOC2012/trainval, or "
        "train2017). Where --data_dir is itself a folder like VOC2007: trainval.",
    )
    test_split: Optional[str] = setting(
        None, "Split to measure on (default: VOC2007/test, or val2017)."
    )
    classes: tuple[str, ...] = setting(
        (), "Names of the classes in VOC's layout, joined by commas (default: VOC's 20)."
    )
    weights: Optional[str] = setting(
        None,
        "ResNet-50 as torchvision names it, a .safetensors of tools.convert --to=torchvision; or "
        "'random': the same network from scratch.",
        changes_result=False,
    )
    workdir: Optional[str] = setting(
        None,
        "Folder for checkpoints, metrics, predictions and the result. The same command again "
        "continues what was interrupted.",
        changes_result=False,
    )


@dataclasses.dataclass(frozen=True)
class DetectionTraining(Settings):
    """The fine-tuning. What is not given follows the paper, scaled to the batch."""

    steps: Optional[int] = setting(
        None,
        "Iterations (default: 24,000 for voc, 90,000 for coco, times 16 / --batch_size).",
        low=1,
        source="MoCo's, to which supplement 2.4 refers; supplement 2.4",
    )
    batch_size: int = setting(16, "Images of a step.", low=1, source="supplement 2.4")
    lr: Optional[float] = setting(
        None,
        "Learning rate (default: 0.02 for voc, 0.05 for coco, times --batch_size / 16).",
        above=0,
        source="supplement 2.4",
    )
    warmup_steps: Optional[int] = setting(
        None,
        "Steps of linear warm-up (default: 100 for voc, 50 for coco, times 16 / --batch_size, at "
        "most a tenth of --steps).",
        low=0,
        source="MoCo's; supplement 2.4",
    )
    milestones: tuple[int, ...] = setting(
        (),
        "Steps at which the rate is divided by 10 (default: 3/4 and 11/12 of --steps for voc, 2/3 "
        "and 8/9 for coco).",
        low=1,
        source="MoCo's; supplement 2.4",
    )
    min_sizes: tuple[int, ...] = setting(
        (),
        "Shorter sides of training images, of which one is drawn for each (default: 480 to 800 for "
        "voc, 640 to 800 for coco, every 32).",
        unit="pixels",
        low=32,
        source="MoCo's; Detectron2's",
    )
    test_size: int = setting(
        800, "Shorter side of test images.", unit="pixels", low=32, source="Detectron2"
    )
    max_size: int = setting(
        1333, "Longest side of any image.", unit="pixels", low=32, source="Detectron2"
    )
    rois: int = setting(
        512, "Regions of an image that the box head learns from.", low=1, source="Detectron2"
    )
    proposals: int = setting(
        1000, "Proposals of a test image that the box head looks at.", low=1, source="Detectron2"
    )
    seed: int = setting(0, "Of the order, sizes, flips, regions and new layers.", low=0)


@dataclasses.dataclass(frozen=True)
class DetectionEngine(Settings):
    """Where and how it runs."""

    engine: str = setting(
        "torchvision",
        "What trains and predicts. Its results are never in one column with Detectron2's, for "
        "which detection/train_net.py is.",
        choices=ENGINES,
    )
    python: Optional[str] = setting(
        None,
        "Python of an environment with detection/requirements.txt (default: this one if it has "
        "torchvision, else .venv-detect/bin/python, which `make detect` makes).",
        changes_result=False,
    )
    device: str = setting(
        "auto",
        "Where to compute; auto is the first GPU if there is one.",
        choices=("auto", "cpu", "cuda"),
        changes_result=False,
    )
    workers: int = setting(
        2, "Processes that read images ahead; 0: none.", low=0, changes_result=False
    )
    checkpoint_every: int = setting(500, "Steps between checkpoints.", low=1, changes_result=False)
    log_every: int = setting(
        20, "Steps between lines in metrics.jsonl.", low=1, changes_result=False
    )


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The rate of every step.

    Attributes:
      steps: how many there are.
      lr: the rate after the warm-up.
      warmup_steps: of the linear warm-up from a thousandth of `lr`.
      milestones: steps from which on the rate is a tenth of that before.
    """

    steps: int
    lr: float
    warmup_steps: int
    milestones: tuple[int, ...]

    def rate(self, step: int) -> float:
        """Learning rate of step 0, 1, …; as Detectron2's WarmupMultiStepLR."""
        rate = self.lr * _DECAY ** bisect.bisect_right(self.milestones, step)
        if step < self.warmup_steps:
            part = step / self.warmup_steps
            rate *= _WARMUP_FACTOR * (1 - part) + part
        return rate


def schedule(given: DetectionTraining, task: Task) -> Schedule:
    """The schedule that flags give, and the paper's scaled to the batch where they don't.

    A batch of B has 16 / B times as many steps at B / 16 of the rate, Detectron2's own rule.

    Raises:
      ValueError: a milestone lies beyond the last step.
    """
    more = _PAPER_BATCH / given.batch_size
    steps = given.steps or max(1, round(task.steps * more))
    warmup = given.warmup_steps
    if warmup is None:
        warmup = min(round(task.warmup_steps * more), int(steps * _LARGEST_WARMUP))
    scaled = (round(milestone * steps / task.steps) for milestone in task.milestones)
    milestones = given.milestones or tuple(m for m in scaled if 0 < m < steps)
    if given.milestones and (max(milestones) >= steps or list(milestones) != sorted(milestones)):
        text = ",".join(map(str, milestones))
        raise ValueError(
            f"--milestones={text}: expected steps in ascending order, all below --steps={steps}."
        )
    return Schedule(steps, given.lr or task.lr / more, warmup, milestones)
