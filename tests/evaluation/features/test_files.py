import os
import pathlib
import sys

import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.data.sources.image_files import find_images
from msbreg_tf.data.sources.records import states_digest
from msbreg_tf.evaluation.features.blocks import BlockStore, embed_blocks, stored_features
from msbreg_tf.evaluation.features.files import (
    check_output,
    file_images,
    read_about,
    write_embeddings,
)

SIZE = 8
BROKEN = {"deep/er/03.jpg", "07.png"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """12 images of one colour each, 10 times their number; many sizes, nested, two broken."""
    root = tmp_path_factory.mktemp("pictures")
    for number in range(12):
        name = f"deep/er/{number:02}.jpg" if number % 3 == 0 else f"{number:02}.png"
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = tf.fill([8 + 3 * number, 30 - number, 3], tf.constant(10 * number, tf.uint8))
        encode = tf.io.encode_jpeg if name.endswith("jpg") else tf.io.encode_png
        content = encode(pixels).numpy()
        path.write_bytes(content[: len(content) // 2] if name in BROKEN else content)
    (root / "notes.txt").write_text("not an image")
    return root


def relative(folder):
    return [os.path.relpath(path, folder) for path in find_images(pathlib.Path(folder))]


class Embed:
    """Mean colour and its square; can die in the middle."""

    def __init__(self, dies_at_call=None):
        self.calls = 0
        self.dies_at_call = dies_at_call

    def __call__(self, pixels):
        if self.calls == self.dies_at_call:
            raise KeyboardInterrupt
        self.calls += 1
        mean = np.mean(np.asarray(pixels, np.float32), axis=(1, 2, 3))
        return np.stack([mean, mean**2], axis=1)


def run(folder, store_folder, output, embed, job="job"):
    names = relative(folder)
    store = BlockStore(str(store_folder), {"job": job})
    images = file_images([os.path.join(folder, name) for name in names], SIZE)
    sizes = {"block_size": 5}
    good = embed_blocks(embed, images, len(names), store, batch_size=2, **sizes)
    kept = [name for name, is_good in zip(names, good) if is_good]
    features = stored_features(store, len(names), **sizes)
    write_embeddings(str(output), kept, features, 2, {"job": job})
    return set(names) - set(kept)


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """The bytes of an uninterrupted run's .npz."""
    place = tmp_path_factory.mktemp("whole")
    assert run(folder, place / "store", place / "whole.npz", Embed()) == BROKEN
    return (place / "whole.npz").read_bytes()


def test_every_good_image_has_its_own_embedding(whole, tmp_path):
    (tmp_path / "a.npz").write_bytes(whole)
    with np.load(tmp_path / "a.npz") as arrays:  # without allow_pickle
        paths, embeddings = arrays["paths"], arrays["embeddings"]
    good = [name for name in (f"{n:02}.png" for n in range(12) if n % 3) if name not in BROKEN]
    good += ["deep/er/00.jpg", "deep/er/06.jpg", "deep/er/09.jpg"]
    assert paths.tolist() == sorted(good)
    colours = [10.0 * int(path[-6:-4]) for path in paths]
    np.testing.assert_allclose(embeddings[:, 0], colours, atol=1)
    assert (embeddings.dtype, embeddings.shape) == (np.float32, (10, 2))


def test_parquet_holds_the_same(folder, whole, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet", exc_type=ImportError)
    run(folder, tmp_path / "store", tmp_path / "b.parquet", Embed())
    table = pq.read_table(tmp_path / "b.parquet")
    (tmp_path / "a.npz").write_bytes(whole)
    with np.load(tmp_path / "a.npz") as arrays:
        assert table["path"].to_pylist() == arrays["paths"].tolist()
        found = np.array(table["embedding"].to_pylist(), np.float32)
        np.testing.assert_array_equal(found, arrays["embeddings"])
    assert read_about(str(tmp_path / "b.parquet")) == {"job": "job"}


@pytest.mark.parametrize(("dies_at_call", "calls_left"), [(2, 7), (3, 4), (6, 1)])
def test_a_killed_run_ends_the_same(folder, whole, tmp_path, dies_at_call, calls_left):
    """12 images are blocks of 5, 5, 2, which are 3, 3, 1 batches."""
    output, store = tmp_path / "a.npz", tmp_path / "store"
    with pytest.raises(KeyboardInterrupt):
        run(folder, store, output, Embed(dies_at_call))
    assert not output.exists()
    embed = Embed()
    assert run(folder, store, output, embed) == BROKEN
    assert embed.calls == calls_left
    assert output.read_bytes() == whole


@pytest.mark.parametrize("damage", ["cut", "swapped"])
def test_a_damaged_block_is_computed_again(folder, whole, tmp_path, damage):
    output, store = tmp_path / "a.npz", tmp_path / "store"
    run(folder, store, output, Embed())
    first, second = store / "000000.block", store / "000001.block"
    content = second.read_bytes()
    changed = {"cut": content[:-9], "swapped": first.read_bytes()}
    second.write_bytes(changed[damage])
    embed = Embed()
    run(folder, store, output, embed)
    assert embed.calls == 3
    assert output.read_bytes() == whole


def test_another_job_starts_anew(folder, tmp_path):
    run(folder, tmp_path / "store", tmp_path / "a.npz", Embed())
    embed = Embed()
    run(folder, tmp_path / "store", tmp_path / "a.npz", embed, job="other encoder")
    assert embed.calls == 7
    assert read_about(str(tmp_path / "a.npz")) == {"job": "other encoder"}


def test_a_store_touches_nothing_but_its_own_files(tmp_path):
    (tmp_path / "letter.txt").touch()
    with pytest.raises(ValueError, match=r"not a folder of unfinished embeddings"):
        BlockStore(str(tmp_path), {})
    assert (tmp_path / "letter.txt").exists()
    store = BlockStore(str(tmp_path / "new"), {})
    store.write(0, features=np.zeros([1, 2]))
    store.delete()
    assert not (tmp_path / "new").exists()


def test_no_file_is_half_written(tmp_path):
    def dies():
        yield np.zeros([1, 2], np.float32)
        raise KeyboardInterrupt

    output = tmp_path / "a.npz"
    output.write_text("the old one")
    with pytest.raises(KeyboardInterrupt):
        write_embeddings(str(output), ["a", "b"], dies(), 2, {})
    assert output.read_text() == "the old one"
    assert read_about(str(output)) is None


def test_the_digest_sees_names_and_changes(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_text("1")
    digests = [states_digest(str(tmp_path), names) for names in (["a.png"], ["a.png", "b.png"])]
    os.utime(tmp_path / "a.png", ns=(1, 1))
    digests.append(states_digest(str(tmp_path), ["a.png"]))
    digests.append(states_digest(str(tmp_path), ["dangling.png"]))
    assert len(set(digests)) == 4


@pytest.mark.parametrize("name", ["a.csv", "none/a.npz", "folder.npz"])
def test_bad_outputs_are_refused(tmp_path, name):
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(ValueError, match=f"--output={tmp_path}/{name}: expected a"):
        check_output(str(tmp_path / name))


def test_parquet_without_pyarrow_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ValueError, match=r"needs pyarrow below 26 .*\.npz"):
        check_output(str(tmp_path / "a.parquet"))
