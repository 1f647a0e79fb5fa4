"""Tiny folders in VOC's and COCO's layout: photographs of the shipped sample on a canvas."""

import functools
import json
import pathlib

import numpy as np
from PIL import Image

SAMPLE = pathlib.Path(__file__).parents[3] / "msbreg_tf" / "data" / "sources" / "cifar10_sample"
CANVAS = (120, 90)  # width, height
SIDE = 40
# The sample's names, as VOC and COCO call these things.
KINDS = {"cat": "cat", "dog": "dog", "horse": "horse", "aeroplane": "airplane"}
_OBJECT = """  <object>
    <name>{name}</name>
    <difficult>{difficult}</difficult>
    <bndbox><xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax><ymax>{3}</ymax></bndbox>
  </object>
"""
_POSE = "    <pose>Left</pose>\n    <truncated>0</truncated>\n"


def scene(number):
    """Pixels uint8 [90, 120, 3] and [(kind, left, top)] of two photographs, 40 pixels each."""
    rng = np.random.default_rng(number)
    canvas = Image.fromarray(np.full([CANVAS[1], CANVAS[0], 3], 90 + 10 * (number % 5), np.uint8))
    objects = []
    for half, kind in enumerate(rng.choice(list(KINDS), 2, replace=False)):
        sprite = _sprites(KINDS[kind])
        column = 32 * int(rng.integers(25))
        photo = sprite.crop((column, 0, column + 32, 32)).resize((SIDE, SIDE))
        left, top = 60 * half + int(rng.integers(20)), int(rng.integers(50))
        canvas.paste(photo, (left, top))
        objects.append((str(kind), left, top))
    return np.asarray(canvas), objects


@functools.lru_cache
def _sprites(kind):
    return Image.open(SAMPLE / "test" / f"{kind}.png").convert("RGB")


def write_voc(folder, *, train=6, test=4, pose=False):
    """VOC2007 with trainval and test, VOC2012 with a trainval of two; object 1 of a test image 0 is
    difficult. Without `pose` no object has <pose> and <truncated>."""
    sets = {"VOC2007/trainval": range(train), "VOC2007/test": range(100, 100 + test)}
    for split, numbers in {**sets, "VOC2012/trainval": range(200, 202)}.items():
        year, part = split.split("/")
        base = pathlib.Path(folder, year)
        for name in ("Annotations", "ImageSets/Main", "JPEGImages"):
            (base / name).mkdir(parents=True, exist_ok=True)
        names = [f"{number:06d}" for number in numbers]
        (base / "ImageSets" / "Main" / f"{part}.txt").write_text("\n".join(names) + "\n")
        for number, name in zip(numbers, names):
            pixels, objects = scene(number)
            Image.fromarray(pixels).save(base / "JPEGImages" / f"{name}.jpg", quality=95)
            text = "".join(
                _OBJECT.format(
                    *(left + 1, top + 1, left + SIDE, top + SIDE),
                    name=kind,
                    difficult=int(number == 100 and place == 1),
                ).replace("    <difficult>", f"{_POSE if pose else ''}    <difficult>")
                for place, (kind, left, top) in enumerate(objects)
            )
            size = f"  <size><width>{CANVAS[0]}</width><height>{CANVAS[1]}</height></size>\n"
            xml = base / "Annotations" / f"{name}.xml"
            xml.write_text(f"<annotation>\n{size}{text}</annotation>\n")
    return str(folder)


def write_coco(folder, *, train=6, test=4, categories=None):
    """train2017 and val2017; masks are ellipses' corners: a diamond in each box.

    The first image of each split has besides a crowd over its left half, and the last has no
    object.
    """
    categories = categories or [{"id": 10 * n, "name": k} for n, k in enumerate(KINDS, 1)]
    by_name = {category["name"]: category["id"] for category in categories}
    (pathlib.Path(folder) / "annotations").mkdir(parents=True)
    for split, numbers in (("train2017", range(train)), ("val2017", range(100, 100 + test))):
        (pathlib.Path(folder) / split).mkdir()
        images, annotations = [], []
        for number in numbers:
            pixels, objects = scene(number)
            file_name = f"{number:012d}.jpg"
            Image.fromarray(pixels).save(pathlib.Path(folder) / split / file_name, quality=95)
            size = {"width": CANVAS[0], "height": CANVAS[1]}
            images.append({"id": number + 1, "file_name": file_name, **size})
            for kind, left, top in objects if number != numbers[-1] else []:
                name = kind if kind in by_name else KINDS[kind]
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number + 1,
                        "category_id": by_name[name],
                        "bbox": [left, top, SIDE, SIDE],
                        "area": SIDE**2 // 2,
                        "iscrowd": 0,
                        "segmentation": [diamond(left, top)],
                    }
                )
        crowd = {"counts": [0, CANVAS[1] * 60, CANVAS[1] * 60], "size": [CANVAS[1], CANVAS[0]]}
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": numbers[0] + 1,
                "category_id": by_name.get(objects[0][0], 1),
                "bbox": [0, 0, 60, CANVAS[1]],
                "area": 60 * CANVAS[1],
                "iscrowd": 1,
                "segmentation": crowd,
            }
        )
        content = {"images": images, "annotations": annotations, "categories": categories}
        path = pathlib.Path(folder) / "annotations" / f"instances_{split}.json"
        path.write_text(json.dumps(content, indent=1))
    return str(folder)


def diamond(left, top):
    """A polygon inside the box of a photograph: the middles of its sides."""
    half = SIDE / 2
    return [left, top + half, left + half, top, left + SIDE, top + half, left + half, top + SIDE]
