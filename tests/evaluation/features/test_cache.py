import dataclasses
import errno
import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.evaluation.features import block_files
from msbreg_tf.evaluation.features.cache import split_features
from msbreg_tf.evaluation.features.exported import load_encoder
from msbreg_tf.files.whole import write_whole
from tests.evaluation.exports import FEATURES, save_tiny
from tests.labelled import images_of, labelled_split


class Counting:
    """An encoder that counts the images it embeds, and can break off after some."""

    def __init__(self, encoder, limit=None):
        self.encoder, self.limit = encoder, limit
        self.images, self.largest_batch = 0, 0

    def embed(self, images):
        if self.limit is not None and self.images >= self.limit:
            raise KeyboardInterrupt
        self.images += len(images)
        self.largest_batch = max(self.largest_batch, len(images))
        return self.encoder.embed(images)

    def __getattr__(self, name):
        return getattr(self.encoder, name)


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    root = tmp_path_factory.mktemp("exports")
    return [load_encoder(save_tiny(root / str(seed), seed=seed)) for seed in (0, 1)]


@pytest.fixture
def encoder(encoders):
    return Counting(encoders[0])


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path):
    """Two classes in train, of five images each."""
    rng = np.random.default_rng(0)
    for number in range(10):
        path = tmp_path / "images" / "train" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, rng.integers(0, 256, [12, 9, 3], np.uint8))
    return tmp_path / "images"


def write_png(path, pixels):
    path.write_bytes(tf.io.encode_png(pixels).numpy())


def sample(encoder, cache, split="test", **others):
    settings = {"image_size": 8, "limit": 50, "batch_size": 8, "block_size": 16} | others
    data = labelled_split("sample", split, None, settings.pop("limit"))
    return split_features(encoder, data, cache_dir=cache, **settings)


def of_folder(encoder, cache, root, **others):
    settings = {"image_size": 8, "batch_size": 2, "block_size": 2, "limit": None} | others
    data = labelled_split("folder", "train", str(root), settings.pop("limit"))
    return split_features(encoder, data, cache_dir=cache, **settings)


def blocks(cache) -> list[pathlib.Path]:
    return sorted(pathlib.Path(cache).glob("*/*.block"))


def assert_same(a, b):
    np.testing.assert_array_equal(a.features, b.features)
    np.testing.assert_array_equal(a.labels, b.labels)
    assert a.split_fingerprint == b.split_fingerprint


@pytest.mark.parametrize("cached", [False, True])
def test_features_are_those_of_the_images_in_order(encoder, cache, cached):
    found = sample(encoder, cache if cached else None)
    images, labels = images_of("sample", "test", None, 8, limit=50)
    np.testing.assert_array_equal(found.features, encoder.encoder.embed(images))
    np.testing.assert_array_equal(found.labels, labels)
    assert (found.features.dtype, found.labels.dtype) == (np.float32, np.int64)
    assert encoder.largest_batch == 8  # streamed


def test_the_second_time_nothing_is_embedded(encoder, cache):
    first = sample(encoder, cache)
    assert encoder.images == 50
    assert_same(sample(encoder, cache, batch_size=5, block_size=7), first)
    assert encoder.images == 50


@pytest.mark.parametrize(
    "other", [{"split": "train"}, {"image_size": 6}, {"limit": 49}, {"limit": None}]
)
def test_other_data_or_preprocessing_is_not_taken_from_the_cache(encoder, cache, other):
    first = sample(encoder, cache)
    second = sample(encoder, cache, **other)
    assert encoder.images > 50
    assert len(second.features) != 50 or not np.allclose(first.features, second.features)
    if "image_size" in other:
        assert second.split_fingerprint == first.split_fingerprint
    else:
        assert second.split_fingerprint != first.split_fingerprint


def test_another_export_at_the_same_path_is_not_taken_from_the_cache(encoders, cache, tmp_path):
    path = tmp_path / "export"
    found = []
    for encoder in encoders:
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(encoder.path, path)
        found.append(sample(load_encoder(str(path)), cache))
        np.testing.assert_array_equal(found[-1].features, sample(encoder, None).features)
    assert found[0].split_fingerprint == found[1].split_fingerprint


def test_an_export_that_moved_is(encoder, cache, tmp_path):
    first = sample(encoder, cache)
    moved = Counting(load_encoder(shutil.copytree(encoder.path, tmp_path / "moved")))
    assert_same(sample(moved, cache), first)
    assert moved.images == 0


@pytest.mark.parametrize("change", ["pixels", "label", "removed", "added"])
def test_changed_files_are_noticed(encoder, cache, folder, change):
    before = of_folder(encoder, cache, folder)
    file = folder / "train" / "b" / "5.png"
    if change == "pixels":
        write_png(file, np.zeros([12, 9, 3], np.uint8))
    elif change == "label":
        file.rename(folder / "train" / "a" / "5.png")
    elif change == "removed":
        file.unlink()
    else:
        shutil.copy(file, file.with_name("55.png"))
    after = of_folder(encoder, cache, folder)
    assert_same(after, of_folder(encoder, None, folder))
    assert after.split_fingerprint != before.split_fingerprint


@pytest.mark.parametrize(
    ("block", "damage"),
    [
        (0, "truncated"),
        (1, "one bit"),
        (2, "empty"),
        (2, "swapped"),
        (3, "truncated"),
        (3, "gone"),
    ],
)
def test_a_damaged_block_is_computed_again(encoder, cache, block, damage):
    first = sample(encoder, cache)
    paths = blocks(cache)
    assert len(paths) == 4
    content = bytearray(paths[block].read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    elif damage == "one bit":
        content[len(content) // 2] ^= 1
    elif damage == "empty":
        content = b""
    elif damage == "swapped":
        content = paths[block - 1].read_bytes()
    paths[block].write_bytes(content)
    if damage == "gone":
        paths[block].unlink()
    encoder.images = 0
    assert_same(sample(encoder, cache), first)
    assert encoder.images == 50 - 16 * block
    encoder.images = 0
    sample(encoder, cache)
    assert encoder.images == 0  # repaired


def test_a_block_of_another_entry_is_refused(encoder, encoders, cache):
    first = sample(encoder, cache)
    [entry] = cache.iterdir()
    other = Counting(encoders[1])
    expected = sample(other, cache)
    [theirs] = set(cache.iterdir()) - {entry}
    for path in theirs.glob("*.block"):
        shutil.copy(entry / path.name, path)
    assert_same(sample(other, cache), expected)
    assert other.images == 100
    assert not np.allclose(first.features, expected.features)


def test_an_interrupted_computation_continues(encoders, cache):
    interrupted = Counting(encoders[0], limit=40)
    with pytest.raises(KeyboardInterrupt):
        sample(interrupted, cache)
    continued = Counting(encoders[0])
    assert_same(sample(continued, cache), sample(encoders[0], None))
    assert continued.images == 50 - 32  # of 40 embedded, two blocks of 16 were kept


def test_broken_files_are_left_out_also_when_continued(encoders, cache, folder):
    for name in ("0", "4", "9"):
        next(folder.rglob(f"{name}.png")).write_bytes(b"no image")
    whole = of_folder(encoders[0], None, folder)
    np.testing.assert_array_equal(whole.labels, [0, 0, 0, 1, 1, 1, 1])
    interrupted = Counting(encoders[0], limit=4)
    with pytest.raises(KeyboardInterrupt):
        of_folder(interrupted, cache, folder)
    continued = Counting(encoders[0])
    assert_same(of_folder(continued, cache, folder), whole)
    assert continued.images == 7 - 2


def test_a_limit_takes_files_of_all_classes(encoders, folder):
    found = of_folder(encoders[0], None, folder, limit=4)
    np.testing.assert_array_equal(found.labels, [0, 0, 1, 1])


def test_no_image_at_all(encoders, folder):
    for path in folder.rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(ValueError, match="folder train: no image that can be read"):
        of_folder(encoders[0], None, folder)


def test_a_folder_without_classes_has_no_labels(encoders, tmp_path):
    (tmp_path / "train").mkdir()
    write_png(tmp_path / "train" / "1.png", np.zeros([9, 9, 3], np.uint8))
    with pytest.raises(ValueError, match="no labels"):
        of_folder(encoders[0], None, tmp_path)


def test_images_without_labels_are_refused(encoders, cache):
    data = labelled_split("sample", "test", None)
    records = data.records.map(lambda record, label: (record, -tf.ones_like(label)))
    data = dataclasses.replace(data, records=records)
    with pytest.raises(ValueError, match="sample test has images without labels"):
        split_features(encoders[0], data, image_size=8, cache_dir=cache)


def test_a_split_that_is_no_folder(folder):
    with pytest.raises(ValueError, match=r"--test_split=val: .* has no folder 'val'.* are: train"):
        labelled_split("folder", "val", str(folder), flag="test_split")


def test_an_encoder_that_gives_nan_is_refused(encoders, cache):
    class Broken(Counting):
        def embed(self, images):
            return np.full([len(images), FEATURES], np.nan, np.float32)

    with pytest.raises(ValueError, match="not finite"):
        sample(Broken(encoders[0]), cache)
    assert not blocks(cache)


def test_without_a_usable_cache_it_goes_on_and_says_so(encoders, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    found = sample(encoders[0], str(tmp_path / "file" / "cache"))
    assert_same(found, sample(encoders[0], None))
    [line] = capsys.readouterr().err.split("note: ")[1:]
    assert line.startswith(f"--cache_dir={tmp_path}/file/cache: can't be used (Not a directory)")


def test_a_disk_that_fills_at_a_later_block_costs_no_features(encoders, cache, monkeypatch, capsys):
    written = []

    def full(path, write):
        written.append(path)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write_whole(path, write)

    monkeypatch.setattr(block_files, "write_whole", full)
    assert_same(sample(encoders[0], cache), sample(encoders[0], None))
    assert len(written) == 2  # it is not tried again
    assert "can't be used (No space left on device); going on" in capsys.readouterr().err
    monkeypatch.setattr(block_files, "write_whole", write_whole)
    again = Counting(encoders[0])
    assert_same(sample(again, cache), sample(encoders[0], None))
    assert again.images == 50 - 16  # one block was kept


def test_entries_can_be_told_apart_by_a_person(encoder, cache):
    sample(encoder, cache)
    [entry] = os.listdir(cache)
    assert entry.startswith("sample-test-")
    assert encoder.fingerprint in (cache / entry / "job.json").read_text()
