import io
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from msbreg_tf.data.images.decoding import decode_reduced
from msbreg_tf.data.settings import DataSettings
from msbreg_tf.data.sources.image_files import find_images
from msbreg_tf.data.sources.table import open_source


def flat(value: int) -> bytes:
    return tf.io.encode_png(np.full((9, 9, 3), value, np.uint8)).numpy()


@pytest.fixture
def folder(tmp_path, jpegs):
    """Six good images of one colour each, and four broken files, the first position among them."""
    for value in range(6):
        (tmp_path / f"good{value}.png").write_bytes(flat(10 * value))
    (tmp_path / "a_first.JPG").write_bytes(b"hello, this is text")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "truncated.jpeg").write_bytes(jpegs[0][: len(jpegs[0]) // 2])
    (tmp_path / "gone.gif").symlink_to(tmp_path / "nowhere.gif")
    return tmp_path


BROKEN = ["a_first.JPG", "empty.png", "gone.gif", "truncated.jpeg"]


def open_it(path):
    return open_source(DataSettings(dataset="folder", data_dir=str(path)))


def test_finds_images_by_extension_in_order_of_their_relative_paths(tmp_path, capsys):
    names = ["b/2.JPG", "b/10.jpeg", "a.png", "b.bmp", "c/d/e.GIF"]
    for name in [*names, "notes.txt", ".hidden.jpg", "b/._2.JPG", "c/jpg"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "c" / "loop").symlink_to(tmp_path)
    assert find_images(tmp_path) == [str(tmp_path / name) for name in sorted(names)]
    others = "2 other files left out: 1 .txt, 1 without an extension."
    assert capsys.readouterr().err == f"note: {tmp_path}: {others}\n"


def test_what_can_be_decoded_is_found_whatever_it_is_called(tmp_path, capsys):
    picture = Image.fromarray(np.full([9, 9, 3], 50, np.uint8))
    for name, form in (
        *(("a.WEBP", "WEBP"), ("b.tif", "TIFF"), ("c.TIFF", "TIFF"), ("d.jfif", "JPEG")),
        *(("e", "PNG"), ("f", "WEBP"), ("g.jpg", "WEBP")),
    ):
        picture.save(tmp_path / name, form)
    for name in ("h.heic", "i.heic", "j.pdf"):
        (tmp_path / name).touch()
    source = open_it(tmp_path)
    assert source.num_images == 7
    assert "3 other files left out: 2 .heic, 1 .pdf." in capsys.readouterr().err
    records = tf.data.Dataset.from_tensor_slices(source.records_in_memory())
    images = list(records.map(source.decode).as_numpy_iterator())
    assert all(abs(int(image[4, 4, 1]) - 50) < 3 for image in images)
    assert source.broken_files() == []
    needs_pillow = ("a.WEBP", "b.tif", "c.TIFF", "f", "g.jpg")
    assert source.needs_python() == list(needs_pillow)


def test_images_above_the_limit_count_as_broken(tmp_path):
    for side in (10, 20, 30):
        Image.fromarray(np.full([side, side, 3], side, np.uint8)).save(tmp_path / f"{side}.png")
    settings = DataSettings(dataset="folder", data_dir=str(tmp_path), max_megapixels=500e-6)
    source = open_source(settings)
    records = tf.data.Dataset.from_tensor_slices(source.records_in_memory())
    seen = [int(image[0, 0, 0]) for image in records.map(source.decode).as_numpy_iterator()]
    assert seen[:2] == [10, 20]
    assert seen[2] in (10, 20)
    assert source.broken_files() == [str(tmp_path / "30.png")]


def test_broken_files_are_replaced_in_place_and_named(folder):
    source = open_it(folder)
    assert source.num_images == 10
    assert source.broken_files() == [str(folder / name) for name in BROKEN[:3]]  # on opening
    records = dict(source.ordered(tf.constant([1, 2])).as_numpy_iterator())
    assert sorted(records) == list(range(10))
    decoded = tf.data.Dataset.from_tensor_slices([records[i] for i in range(10)]).map(source.decode)
    seen = [int(image[0, 0, 0]) for image in decoded.as_numpy_iterator()]
    again = [int(image[0, 0, 0]) for image in decoded.as_numpy_iterator()]
    assert seen == again
    for record, value in zip((records[i].decode() for i in range(10)), seen):
        if "good" in record:
            assert value == 10 * int(record[-5])
        else:
            assert value in range(0, 60, 10)
    assert source.broken_files() == [str(folder / name) for name in BROKEN]


def jpeg(height: int, width: int, exif: bytes = b"") -> bytes:
    """Of a slope in both directions, so that no turn of it looks the same."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([2 * x, 3 * y, x + y], axis=-1).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


def test_decoding_smaller_is_that_of_the_file_alone_or_of_another(tmp_path):
    """A sound JPEG takes a shorter way than other files; both come to the same."""
    turned = Image.Exif()
    turned[274] = 6
    lost_exif = b"Exif\0\0II*\0\xff\xff\xff\0"  # whose directory lies behind the end
    good = {"plain": jpeg(40, 60), "turned": jpeg(40, 60, turned.tobytes()), "png": flat(200)}
    broken = {"cut": jpeg(40, 60)[:700], "lost_exif": jpeg(40, 60, lost_exif)}
    broken |= {"large": jpeg(90, 90), "text": b"\xff\xd8\xffhello"}
    for name, contents in (good | broken).items():
        (tmp_path / f"{name}.jpg").write_bytes(contents)
    source = open_source(
        DataSettings(dataset="folder", data_dir=str(tmp_path), max_megapixels=0.005)
    )

    def half(height, width):
        return tf.where(height > width, 2, 1)  # of the turned one alone

    alone = [decode_reduced(tf.constant(contents), half) for contents in good.values()]
    records = tf.constant([f"{name}.jpg" for name in good | broken])
    found = tf.data.Dataset.from_tensor_slices(records).map(
        lambda r: source.decode_reduced(r, half)
    )
    for name, (image, size) in zip(good | broken, found.as_numpy_iterator()):
        same = [np.array_equal(image, one) and (size == s.numpy()).all() for one, s in alone]
        assert any(same), name
        assert name in broken or same[list(good).index(name)], name
    assert alone[1][0].shape == (30, 20, 3)
    assert [os.path.basename(path) for path in source.broken_files()] == [
        f"{name}.jpg" for name in sorted(broken)
    ]


def test_replacement_survives_another_broken_file(tmp_path):
    """With one good file among twenty, most second candidates are broken too."""
    for number in range(19):
        (tmp_path / f"{number:02}.png").write_bytes(b"broken")
    (tmp_path / "19.png").write_bytes(flat(77))
    source = open_it(tmp_path)
    images = source.ordered(tf.constant([0, 0])).map(lambda _, record: source.decode(record))
    assert [int(image[0, 0, 0]) for image in images.as_numpy_iterator()] == [77] * 20
    assert len(source.broken_files()) == 19


def test_names_with_spaces_and_other_letters(tmp_path):
    for name in ("blå bær.png", "a b.png", "日本.png"):
        (tmp_path / name).write_bytes(flat(50))
    (tmp_path / 'ødelagt "日本" \\.png').write_bytes(b"broken")
    source = open_it(tmp_path)
    images = source.ordered(tf.constant([0, 0])).map(lambda _, record: source.decode(record))
    assert sum(int(image[0, 0, 0]) for image in images.as_numpy_iterator()) == 200
    assert source.broken_files() == [str(tmp_path / 'ødelagt "日本" \\.png')]


def test_order_starts_anywhere(folder):
    source = open_it(folder)
    seed = tf.constant([3, 4])
    whole = list(source.ordered(seed).as_numpy_iterator())
    assert list(source.ordered(seed, 4).as_numpy_iterator()) == whole[4:]
    assert [i for i, _ in whole] != [i for i, _ in source.ordered(seed + 1).as_numpy_iterator()]


def test_name_holds_no_path(folder):
    assert open_it(folder).name == "folder"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, r"--data_dir is missing.*--data_dir=PATH"),
        ({"data_dir": "/no/such"}, r"--data_dir=/no/such: no such folder"),
        ({"data_dir": ".", "split": "test"}, r"--split=test: --dataset=folder has no splits"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        open_source(DataSettings(dataset="folder", **settings))


def test_folder_without_images(tmp_path):
    (tmp_path / "x.txt").touch()
    with pytest.raises(ValueError, match=r"no image in it. Their names end in \.jpg"):
        open_it(tmp_path)
    (tmp_path / "x.jpg").touch()
    with pytest.raises(ValueError, match=r"none of its 1 image files can be decoded.*x\.jpg"):
        open_it(tmp_path)


def test_a_moved_folder_gives_the_same_images_and_fingerprint(folder, tmp_path_factory):
    moved = tmp_path_factory.mktemp("elsewhere") / "deeper"
    shutil.copytree(folder, moved, symlinks=True)
    values, fingerprints = [], []
    for path in (folder, moved):
        source = open_it(path)
        decoded = source.ordered(tf.constant([1, 2])).map(lambda _, record: source.decode(record))  # noqa: B023
        values.append([int(image[0, 0, 0]) for image in decoded.as_numpy_iterator()])
        fingerprints.append(source.fingerprint)
    assert values[0] == values[1]
    assert fingerprints[0] == fingerprints[1]
    (moved / "good0.png").rename(moved / "renamed.png")
    assert open_it(moved).fingerprint != fingerprints[0]


def test_the_list_of_broken_files_outlives_the_process(folder, tmp_path):
    log = str(tmp_path / "broken_files")
    for _ in range(2):  # a run, and the run that continues it
        source = open_it(folder)
        source.log_broken_files_to(log)
        list(source.ordered(tf.constant([1, 2])).map(lambda _, r: source.decode(r)).take(2))  # noqa: B023
    assert set(source.broken_files()) >= {str(folder / name) for name in BROKEN[:3]}
    assert len(source.broken_files()) <= len(BROKEN)
