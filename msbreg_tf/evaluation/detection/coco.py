"""Annotations in COCO's layout: one JSON file for each split, objects with boxes and masks."""

import json
import math
import os
import re
from typing import Any, Optional

from msbreg_tf.evaluation.detection.pictures import Picture, Split, inside, picture

_PARTS = ("images", "annotations", "categories")


def read_coco(folder: str, splits: tuple[str, ...], flag: str, *, masks: bool = True) -> Split:
    """Reads one split.

    Objects whose box has no area, of which COCO's own training split has one, are left out.

    Args:
      folder: has annotations/instances_SPLIT.json and the images in SPLIT/.
      splits: one name.
      flag: that names the split, for messages.
      masks: whether every object needs a segmentation.

    Raises:
      ValueError: a file that is missing, not JSON, or says what can't be; names file and line.
    """
    if len(splits) != 1:
        raise ValueError(f"--{flag}={','.join(splits)}: COCO's layout takes one split.")
    (split,) = splits
    path = os.path.join(folder, "annotations", f"instances_{split}.json")
    if not os.path.isfile(path):
        raise ValueError(f"--{flag}={split}: there is no {path}. Correct the name.")
    content = _content(path)
    categories = sorted(_categories(path, content).items())
    numbers = {identity: number for number, (identity, _) in enumerate(categories)}
    objects: dict[Any, list] = {}
    images = _by_id(path, content)
    left_out = 0
    for number, annotation in enumerate(content["annotations"]):
        where = _Where(path, "annotations", number)
        found = _object(annotation, images, numbers, where, masks)
        if found is None:
            left_out += 1
        else:
            objects.setdefault(annotation["image_id"], []).append(found)
    pictures = tuple(
        _picture(folder, split, image, objects.get(identity, []), _Where(path, "images", number))
        for number, (identity, image) in enumerate(images.items())
    )
    names = tuple(name for _, name in categories)
    return Split(names, pictures, left_out, tuple(numbers), path)


class _Where:
    """An element of one of the file's lists; its line is looked up for a message only."""

    def __init__(self, path: str, part: str, number: int):
        self._path, self._part, self._number = path, part, number

    def __str__(self):
        return f"{self._path}, line {self._line()}, {self._part}[{self._number}]"

    def _line(self) -> int:
        with open(self._path, encoding="utf-8") as file:
            text = file.read()
        begin = re.search(rf'"{self._part}"\s*:\s*\[\s*', text)
        position, decoder = begin.end(), json.JSONDecoder()
        for _ in range(self._number):
            _, position = decoder.raw_decode(text, position)
            position = re.compile(r"\s*,\s*").match(text, position).end()
        return text.count("\n", 0, position) + 1


def _content(path: str) -> dict[str, list]:
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}, line {error.lineno}: no JSON ({error.msg}, column {error.colno}). Restore it."
        ) from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}, line 1: no JSON (not UTF-8). Restore it.") from None
    for part in _PARTS:
        if not isinstance(content, dict) or not isinstance(content.get(part), list):
            raise ValueError(f"{path}, line 1: the list '{part}' is missing. Restore it.")
    if not (content["images"] and content["categories"]):
        raise ValueError(f"{path}, line 1: it has no images or no categories. Give another file.")
    return content


def _categories(path: str, content: dict[str, list]) -> dict[int, str]:
    found = {}
    for number, category in enumerate(content["categories"]):
        where = _Where(path, "categories", number)
        identity = _whole(category, "id", where)
        if identity in found:
            raise ValueError(f"{where}: id {identity} is there twice. Correct it.")
        found[identity] = str(category.get("name", identity))
    return found


def _by_id(path: str, content: dict[str, list]) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for number, image in enumerate(content["images"]):
        where = _Where(path, "images", number)
        identity = _whole(image, "id", where)
        if identity in found:
            raise ValueError(f"{where}: id {identity} is there twice. Correct it.")
        for side in ("width", "height"):
            if _whole(image, side, where) < 1:
                raise ValueError(f"{where}: {side} is {image[side]}, expected at least 1.")
        found[identity] = image
    return found


def _object(
    annotation: Any,
    images: dict[int, dict[str, Any]],
    numbers: dict[int, int],
    where: _Where,
    masks: bool,
) -> Optional[tuple[tuple, int, bool, Any]]:
    """Box, label, whether it is a crowd, and segmentation; None for a box without area."""
    image_id, category = (_whole(annotation, n, where) for n in ("image_id", "category_id"))
    if image_id not in images:
        raise ValueError(f"{where}: there is no image {image_id}. Correct or remove it.")
    if category not in numbers:
        raise ValueError(
            f"{where}: there is no category {category} in 'categories'. Correct or remove it."
        )
    box = annotation.get("bbox")
    is_box = isinstance(box, list) and len(box) == 4
    if not (is_box and all(_is_number(value) for value in box)):
        raise ValueError(f"{where}: bbox is {box}, expected [left, top, width, height].")
    left, top, width, height = map(float, box)
    image = images[image_id]
    size = (image["width"], image["height"])
    box = inside((left, top, left + width, top + height), size, where)
    mask, is_crowd = annotation.get("segmentation"), bool(annotation.get("iscrowd", 0))
    if box[0] == box[2] or box[1] == box[3]:
        return None
    if masks and not _is_mask(mask):
        raise ValueError(
            f"{where}: segmentation is neither polygons of at least three points nor run lengths "
            "(counts, size). Correct or remove it."
        )
    return box, numbers[category], is_crowd, mask


def _picture(
    folder: str, split: str, image: dict[str, Any], objects: list, where: _Where
) -> Picture:
    file_name = image.get("file_name")
    if not isinstance(file_name, str) or not file_name:
        raise ValueError(f"{where}: file_name is {file_name}, expected the name of a file.")
    path = os.path.join(folder, split, file_name)
    if not os.path.isfile(path):
        raise ValueError(f"{where}: there is no {path}. Add it, or remove the image.")
    size = (image["width"], image["height"])
    return picture(str(image["id"]), path, size, [o[:3] for o in objects], [o[3] for o in objects])


def _is_mask(mask: Any) -> bool:
    if isinstance(mask, dict):
        return {"counts", "size"} <= mask.keys()
    return (
        isinstance(mask, list)
        and bool(mask)
        and all(isinstance(p, list) and len(p) >= 6 and len(p) % 2 == 0 for p in mask)
        and all(_is_number(value) for polygon in mask for value in polygon)
    )


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def _whole(element: Any, name: str, where: _Where) -> int:
    value = element.get(name) if isinstance(element, dict) else None
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{where}: {name} is {value}, expected a whole number.")
    return value
