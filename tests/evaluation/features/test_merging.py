"""Shards: which images they have, and when they make a whole."""

import os
import pathlib

import numpy as np
import pytest

from msbreg_tf.errors import RunFailedError
from msbreg_tf.evaluation.features import blocks, embedding, files
from msbreg_tf.evaluation.features.merging import merge_shards
from msbreg_tf.evaluation.features.shards import Shard, find_shards, parse_shard

BROKEN = ["03.png", "08.png"]


def fill(job):
    """Rows that are the number of the image; two are broken."""

    def batches(start, stop):
        names = job.own[start:stop]
        good = np.array([name not in BROKEN for name in names], bool)
        numbers = np.array([int(name[:2]) for name in names], np.float32)
        yield np.stack([numbers, -numbers], axis=1)[good], good

    return lambda store: blocks.fill_blocks(batches, len(job.own), store)


@pytest.fixture
def folder(tmp_path):
    """Eleven files that are called images."""
    (tmp_path / "pictures").mkdir()
    for number in range(11):
        (tmp_path / "pictures" / f"{number:02}.png").touch()
    return str(tmp_path / "pictures")


def embed(folder, output, shard=None, encoder="first"):
    job = embedding.find_job(folder, {"export": encoder}, shard)
    path = shard.path(output) if shard else output
    if not embedding.is_complete(path, job):
        embedding.embed_job(job, path, fill(job), data_dir=folder)
    return path


@pytest.mark.parametrize("count", [1, 2, 5, 16])
def test_shards_have_every_image_once_and_in_order(count):
    for images in (0, 1, 7, 100):
        parts = [Shard(number, count).part(images) for number in range(1, count + 1)]
        assert [i for start, stop in parts for i in range(start, stop)] == list(range(images))
        sizes = [stop - start for start, stop in parts]
        assert max(sizes) - min(sizes) <= 1


def test_what_a_shard_is_called():
    assert parse_shard("3/16") == (3, 16)
    assert Shard(3, 16).path("/a.b/c.d.parquet") == "/a.b/c.d.shard-03-of-16.parquet"
    for wrong in ("0/4", "5/4", "3", "3/", "-1/4", "1/0", "a/b", "1/4/2"):
        with pytest.raises(ValueError, match=rf"--shard={wrong}: expected I/K"):
            parse_shard(wrong)


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_merged_shards_are_the_file_of_one_process(folder, tmp_path, suffix, capsys):
    whole = embed(folder, str(tmp_path / f"whole.{suffix}"))
    output = str(tmp_path / f"merged.{suffix}")
    for number in (4, 2, 1, 3, 5):
        embed(folder, output, Shard(number, 5))
    count, size, broken = merge_shards(output)
    assert (count, size, broken) == (9, 2, BROKEN)
    assert files.read_names(output) == files.read_names(whole)
    merged, single = (np.concatenate(list(files.read_features(p))) for p in (output, whole))
    np.testing.assert_array_equal(merged, single)
    assert merged[:, 0].tolist() == [0, 1, 2, 4, 5, 6, 7, 9, 10]
    assert files.read_about(output) == files.read_about(whole)
    if suffix == "npz":
        assert pathlib.Path(output).read_bytes() == pathlib.Path(whole).read_bytes()
    assert pathlib.Path(f"{whole}.broken.txt").read_text().split() == BROKEN
    assert merge_shards(output)[0] == 9  # again, over its own file


def test_more_shards_than_images_and_shards_of_broken_ones(folder, tmp_path):
    output = str(tmp_path / "all.npz")
    for number in range(1, 14):
        embed(folder, output, Shard(number, 13))
    assert merge_shards(output)[0] == 9


def test_a_shard_that_is_missing_or_foreign_is_named(folder, tmp_path):
    output = str(tmp_path / "all.npz")
    with pytest.raises(ValueError, match=r"no shards of it, such as .*all.shard-1-of-2.npz"):
        find_shards(output)
    for number in (1, 3, 4):
        embed(folder, output, Shard(number, 4))
    with pytest.raises(ValueError, match=r"1 of 4 shards are missing: .*shard-2-of-4.npz. Run"):
        merge_shards(output)
    embed(folder, output, Shard(2, 4), encoder="second")
    with pytest.raises(ValueError, match=r"shard-2-of-4.npz: it was made of other images, by ano"):
        merge_shards(output)
    os.replace(Shard(3, 4).path(output), Shard(2, 4).path(output))
    embed(folder, output, Shard(3, 4))
    with pytest.raises(ValueError, match=r"shard-2-of-4.npz: not shard 2/4 of embeddings"):
        merge_shards(output)
    os.remove(Shard(2, 4).path(output))
    embed(folder, output, Shard(2, 4))
    other = embed(folder, output, Shard(1, 3))
    with pytest.raises(ValueError, match=r"shards of 3 and of 4 parts lie beside it, such as .*"):
        merge_shards(output)
    os.remove(other)
    pathlib.Path(output).write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"--output=.*all.npz: it exists, with other contents"):
        merge_shards(output)
    assert pathlib.Path(output).read_bytes() == b"something else"


def test_an_interrupted_shard_continues(folder, tmp_path, monkeypatch):
    output = str(tmp_path / "all.npz")
    job = embedding.find_job(folder, {"export": "first"}, Shard(2, 2))
    path = job.shard.path(output)
    asked = []

    def batches(start, stop):
        asked.append(start)
        if len(asked) == 2:
            raise RunFailedError("the server is gone")
        yield from fill_parts(start, stop)

    def fill_parts(start, stop):
        numbers = np.array([int(name[:2]) for name in job.own[start:stop]], np.float32)
        yield np.stack([numbers, -numbers], axis=1), np.ones([stop - start], bool)

    def fill_small(store):
        return blocks.fill_blocks(batches, len(job.own), store, block_size=2)

    monkeypatch.setattr(blocks.stored_features, "__defaults__", (2,))
    with pytest.raises(RunFailedError, match="gone"):
        embedding.embed_job(job, path, fill_small, data_dir=folder)
    assert not os.path.exists(path)
    embedding.embed_job(job, path, fill_small, data_dir=folder)
    assert asked == [0, 2, 2, 4]
    assert np.load(path)["embeddings"][:, 0].tolist() == [5, 6, 7, 8, 9, 10]
    assert not os.path.exists(path + ".unfinished")
