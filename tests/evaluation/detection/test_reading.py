"""Annotations in both layouts: what is read, and what is refused by file and line."""

import json
import pathlib
import re
import shutil

import numpy as np
import pytest

from msbreg_tf.evaluation.detection.coco import read_coco
from msbreg_tf.evaluation.detection.opening import open_splits
from msbreg_tf.evaluation.detection.settings import DetectionData
from msbreg_tf.evaluation.detection.voc import CLASSES, read_voc
from tests.evaluation.detection.folders import CANVAS, SIDE, diamond, scene, write_coco, write_voc

TRAIN = ("VOC2007/trainval", "VOC2012/trainval")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder of each layout, to be copied."""
    root = tmp_path_factory.mktemp("layouts")
    write_voc(root / "voc", train=2, test=2)
    write_coco(root / "coco", train=3, test=2)
    return root


@pytest.fixture
def voc(folders, tmp_path):
    return str(shutil.copytree(folders / "voc", tmp_path / "voc"))


@pytest.fixture
def coco(folders, tmp_path):
    return str(shutil.copytree(folders / "coco", tmp_path / "coco"))


def test_vocs_boxes_are_where_the_photographs_are(voc):
    split = read_voc(voc, TRAIN, (), "train_split")
    assert [p.name for p in split.pictures] == [
        *("VOC2007/000000", "VOC2007/000001", "VOC2012/000200", "VOC2012/000201"),
    ]
    for picture, number in zip(split.pictures, (0, 1, 200, 201)):
        _, objects = scene(number)
        assert (picture.width, picture.height) == CANVAS
        expected = [(left, top, left + SIDE, top + SIDE) for _, left, top in objects]
        np.testing.assert_array_equal(picture.boxes, expected)
        assert [CLASSES[label] for label in picture.labels] == [kind for kind, _, _ in objects]
    test = read_voc(voc, ("VOC2007/test",), (), "test_split")
    assert [p.ignored.tolist() for p in test.pictures] == [[False, True], [False, False]]
    year = read_voc(f"{voc}/VOC2007", ("trainval",), (), "train_split")  # a year's folder itself
    assert [p.name for p in year.pictures] == ["000000", "000001"]


def test_the_layout_and_the_splits_are_found(voc, coco):
    opened = open_splits(DetectionData(data_dir=voc))
    assert (opened.layout, opened.train_split, opened.test_split) == ("voc", TRAIN, "VOC2007/test")
    assert len(opened.lessons) == 4
    opened = open_splits(DetectionData(data_dir=f"{voc}/VOC2007"))
    assert (opened.train_split, opened.test_split) == (("trainval",), "test")
    opened = open_splits(DetectionData(data_dir=coco))
    assert (opened.layout, opened.train_split, opened.test_split) == (
        *("coco", ("train2017",), "val2017"),
    )
    # The crowd of the first image is not to be learnt, nor the last image, which has no object.
    assert [len(p.labels) for p in opened.train.pictures] == [3, 2, 0]
    assert [len(p.labels) for p in opened.lessons] == [2, 2]
    assert not any(p.ignored.any() for p in opened.lessons)


def test_cocos_boxes_masks_and_categories(coco):
    split = read_coco(coco, ("train2017",), "train_split")
    assert (split.names, split.category_ids) == (
        ("cat", "dog", "horse", "aeroplane"),
        (10, 20, 30, 40),
    )
    _, objects = scene(1)
    picture = split.pictures[1]
    expected = [(left, top, left + SIDE, top + SIDE) for _, left, top in objects]
    np.testing.assert_array_equal(picture.boxes, expected)
    assert [split.names[label] for label in picture.labels] == [kind for kind, _, _ in objects]
    assert picture.masks == tuple([diamond(left, top)] for _, left, top in objects)
    assert split.pictures[0].ignored.tolist() == [False, False, True]


def test_a_fingerprint_tells_boxes_apart(voc):
    def fingerprint():
        return read_voc(voc, TRAIN, (), "train_split").fingerprint

    before = fingerprint()
    assert fingerprint() == before
    change(voc, "VOC2012/Annotations/000201.xml", r"<ymax>(\d+)", "<ymax>1{0}")
    change(voc, "VOC2012/Annotations/000201.xml", "<ymax>1", "<ymax>")
    assert fingerprint() == before
    change(voc, "VOC2012/Annotations/000201.xml", "<difficult>0", "<difficult>1")
    assert fingerprint() != before


def change(folder, name, pattern, by):
    """Replaces the first match in a file; {0} is its group."""
    path = pathlib.Path(folder, name)
    text = path.read_text()
    changed = re.sub(pattern, lambda m: by.format(*m.groups()), text, count=1)
    assert changed != text
    path.write_text(changed)


XML = "VOC2007/Annotations/000000.xml"


@pytest.mark.parametrize(
    ("pattern", "by", "said"),
    [
        ("<name>.*</name>", "<name>unicorn</name>", "line 3: the class 'unicorn' is none of aero"),
        (r"<xmax>\d+", "<xmax>400", "line 3: the box .* lies outside of the image of 120×90"),
        (r"<xmin>\d+", "<xmin>-7", "line 3: the box from .* lies outside"),
        (r"<xmax>\d+", "<xmax>-7", "line 3: the box from .* has a negative size"),
        (r"<ymin>\d+", "<ymin>top", "line 3: <ymin> is 'top', expected a number"),
        (r"<ymin>\d+</ymin>", "", "line 3: <ymin> is missing"),
        (r"<ymin>\d+", "<ymin>nan", "line 3: <ymin> is 'nan'"),
        ("<difficult>0", "<difficult>hard", "line 3: <difficult> is 'hard', expected 0 or 1"),
        ("</object>", "</objec>", r"line 7: no XML \(mismatched tag\)"),
        ("<width>120", "<width>0", "line 2: the size is 0×90"),
        ("<size>.*</size>", "", "line 1: <width> is missing"),
    ],
)
def test_a_bad_xml_is_refused_by_file_and_line(voc, pattern, by, said):
    change(voc, XML, pattern, by)
    with pytest.raises(ValueError, match=f"000000.xml, {said}") as caught:
        open_splits(DetectionData(data_dir=voc))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "by"),
    [
        (r"<xmin>\d+", "<xmin>0"),  # counted from 0 after all
        (r"<difficult>0</difficult>", ""),
        (r"<xmin>(\d+)", "<xmin>{0}.25"),
    ],
)
def test_what_is_tolerated(voc, pattern, by):
    change(voc, XML, pattern, by)
    (picture, *_) = open_splits(DetectionData(data_dir=voc)).train.pictures
    assert picture.boxes.min() >= 0
    assert picture.ignored.tolist() == [False, False]


def test_files_of_voc_that_are_missing(voc, tmp_path):
    (tmp_path / "voc" / "VOC2012" / "JPEGImages" / "000201.jpg").unlink()
    listed = "VOC2012/ImageSets/Main/trainval.txt, line 2"
    with pytest.raises(ValueError, match=rf"{listed}: there is no .*000201.jpg\. Add it"):
        read_voc(voc, TRAIN, (), "train_split")
    (tmp_path / "voc" / "VOC2012" / "Annotations" / "000201.xml").unlink()
    with pytest.raises(ValueError, match=rf"{listed}: there is no .*000201.xml\. Add it"):
        read_voc(voc, TRAIN, (), "train_split")
    with pytest.raises(ValueError, match=r"--train_split=VOC2007/all: there is no .*all\.txt"):
        read_voc(voc, ("VOC2007/all",), (), "train_split")
    change(voc, "VOC2007/ImageSets/Main/trainval.txt", "000001", "000000")
    with pytest.raises(ValueError, match=r"trainval.txt, line 2: 000000 is there twice"):
        read_voc(voc, TRAIN, (), "train_split")
    with pytest.raises(ValueError, match="neither annotations/, as in COCO's layout, nor"):
        open_splits(DetectionData(data_dir=f"{voc}/VOC2007/JPEGImages"))


JSON = "annotations/instances_train2017.json"


def line_of(folder, text):
    """The line of the file in which the object with this text begins."""
    lines = pathlib.Path(folder, JSON).read_text().splitlines()
    at = next(number for number, line in enumerate(lines) if text in line)
    return max(number for number, line in enumerate(lines[:at]) if line.strip() == "{") + 1


@pytest.mark.parametrize(
    ("where", "name", "value", "said"),
    [
        (("annotations", 1), "image_id", 77, "there is no image 77"),
        (("annotations", 1), "category_id", 11, "there is no category 11 in 'categories'"),
        (("annotations", 1), "category_id", "cat", "category_id is cat, expected a whole number"),
        (("annotations", 1), "bbox", [0, 0, -5, 5], "the box .* has a negative size"),
        (("annotations", 1), "bbox", [100, 0, 40, 5], "lies outside of the image of 120×90"),
        (("annotations", 1), "bbox", [1, 2, 3], r"bbox is \[1, 2, 3\], expected \[left, top"),
        (("annotations", 1), "bbox", [0, 0, None, 5], "bbox is .*None"),
        (("annotations", 1), "segmentation", [[0, 0, 1, 1]], "neither polygons of at least three"),
        (("images", 1), "file_name", "gone.jpg", "there is no .*gone.jpg. Add it"),
        (("images", 1), "height", 0, "height is 0, expected at least 1"),
        (("images", 1), "id", 1, "id 1 is there twice"),
        (("categories", 1), "id", 10, "id 10 is there twice"),
    ],
)
def test_a_bad_element_of_a_json_is_refused_by_file_and_line(coco, where, name, value, said):
    part, number = where
    path = pathlib.Path(coco, JSON)
    content = json.loads(path.read_text())
    content[part][number][name] = value
    content[part][number]["mark"] = "here"
    path.write_text(json.dumps(content, indent=1))
    line = line_of(coco, '"mark"')
    element = rf"{part}\[{number}\]"
    with pytest.raises(ValueError, match=rf"train2017.json, line {line}, {element}: .*{said}"):
        open_splits(DetectionData(data_dir=coco))


def test_what_is_no_json_or_lacks_a_list(coco):
    path = pathlib.Path(coco, JSON)
    text = path.read_text()
    path.write_text(text.replace('"id": 1,', '"id": 1', 1))
    with pytest.raises(ValueError, match=r"train2017.json, line 5: no JSON \(Expecting ',' delim"):
        read_coco(coco, ("train2017",), "train_split")
    path.write_text('{"images": []}')
    with pytest.raises(
        ValueError, match=r"train2017\.json, line 1: the list 'annotations' is missi"
    ):
        read_coco(coco, ("train2017",), "train_split")
    with pytest.raises(ValueError, match=r"--train_split=all: there is no .*instances_all\.json"):
        read_coco(coco, ("all",), "train_split")


def test_a_box_without_area_is_left_out(coco):
    """As COCO's own training split has one, of height 0."""
    path = pathlib.Path(coco, JSON)
    content = json.loads(path.read_text())
    content["annotations"][0]["bbox"][3] = 0
    path.write_text(json.dumps(content))
    split = read_coco(coco, ("train2017",), "train_split")
    assert split.left_out == 1
    assert [len(p.labels) for p in split.pictures] == [2, 2, 0]


def test_splits_that_do_not_fit_each_other(voc, coco):
    with pytest.raises(ValueError, match="--train_split=VOC2007/trainval: there is no"):
        open_splits(DetectionData(data_dir=coco, layout="voc"))
    with pytest.raises(ValueError, match="--classes is for VOC's layout"):
        open_splits(DetectionData(data_dir=coco, classes=("cat",)))
    with pytest.raises(ValueError, match=r"the class '.*' is none of cat, cow"):
        open_splits(DetectionData(data_dir=voc, classes=("cat", "cow")))
    change(coco, "annotations/instances_val2017.json", '"name": "cat"', '"name": "lion"')
    with pytest.raises(ValueError, match="--test_split=val2017: its categories are not those of"):
        open_splits(DetectionData(data_dir=coco))
