"""Annotations in Pascal VOC's layout: an XML file for each image, a list of names for a split."""

import math
import os
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from typing import Optional
from xml.parsers import expat

from msbreg_tf.evaluation.detection.pictures import Picture, Split, inside, picture

CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")
_SIDES = ("xmin", "ymin", "xmax", "ymax")


def read_voc(folder: str, splits: Sequence[str], classes: Sequence[str], flag: str) -> Split:
    """Reads splits, one after the other.

    Boxes are brought from VOC's counting of pixels, from 1 and with both ends, to coordinates from
    the corner: xmin − 1, ymin − 1, xmax, ymax, as Detectron2 does.

    Args:
      folder: VOC's devkit, with splits like "VOC2007/trainval", or a folder like VOC2007 itself,
        with splits like "trainval".
      splits: names of lists in ImageSets/Main.
      classes: the names that objects may have, or none for VOC's own.
      flag: that names the splits, for messages.

    Raises:
      ValueError: a file that is missing, not XML, or says what can't be; names file and line.
    """
    names = tuple(classes) or CLASSES
    numbers = {name: number for number, name in enumerate(names)}
    pictures = []
    for split in splits:
        year, _, part = split.rpartition("/")
        base = os.path.join(folder, year) if year else folder
        listed = os.path.join(base, "ImageSets", "Main", f"{part}.txt")
        if not os.path.isfile(listed):
            raise ValueError(f"--{flag}={split}: there is no {listed}. Correct the name.")
        for name, where in _names(listed):
            called = f"{year}/{name}" if year else name
            pictures.append(_picture(base, name, called, where, numbers))
    return Split(names, tuple(pictures))


def _names(listed: str) -> Iterator[tuple[str, str]]:
    """(name, file and line) of every line; a list for one class has a number after the name."""
    seen = set()
    with open(listed, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                name, where = line.split()[0], f"{listed}, line {number}"
                if name in seen:
                    raise ValueError(f"{where}: {name} is there twice. Remove the line.")
                seen.add(name)
                yield name, where
    if not seen:
        raise ValueError(f"{listed}: it is empty. Name images there, one a line.")


def _picture(base: str, name: str, called: str, where: str, numbers: dict[str, int]) -> Picture:
    xml = os.path.join(base, "Annotations", f"{name}.xml")
    if not os.path.isfile(xml):
        raise ValueError(f"{where}: there is no {xml}. Add it, or remove the line.")
    image = os.path.join(base, "JPEGImages", name)
    path = next((image + end for end in _SUFFIXES if os.path.isfile(image + end)), None)
    if path is None:
        raise ValueError(f"{where}: there is no {image}.jpg. Add it, or remove the line.")
    root, lines = _parsed(xml)
    said = root.find("size")
    where = f"{xml}, line {lines[root if said is None else said]}"
    width, height = (_number(said, side, where) for side in ("width", "height"))
    if not (width >= 1 and height >= 1):
        raise ValueError(f"{where}: the size is {width:g}×{height:g}, expected at least 1×1.")
    size, objects = (int(width), int(height)), []
    for element in root.findall("object"):
        objects.append(_object(element, size, f"{xml}, line {lines[element]}", numbers))
    return picture(called, path, size, objects)


def _object(
    element: ET.Element, size: tuple[int, int], where: str, numbers: dict[str, int]
) -> tuple[tuple[float, ...], int, bool]:
    """Box, label and whether it is difficult; <pose>, <truncated> and <part> are not looked at."""
    label = (element.findtext("name") or "").strip()
    if label not in numbers:
        known = ", ".join(list(numbers)[:20])
        raise ValueError(
            f"{where}: the class '{label}' is none of {known}. Correct it, or name the classes "
            "with --classes."
        )
    left, top, right, bottom = (_number(element.find("bndbox"), side, where) for side in _SIDES)
    box = inside((left - 1, top - 1, right, bottom), size, where)
    text = (element.findtext("difficult") or "0").strip()
    if text not in ("0", "1"):
        raise ValueError(f"{where}: <difficult> is '{text}', expected 0 or 1.")
    return box, numbers[label], text == "1"


def _number(parent: Optional[ET.Element], tag: str, where: str) -> float:
    text = None if parent is None else parent.findtext(tag)
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        said = "is missing" if text is None else f"is '{text.strip()}'"
        raise ValueError(f"{where}: <{tag}> {said}, expected a number.")
    return value


def _parsed(path: str) -> tuple[ET.Element, dict[ET.Element, int]]:
    """The root of an XML file and the line of each element, which ElementTree does not tell."""
    builder, lines, parser = ET.TreeBuilder(), {}, expat.ParserCreate()

    def start(tag, attributes):
        lines[builder.start(tag, attributes)] = parser.CurrentLineNumber

    parser.StartElementHandler = start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        with open(path, "rb") as file:
            parser.ParseFile(file)
    except expat.ExpatError as error:
        reason = expat.errors.messages[error.code]
        raise ValueError(f"{path}, line {error.lineno}: no XML ({reason}). Restore it.") from None
    return builder.close(), lines
