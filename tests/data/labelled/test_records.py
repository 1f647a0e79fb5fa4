"""Records keep their labels, and their identity notices changes."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from msbreg_tf.data.sources.sample import load_sample
from msbreg_tf.data.sources.table import labelled_records
from tests.data.conftest import numbered


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
    found = labelled_records("labelled_pictures", split, tfds_dir, limit)
    images, labels = decoded(found)
    assert len(labels) == found.count == (limit or count)
    is_labelled = labels >= 0
    np.testing.assert_array_equal(images[is_labelled, 0, 0, 0] % 5, labels[is_labelled])
    assert is_labelled.all() or split == "train+unlabelled"


def test_sample_records():
    found = labelled_records("sample", "test", None, limit=25)
    expected_images, expected_labels = load_sample("test")
    images, labels = decoded(found)
    np.testing.assert_array_equal(images, expected_images[:25])
    np.testing.assert_array_equal(labels, expected_labels[:25])
    assert found.count == 25


def test_the_hundred_classes_of_imagenet_are_not_counted_beforehand():
    with tfds.testing.mock_data(num_examples=150):
        found = labelled_records("imagenet100", "train", None)
        labels = [int(label) for _, label in found.records]
    assert 0 < len(labels) < 150
    assert set(labels) <= set(range(100))
    assert found.count is None


def test_identity_of_tfds_is_stable_and_notices_other_data(tfds_dir, tmp_path, monkeypatch):
    first = labelled_records("labelled_pictures", "train", tfds_dir)
    again = labelled_records("labelled_pictures", "train", tfds_dir)
    assert (first.identity, first.pixels) == (again.identity, again.pixels)
    monkeypatch.setattr(LabelledPictures, "first", 1)
    LabelledPictures(data_dir=tmp_path).download_and_prepare()
    other = labelled_records("labelled_pictures", "train", str(tmp_path))
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
    found = labelled_records("folder", "val", str(folder))
    images, labels = decoded(found)
    np.testing.assert_array_equal(images[:, 0, 0, 0], [0, 2, 4, 1, 3, 5])  # their numbers
    np.testing.assert_array_equal(labels, [0, 0, 0, 1, 1, 1])
    assert (found.count, found.may_break) == (6, True)


def test_a_class_has_the_same_label_in_every_split(folder):
    (folder / "train" / "dog").mkdir(parents=True)  # and no cat
    (folder / "val" / "dog" / "1.png").rename(folder / "train" / "dog" / "1.png")
    _, labels = decoded(labelled_records("folder", "train", str(folder)))
    np.testing.assert_array_equal(labels, [1])


def test_identity_of_files_has_no_root_in_it(folder, tmp_path_factory):
    here = labelled_records("folder", "val", str(folder))
    there = folder.rename(tmp_path_factory.mktemp("moved") / "root")
    moved = labelled_records("folder", "val", str(there))
    assert (here.identity, here.pixels) == (moved.identity, moved.pixels)


@pytest.mark.parametrize(
    ("data_dir", "split", "message"),
    [
        (None, "train", "--data_dir is missing"),
        ("", "train", "--data_dir is missing"),
        (".", "train", "no folder 'train' in it"),
        (".", "val/cat", "no labels"),
        (".", "val/.hidden", "no labels"),
    ],
)
def test_folders_without_labels_are_refused(folder, data_dir, split, message):
    with pytest.raises(ValueError, match=message):
        labelled_records("folder", split, data_dir and str(folder / data_dir))
