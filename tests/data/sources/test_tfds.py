"""TFDS sources: a tiny data set really written to disk, and mocks of the big ones."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from msbreg_tf.data.pipeline.seeds import order_seed
from msbreg_tf.data.pipeline.views import ViewPlan, view_batches
from msbreg_tf.data.settings import DataSettings
from msbreg_tf.data.sources.imagenet100 import CMC_ORDER, WNIDS, label_table
from msbreg_tf.data.sources.source import MemorySource
from msbreg_tf.data.sources.table import open_source
from msbreg_tf.data.sources.tfds import StreamSource, count_and_hold
from msbreg_tf.data.sources.tfds_builder import encoded_examples
from msbreg_tf.data.sources.tfrecords import find_records
from tests.data.conftest import crop_by_draws, number_only, numbered, numbers_of
from tests.labelled import images_of


class NumberedPictures(tfds.core.GeneratorBasedBuilder):
    """30 'train', 10 'unlabelled' and 6 'test' images; the number of an image tells its split."""

    VERSION = tfds.core.Version("1.2.3")

    def _info(self):
        image = tfds.features.Image(shape=(12, 12, 3), encoding_format="png")
        label = tfds.features.ClassLabel(num_classes=5)
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict({"image": image, "label": label})
        )

    def _split_generators(self, dl_manager):
        ends = {"train": (0, 30), "unlabelled": (30, 40), "test": (40, 46)}
        return {split: self._generate_examples(*pair) for split, pair in ends.items()}

    def _generate_examples(self, start, stop):
        for number in range(start, stop):
            label = -1 if 30 <= number < 40 else number % 5
            yield number, {"image": numbered(stop)[number], "label": label}


class GreyPictures(NumberedPictures):
    """Grey, and of different sizes."""

    def _info(self):
        image = tfds.features.Image(shape=(None, None, 1))
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict({"image": image}))

    def _generate_examples(self, start, stop):
        for number in range(start, stop):
            yield number, {"image": np.full((12 + number, 15, 1), number, np.uint8)}


class SoundOnly(NumberedPictures):
    """No image in it."""

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict({"audio": tfds.features.Audio()})
        )


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    root = str(tmp_path_factory.mktemp("tfds"))
    NumberedPictures(data_dir=root).download_and_prepare()
    return root


def open_numbers(data_dir, split="train", **settings):
    return open_source(
        DataSettings(dataset="numbered_pictures", split=split, data_dir=data_dir, **settings)
    )


@pytest.mark.parametrize("cache_mb", [0, 1])
@pytest.mark.parametrize(
    ("split", "numbers"),
    [
        ("train", range(30)),
        ("train+unlabelled", range(40)),
        ("train[:20%]", None),
    ],
)
def test_split_expressions(data_dir, cache_mb, split, numbers):
    source = open_numbers(data_dir, split, cache_mb=cache_mb)
    assert isinstance(source, MemorySource)
    assert source.name == f"numbered_pictures 1.2.3 {split}"
    assert source.image_shape == (12, 12)
    count = 6 if numbers is None else len(numbers)
    assert source.num_images == count
    [batch] = view_batches(ViewPlan(source, number_only, 0, count, 2), num_steps=1)
    shown = sorted(numbers_of([batch.numpy()]))
    assert len(set(shown)) == count
    assert numbers is None or shown == list(numbers)


def test_from_memory_and_from_disk_it_is_the_same(data_dir):
    """Numbers, order and pixels: --cache_mb changes how images are read, and nothing else."""

    def images(source):
        return [
            (int(index), source.decode(record).numpy().tobytes())
            for index, record in source.ordered(tf.constant([1, 2]))
        ]

    held, read = open_numbers(data_dir), open_numbers(data_dir, cache_mb=0)
    assert read.records_in_memory().dtype == tf.int64  # places in files
    assert images(held) == images(read)


def test_reading_from_disk_resumes_exactly(data_dir):
    source = open_numbers(data_dir, cache_mb=0)

    def run(start):
        dataset = view_batches(ViewPlan(source, crop_by_draws, 1, 8, 2), start, num_steps=7)
        return np.stack(list(dataset.as_numpy_iterator()))

    whole = run(0)
    for start in (2, 4):  # three steps in an epoch
        np.testing.assert_array_equal(run(start), whole[start:])


def test_records_are_found_in_several_files_and_in_parts_of_them(tmp_path):
    builder = NumberedPictures(data_dir=str(tmp_path))
    config = tfds.download.DownloadConfig(num_shards=4)
    builder.download_and_prepare(download_config=config)
    assert len(builder.info.splits["train"].filepaths) == 4
    for split in ("train", "train[7:19]+test", "test[50%:]"):
        expected = [e["image"].numpy() for e in encoded_examples(builder, split)]
        files = find_records(builder, split)
        assert [files.image(place).numpy() for place in files.places] == expected


def _left_out_and_moved(order_of_epoch, count, batch, epochs=60):
    """Share left out for each fifth of the disk, and the mean move between epochs."""
    orders = [order_of_epoch(epoch) for epoch in range(epochs)]
    left_out = np.zeros(count)
    for order in orders:
        left_out[order[count - count % batch :]] += 1
    places = np.argsort(orders, axis=1)
    moves = np.abs(np.diff(places, axis=0)).mean()
    return left_out.reshape(5, -1).mean(axis=1) / epochs, moves


def test_a_stream_leaves_all_parts_of_the_disk_out_alike():
    """1,000 records, a buffer of 128, batches of 96: 40 of them are left out of every epoch."""
    records = tf.data.Dataset.range(1000)
    source = StreamSource("numbers", records, 1000, 128, None)

    def order(epoch):
        pairs = source.ordered(order_seed(0, epoch)).as_numpy_iterator()
        return [index for index, _ in pairs]

    left_out, moves = _left_out_and_moved(order, 1000, 96)
    assert left_out.mean() == pytest.approx(0.04)
    np.testing.assert_allclose(left_out, 0.04, atol=0.025)
    assert moves == pytest.approx(333, rel=0.1)


def test_reading_from_disk_is_uniform(data_dir):
    source = open_numbers(data_dir, cache_mb=0)

    def order(epoch):
        pairs = source.ordered(order_seed(0, epoch)).as_numpy_iterator()
        return [index for index, _ in pairs]

    left_out, moves = _left_out_and_moved(order, 30, 8, epochs=200)  # 6 of 30 are left out
    np.testing.assert_allclose(left_out, 0.2, atol=0.05)
    assert moves == pytest.approx(10, rel=0.1)


def test_grey_images_of_many_sizes(tmp_path):
    source = open_source(DataSettings(dataset="grey_pictures", data_dir=str(tmp_path)))
    assert source.image_shape is None
    [batch] = view_batches(ViewPlan(source, crop_by_draws, 0, 30, 2), num_steps=1)
    assert batch.shape == (30, 2, 8, 8, 3)
    assert sorted(batch[:, 0, 0, 0, 1].numpy()) == list(range(30))
    with pytest.raises(ValueError, match="--dataset=grey_pictures: it has no class labels"):
        images_of("grey_pictures", "train", str(tmp_path), 8)


def test_labels_stay_with_their_images(data_dir):
    images, labels = images_of("numbered_pictures", "train", data_dir, 12)
    assert images.shape == (30, 12, 12, 3)
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(images[:, 0, 0, 0] % 5, labels)
    some, few = images_of("numbered_pictures", "train", data_dir, 12, limit=7)
    np.testing.assert_array_equal(some, images[:7])
    np.testing.assert_array_equal(few, labels[:7])
    with pytest.raises(ValueError, match="numbered_pictures unlabelled has images without labels"):
        images_of("numbered_pictures", "unlabelled", data_dir, 12)


@pytest.mark.parametrize(("name", "shape"), [("stl10", (96, 96)), ("cifar10", (32, 32))])
def test_mocked_small_images(name, shape):
    with tfds.testing.mock_data(num_examples=6):
        for cache_mb in (0, 4096):
            source = open_source(DataSettings(dataset=name, cache_mb=cache_mb))
            assert (source.num_images, source.image_shape) == (6, shape)
            [batch] = view_batches(ViewPlan(source, crop_by_draws, 0, 6, 2), num_steps=1)
            assert batch.shape == (6, 2, 8, 8, 3)
        images, labels = images_of(name, "test", None, 24)
    assert images.shape == (6, 24, 24, 3)
    assert set(labels) <= set(range(10))


def test_mocked_imagenet100_keeps_only_its_classes():
    with tfds.testing.mock_data(num_examples=150):
        builder = tfds.builder("imagenet2012")
        names = builder.info.features["label"].names
        stored = [int(e["label"]) for e in encoded_examples(builder, "train", with_labels=True)]
        source = open_source(DataSettings(dataset="imagenet100"))
        _, labels = images_of("imagenet100", "train", None, 8)
        streamed = open_source(DataSettings(dataset="imagenet100", cache_mb=0))
    expected = [WNIDS.index(names[i]) for i in stored if names[i] in CMC_ORDER]
    assert 0 < len(expected) < 150
    assert labels.tolist() == expected
    assert len(set(expected)) > 1
    assert source.num_images == streamed.num_images == len(expected)
    assert source.image_shape is None
    assert isinstance(streamed, StreamSource)


def test_labels_of_imagenet100():
    table = label_table(tfds.builder("imagenet2012").info.features["label"].names).numpy()
    assert table.shape == (1000,)
    assert sorted(table[table >= 0]) == list(range(100))
    assert table[np.flatnonzero(table >= 0)].tolist() == list(range(100))  # both lists are sorted
    assert CMC_ORDER[:2] == ("n02869837", "n01749939")
    assert len(set(CMC_ORDER)) == 100
    assert WNIDS[0] == "n01558993"


@pytest.mark.parametrize(("limit", "held"), [(7, [b"aa", b"bbbb"]), (6, None), (0, None)])
def testcount_and_hold(limit, held):
    records = tf.data.Dataset.from_tensor_slices([b"aa", b"bbbb"])
    assert count_and_hold(records, limit) == (2, held)


def one_line_error(**settings) -> str:
    with pytest.raises(ValueError, match=r"^--") as caught:
        open_source(DataSettings(**settings))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_unknown_name_lists_close_ones():
    assert "Did you mean cifar10" in one_line_error(dataset="cifr10")
    assert "Did you mean sample" in one_line_error(dataset="samples")
    assert one_line_error(dataset="cifar10:9.9.9").startswith("--dataset=cifar10:9.9.9: ")
    assert one_line_error(dataset="What is this").startswith("--dataset=What is this: ")


@pytest.mark.parametrize("split", ["tran", "train[", "train[:10%]+nothing"])
def test_unknown_split_lists_the_splits(data_dir, split):
    message = one_line_error(dataset="numbered_pictures", split=split, data_dir=data_dir)
    assert message.startswith(f"--split={split}: ")
    assert "train, unlabelled, test" in message or "test, train, unlabelled" in message


def test_empty_split(data_dir):
    message = one_line_error(dataset="numbered_pictures", split="train[:0]", data_dir=data_dir)
    assert "no data" in message


def test_no_images_in_it(tmp_path):
    message = one_line_error(dataset="sound_only", data_dir=str(tmp_path))
    assert "no feature 'image', only audio" in message


def test_missing_tars_are_named_with_their_folder(tmp_path):
    message = one_line_error(dataset="imagenet2012", data_dir=str(tmp_path))
    assert str(tmp_path / "downloads" / "manual") in message
    assert "ILSVRC2012_img_train.tar" in message
    assert "ILSVRC2012_img_val.tar" in message


def test_without_network(tmp_path, monkeypatch):
    def fail(self, *args, **kwargs):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(NumberedPictures, "download_and_prepare", fail)
    message = one_line_error(dataset="numbered_pictures", data_dir=str(tmp_path))
    assert f"not prepared in {tmp_path}" in message
    assert "ConnectionError: no route to host" in message
    assert "tfds build numbered_pictures" in message
