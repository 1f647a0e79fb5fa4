import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.data.images.resizing import resize_and_crop
from msbreg_tf.data.settings import DataSettings
from msbreg_tf.data.sources.imagenet100 import WNIDS
from msbreg_tf.data.sources.sample import load_sample
from msbreg_tf.data.sources.table import open_source
from tests.labelled import images_of


@pytest.fixture(scope="module")
def wnid_folders(tmp_path_factory):
    """train: 3 images of each class, all pixels the class's number; val: 1; one broken in train."""
    root = tmp_path_factory.mktemp("imagenet")
    for label, wnid in enumerate(WNIDS):
        png = tf.io.encode_png(np.full((10, 14, 3), label, np.uint8)).numpy()
        for split, count in (("train", 3), ("val", 1)):
            (root / split / wnid).mkdir(parents=True)
            for number in range(count):
                (root / split / wnid / f"{wnid}_{number}.JPEG").write_bytes(png)
    (root / "train" / WNIDS[0] / f"{WNIDS[0]}_0.JPEG").write_bytes(b"broken")
    (root / "train" / "n99999999").mkdir()  # a class that is not among the 100
    (root / "train" / "n99999999" / "x.JPEG").write_bytes(png)
    return root


def test_sample_is_unchanged_at_its_own_size():
    images, labels = images_of("sample", "test", None, 32)
    expected_images, expected_labels = load_sample("test")
    np.testing.assert_array_equal(images, expected_images)
    np.testing.assert_array_equal(labels, expected_labels)
    assert (images.dtype, labels.dtype) == (np.uint8, np.int64)


def test_limit_takes_a_balanced_beginning():
    images, labels = images_of("sample", "train", None, 8, limit=30)
    assert images.shape == (30, 8, 8, 3)
    np.testing.assert_array_equal(np.bincount(labels), [3] * 10)


def test_wnid_folders(wnid_folders):
    images, labels = images_of("imagenet100", "train", str(wnid_folders), 8)
    assert len(images) == 299  # the broken one is left out, with its label
    np.testing.assert_array_equal(images[:, 0, 0, 0], labels)
    _, spread = images_of("imagenet100", "validation", str(wnid_folders), 8, limit=20)
    assert spread.tolist() == list(range(0, 100, 5))


@pytest.mark.parametrize("inside", ["", "train"])
def test_wnid_folders_as_a_source(wnid_folders, inside):
    config = DataSettings(dataset="imagenet100", data_dir=str(wnid_folders / inside))
    source = open_source(config)
    assert source.num_images == 300
    assert source.name == "imagenet100 folders train"
    records = dict(source.ordered(tf.constant([0, 0])).as_numpy_iterator())
    assert all(WNIDS[index // 3] in record.decode() for index, record in records.items())


def test_a_missing_class_is_named(tmp_path):
    (tmp_path / WNIDS[0]).mkdir()
    (tmp_path / WNIDS[0] / "a.jpeg").touch()
    with pytest.raises(ValueError, match=rf"no image of class {WNIDS[1]}.*all 100"):
        open_source(DataSettings(dataset="imagenet100", data_dir=str(tmp_path)))


def test_a_folder_has_labels_if_it_has_class_folders(tmp_path):
    (tmp_path / "flat.png").write_bytes(tf.io.encode_png(np.zeros([9, 9, 3], np.uint8)).numpy())
    with pytest.raises(ValueError, match=r"has no folder 'train'. Its splits are its folders"):
        images_of("folder", "train", str(tmp_path), 8)
    for name, grey in (("cat", 10), ("dog", 20)):
        folder = tmp_path / "train" / name
        folder.mkdir(parents=True)
        pixels = np.full([9, 9, 3], grey, np.uint8)
        (folder / "1.png").write_bytes(tf.io.encode_png(pixels).numpy())
    images, labels = images_of("folder", "train", str(tmp_path), 8)
    assert (images[:, 0, 0, 0].tolist(), labels.tolist()) == ([10, 20], [0, 1])


@pytest.mark.parametrize(("height", "width"), [(32, 32), (32, 50), (61, 32)])
def test_a_fitting_side_is_only_cropped(height, width):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    top, left = (height - 32) // 2, (width - 32) // 2
    expected = image[top : top + 32, left : left + 32]
    np.testing.assert_array_equal(resize_and_crop(tf.constant(image), 32), expected)


@pytest.mark.parametrize(("height", "width"), [(333, 500), (500, 375), (1, 7), (97, 96), (20, 20)])
@pytest.mark.parametrize("size", [8, 33])
def test_any_size_becomes_a_square(height, width, size):
    image = np.full((height, width, 3), 130, np.uint8)
    resized = resize_and_crop(tf.constant(image), size).numpy()
    assert resized.shape == (size, size, 3)
    np.testing.assert_array_equal(resized, 130)


def test_halving_a_picture_keeps_its_means():
    """Left half dark, right half bright, twice as wide as high: the crop is the middle."""
    image = np.zeros((32, 64, 3), np.uint8)
    image[:, 32:] = 200
    resized = resize_and_crop(tf.constant(image), 16).numpy()
    np.testing.assert_array_equal(resized[:, :7], 0)
    np.testing.assert_array_equal(resized[:, 9:], 200)
