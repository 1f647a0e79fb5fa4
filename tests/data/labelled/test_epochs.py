import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.data.labelled.epochs import (
    broken_rows,
    central_images,
    select_rows,
    training_batches,
)
from msbreg_tf.data.labelled.records import read_labels
from msbreg_tf.data.sources.records import LabelledRecords
from tests.data.conftest import crop_by_draws, number_only, numbered, numbers_of

COUNT = 30
ROWS = np.array([0, 3, 4, 7, 11, 12, 20, 21, 28, 29])


def split(labels=None, images=None, encoded=False, broken=()):
    """Numbered images with label = number % 5."""
    images = numbered(COUNT) if images is None else images
    labels = np.arange(len(images), dtype=np.int64) % 5 if labels is None else labels
    decode = tf.identity
    if encoded:
        images = [tf.io.encode_png(image).numpy() for image in images]
        for row in broken:
            images[row] = images[row][:40]

        def decode(contents):
            return tf.ensure_shape(tf.io.decode_png(contents, 3), [None, None, 3])

    records = tf.data.Dataset.from_tensor_slices((images, labels))
    files = [f"{row}.png" for row in range(len(labels))] if broken else None
    names = [str(label) for label in range(5)]
    return LabelledRecords(
        "numbers", records, decode, len(labels), names, {}, "pixels", files=files
    )


def epoch_of(source, epoch=0, seed=0, batch_size=4):
    batches = training_batches(source, number_only, seed=seed, epoch=epoch, batch_size=batch_size)
    images, labels = zip(*batches.as_numpy_iterator())
    return numbers_of(image[:, None] for image in images), np.concatenate(labels).tolist()


@pytest.mark.parametrize(("encoded", "cache_mb"), [(False, 64), (True, 64), (True, 0)])
def test_labels_stay_with_the_chosen_images(encoded, cache_mb):
    data = split(encoded=encoded)
    source = select_rows(data, read_labels(data), ROWS, cache_mb=cache_mb)
    assert source.labels.tolist() == (ROWS % 5).tolist()
    numbers, labels = epoch_of(source, batch_size=10)
    assert sorted(numbers) == ROWS.tolist()
    assert labels == [number % 5 for number in numbers]


@pytest.mark.parametrize("cache_mb", [0, 64])
def test_an_epoch_depends_on_seed_and_epoch_alone(cache_mb):
    def orders():
        data = split(encoded=True)
        source = select_rows(data, read_labels(data), ROWS, cache_mb=cache_mb)
        tf.random.set_seed(np.random.default_rng().integers(1000))  # must not matter
        return [epoch_of(source, *which)[0] for which in ((0, 0), (1, 0), (0, 1))]

    first, again = orders(), orders()
    assert first == again
    assert len({tuple(order) for order in first}) == 3
    assert all(len(set(order)) == 8 for order in first)  # two whole batches of 4


def test_every_epoch_has_views_of_its_own():
    data = split()
    source = select_rows(data, read_labels(data), ROWS[:1])
    views = [
        next(iter(training_batches(source, crop_by_draws, seed=0, epoch=epoch, batch_size=1)))[0]
        for epoch in (0, 0, 1, 2)
    ]
    np.testing.assert_array_equal(views[0], views[1])
    assert len({view.numpy().tobytes() for view in views}) > 1


def test_broken_images_are_left_out_with_their_labels():
    data = split(encoded=True, broken=(3, 20))
    source = select_rows(data, read_labels(data), ROWS)
    numbers, labels = epoch_of(source, batch_size=10)
    assert sorted(numbers) == [row for row in ROWS if row not in (3, 20)]
    assert labels == [number % 5 for number in numbers]
    assert broken_rows(data, ROWS).tolist() == [3, 20]
    assert broken_rows(data, ROWS[2:6]).tolist() == []
    [(rows, images, labels, good)] = central_images(data, image_size=12).batch(COUNT)
    assert rows.numpy().tolist() == list(range(COUNT))
    assert labels.numpy().tolist() == [row % 5 for row in range(COUNT)]
    assert np.flatnonzero(~good.numpy()).tolist() == [3, 20]
    assert images.numpy()[[3, 20]].max() == 0
    [(rows, _, _, _)] = central_images(data, image_size=12, first=27).batch(COUNT)
    assert rows.numpy().tolist() == [27, 28, 29]


@pytest.mark.parametrize(
    ("side", "crop", "expected"), [(64, 0.5, 16), (32, 1.0, 0), (36, 8 / 9, 2)]
)
def test_the_central_crop_is_that_part_of_the_shorter_side(side, crop, expected):
    """Pixels hold their own coordinates; the images are 32 px wide after no or one halving."""
    resized = round(32 / crop)
    assert resized == side
    rows, columns = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    image = np.stack([rows, columns, 0 * rows], axis=-1).astype(np.uint8)
    data = split(np.array([0, 1]), np.stack([image, image]))
    [(_, images, labels, _)] = central_images(data, image_size=32, centre_crop=crop).batch(2)
    assert images.shape == (2, 32, 32, 3)
    assert images[0, 0, 0].numpy().tolist() == [expected, expected, 0]
    assert labels.numpy().tolist() == [0, 1]


def test_fingerprints_tell_splits_and_choices_apart():
    data = split()
    labels = read_labels(data)
    changed = np.where(labels == 2, 3, labels)
    prints = [
        select_rows(data, labels, ROWS).fingerprint,
        select_rows(data, labels, ROWS[1:]).fingerprint,
        select_rows(data, changed, ROWS).fingerprint,
    ]
    assert len(set(prints)) == 3
    assert prints[0] == select_rows(split(encoded=True), labels, ROWS).fingerprint


def test_missing_labels_are_one_line():
    with pytest.raises(ValueError, match="images without labels"):
        read_labels(split(np.array([0, -1] * 15)))
    with pytest.raises(ValueError, match="no images"):
        read_labels(split(np.array([], np.int64), numbered(0)))
