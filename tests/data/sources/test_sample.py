import numpy as np
import pytest

from msbreg_tf.data.settings import DataSettings
from msbreg_tf.data.sources.sample import (
    CLASSES,
    SHEETS,
    SPLITS,
    load_sample,
    sheet_to_tiles,
    tiles_to_sheet,
)
from msbreg_tf.data.sources.table import open_source
from scripts.make_sample import draw


@pytest.mark.parametrize(("split", "per_class"), [("train", 500), ("test", 100)])
def test_sizes_and_balance(split, per_class):
    images, labels = load_sample(split)
    assert images.shape == (10 * per_class, 32, 32, 3)
    np.testing.assert_array_equal(np.bincount(labels), [per_class] * 10)
    np.testing.assert_array_equal(labels[:10], range(10))


def test_no_test_image_is_a_training_image():
    train, test = ({image.tobytes() for image in load_sample(split)[0]} for split in SPLITS)
    assert len(train) > 4990  # CIFAR-10 itself repeats a few
    assert not train & test


def test_classes_look_as_they_should():
    """Ships and planes are the bluest of the ten, whatever the layout of the sheets."""
    images, labels = load_sample("train")
    blueness = images[..., 2].astype(float).mean((1, 2)) - images[..., 0].mean((1, 2))
    means = [blueness[labels == label].mean() for label in range(10)]
    assert {CLASSES[i] for i in np.argsort(means)[-2:]} == {"airplane", "ship"}


def test_small_enough_to_ship():
    assert sum(path.stat().st_size for path in SHEETS.rglob("*.*")) < 16e6


def test_splits_can_be_joined_and_others_are_refused():
    images, labels = load_sample("train+test")
    assert len(images) == len(labels) == 6000
    assert open_source(DataSettings()).num_images == 5000
    for split in ("validation", "train[:x]", "train[:10%", "train[1:2:3]"):
        with pytest.raises(ValueError, match=r"--split=.*splits train and test"):
            open_source(DataSettings(split=split))


def test_parts_of_a_split_are_balanced_and_leave_nothing_out():
    whole, labels = load_sample("train")
    first, first_labels = load_sample("train[:80%]")
    rest, _ = load_sample("train[4000:]")
    np.testing.assert_array_equal(np.concatenate([first, rest]), whole)
    np.testing.assert_array_equal(np.bincount(first_labels), [400] * 10)
    np.testing.assert_array_equal(
        load_sample("test[10:20]+train[1%:2%]")[1], [*labels[10:20], *labels[50:100]]
    )
    assert open_source(DataSettings(split="train[:80%]")).name == "sample train[:80%]"


def test_sheets_hold_their_tiles():
    tiles = np.random.default_rng(0).integers(0, 256, (75, 32, 32, 3), np.uint8)
    sheet = tiles_to_sheet(tiles)
    assert sheet.shape == (3 * 32, 25 * 32, 3)
    np.testing.assert_array_equal(sheet[32:64, 64:96], tiles[27])
    np.testing.assert_array_equal(sheet_to_tiles(sheet), tiles)
    with pytest.raises(ValueError, match="multiple of 25 tiles, received 26"):
        tiles_to_sheet(tiles[:26])


def test_drawing_does_not_depend_on_the_order_on_disk():
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (60, 4, 4, 3), np.uint8)
    labels = np.arange(60) % 10
    shuffled = rng.permutation(60)
    picks = draw(images, labels, 3, seed=7)
    again = draw(images[shuffled], labels[shuffled], 3, seed=7)
    np.testing.assert_array_equal(np.stack(picks), np.stack(again))
    assert (np.stack(picks) != np.stack(draw(images, labels, 3, seed=8))).any()
    for label, tiles in enumerate(picks):
        members = {image.tobytes() for image in images[labels == label]}
        drawn = {tile.tobytes() for tile in tiles}
        assert drawn <= members
        assert len(drawn) == 3
