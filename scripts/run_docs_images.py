"""The images that scripts/run_docs.py gives a reader: those of the shipped sample, as files."""

import pathlib

import numpy as np
from PIL import Image

from msbreg_tf.data.sources.sample import CLASSES, load_sample
from tests.evaluation.detection.folders import write_coco, write_voc

_PICTURES = 12
_OF_A_CLASS = {"train": 8, "test": 4}


def write(home: str, clone: str) -> None:
    """Writes ~/pictures, ~/labelled, folders of detection, and cat.jpg and dog.png in the clone."""
    root = pathlib.Path(home)
    (root / "shared").mkdir(parents=True)
    images, labels = load_sample("test")
    for number, image in enumerate(images[:_PICTURES]):
        folder = root / "pictures" / ("2024", "2025/summer")[number % 2]
        _save(image, folder / f"{number:02}.{('jpg', 'png', 'webp')[number % 3]}", scale=4)
    for name, path in (("cat", "cat.jpg"), ("dog", "dog.png")):
        _save(images[labels == CLASSES.index(name)][0], pathlib.Path(clone) / path, scale=4)
    _save(images[labels == CLASSES.index("cat")][0], root / "pictures" / "cat.jpg", scale=4)
    for split, count in _OF_A_CLASS.items():
        for label, name in enumerate(CLASSES):
            for number, image in enumerate(images[labels == label][:count]):
                _save(image, root / "labelled" / split / name / f"{number}.png", scale=1)
    write_voc(root / "VOCdevkit", pose=True)
    write_voc(root / "my_objects", pose=True)
    write_coco(root / "coco")


def _save(image: np.ndarray, path: pathlib.Path, scale: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).resize((32 * scale, 30 * scale)).save(path)
