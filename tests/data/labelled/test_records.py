"""Records keep their labels, and their identity notices changes."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from msbreg_tf.data.sources.sample import load_sample
from msbreg_tf.data.sources.table import labelled_splits
from tests.data.conftest import numbered
from tests.labelled import labelled_split


class LabelledPictures(tfds.core.GeneratorBasedBuilder):
    """20 'train' images, and 4 'unlabelled' ones."""

    VERSION = tfds.core.Version("1.0.0")
    first = 0  # number of the first image

    def _info(self):
        image = tfds.features.Image(shape=(12, 12, 3), encoding_format="png")
        label = tfds.features.ClassLabel(num_classes=5)
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict({"image": image, "label": label})
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(20), "unlabelled": self._generate_examples(4)}

    def _generate_examples(self, count):
        images = numbered(self.first + count)
        for number in range(count):
            label = -1 if count == 4 else number % 5
            yield number, {"image": images[self.first + number], "label": label}


@pytest.fixture(scope="module")
def tfds_dir(tmp_path_factory):
    root = str(tmp_path_factory.mktemp("tfds"))
    LabelledPictures(data_dir=root).download_and_prepare()
    return root


def decoded(found):
    pairs = list(found.records.map(lambda record, label: (found.decode(record), label)))
    return [np.stack([pair[i].numpy() for pair in pairs]) for i in (0, 1)]


@pytest.mark.parametrize(
    ("split", "count"), [("train", 20), ("train[:30%]", 6), ("train+unlabelled", 24)]
)
@pytest.mark.parametrize("limit", [None, 5])
def test_tfds_records_keep_their_labels(tfds_dir, split, count, limit):
    found = labelled_split("labelled_pictures", split, tfds_dir, limit)
    images, labels = decoded(found)
    assert len(labels) == found.count == (limit or count)
    is_labelled = labels >= 0
    np.testing.assert_array_equal(images[is_labelled, 0, 0, 0] % 5, labels[is_labelled])
    assert is_labelled.all() or split == "train+unlabelled"


def test_sample_records():
    found = labelled_split("sample", "test", None, limit=25)
    expected_images, expected_labels = load_sample("test")
    images, labels = decoded(found)
    np.testing.assert_array_equal(images, expected_images[:25])
    np.testing.assert_array_equal(labels, expected_labels[:25])
    assert found.count == 25


def test_the_hundred_classes_of_imagenet_are_not_counted_beforehand():
    with tfds.testing.mock_data(num_examples=150):
        found = labelled_split("imagenet100", "train", None)
        labels = [int(label) for _, label in found.records]
    assert 0 < len(labels) < 150
    assert set(labels) <= set(range(100))
    assert found.count is None


def test_identity_of_tfds_is_stable_and_notices_other_data(tfds_dir, tmp_path, monkeypatch):
    first = labelled_split("labelled_pictures", "train", tfds_dir)
    again = labelled_split("labelled_pictures", "train", tfds_dir)
    assert (first.identity, first.pixels) == (again.identity, again.pixels)
    monkeypatch.setattr(LabelledPictures, "first", 1)
    LabelledPictures(data_dir=tmp_path).download_and_prepare()
    other = labelled_split("labelled_pictures", "train", str(tmp_path))
    assert other.pixels != first.pixels
    assert first.identity["tfds"] == "labelled_pictures/1.0.0"
    assert tfds_dir not in str(first.identity)


@pytest.fixture
def folder(tmp_path):
    for number, image in enumerate(numbered(6)):
        path = tmp_path / "val" / ("dog" if number % 2 else "cat") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tf.io.encode_png(image).numpy())
    (tmp_path / "val" / ".hidden").mkdir()
    return tmp_path


def test_class_folders(folder):
    found = labelled_split("folder", "val", str(folder))
    images, labels = decoded(found)
    np.testing.assert_array_equal(images[:, 0, 0, 0], [0, 2, 4, 1, 3, 5])  # their numbers
    np.testing.assert_array_equal(labels, [0, 0, 0, 1, 1, 1])
    assert found.count == 6
    assert found.files == [f"cat/{n}.png" for n in (0, 2, 4)] + [f"dog/{n}.png" for n in (1, 3, 5)]
    assert found.classes == ("cat", "dog")


def test_a_class_has_the_same_label_in_every_split(folder):
    (folder / "train" / "dog").mkdir(parents=True)  # and no cat
    (folder / "val" / "dog" / "1.png").rename(folder / "train" / "dog" / "1.png")
    splits = {"train_split": "train", "test_split": "val"}

    def of_train_and_val():
        train, val = labelled_splits("folder", splits, str(folder))
        return train, [decoded(data)[1].tolist() for data in (train, val)]

    train, labels = of_train_and_val()
    assert labels == [[1], [0, 0, 0, 1, 1]]
    # What is in neither of them counts for nothing: another split, an empty folder of a class.
    (folder / "unlabelled" / "aaa").mkdir(parents=True)
    shutil.copy(folder / "val" / "cat" / "0.png", folder / "unlabelled" / "aaa" / "x.png")
    (folder / "train" / "ant").mkdir()
    again, same_labels = of_train_and_val()
    assert same_labels == labels
    assert (again.identity, again.pixels, again.classes) == (
        train.identity, train.pixels, ("cat", "dog"),
    )  # fmt: skip


def test_identity_of_files_has_no_root_in_it(folder, tmp_path_factory):
    here = labelled_split("folder", "val", str(folder))
    there = folder.rename(tmp_path_factory.mktemp("moved") / "root")
    moved = labelled_split("folder", "val", str(there))
    assert (here.identity, here.pixels) == (moved.identity, moved.pixels)


@pytest.mark.parametrize(
    ("data_dir", "split", "message"),
    [
        (None, "train", "--data_dir is missing"),
        ("", "train", "--data_dir is missing"),
        (".", "train", "has no folder 'train'.* there are: val"),
        (".", "val/cat", "no labels"),
        (".", "val/.hidden", "no labels"),
    ],
)
def test_folders_without_labels_are_refused(folder, data_dir, split, message):
    with pytest.raises(ValueError, match=message):
        labelled_split("folder", split, data_dir and str(folder / data_dir))
