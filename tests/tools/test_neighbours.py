import csv

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from msbreg_tf.commands import neighbours
from msbreg_tf.evaluation.features import exported
from tests.evaluation.exports import save_tiny
from tests.report.fakes import fake_pictures


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    root = tmp_path_factory.mktemp("neighbours")
    folder = fake_pictures(root / "pictures", ("cat", "<b>dog"))
    return save_tiny(root / "export" / "3", metadata={"image_size": 16}), folder, root


@pytest.fixture
def find(setting, run_command):
    """Runs the tool on the folder; returns its output."""
    export, folder, root = setting

    def run(**flags):
        shared = {"saved_model": export, "data_dir": str(folder), "cache_dir": str(root / "kept")}
        return run_command(neighbours.COMMAND, **{**shared, **flags})

    return run


def features_of(export, paths):
    serve = tf.saved_model.load(export).signatures["serving_default"]
    rows = []
    for path in paths:
        image = np.asarray(Image.open(path).convert("RGB"))
        image = tf.image.resize(image[None], [16, 19], antialias=True)[:, :, 1:17]
        rows.append(serve(image=tf.round(image))["embedding"][0].numpy())
    rows = np.stack(rows)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_the_nearest_come_first_with_their_similarity(setting, find):
    export, folder, _ = setting
    query = str(folder / "cat" / "0-3.png")
    lines = find(query=(query,), count=4).splitlines()
    assert lines[0] == f"Like {query}"
    rows = [line.split(maxsplit=2) for line in lines[1:]]
    assert len(rows) == 4
    assert rows[0] == ["1.0000", "0.0000", query]
    paths = sorted(folder.glob("*/*.png"))
    every = features_of(export, paths)
    truth = dict(zip(map(str, paths), every @ every[paths.index(folder / "cat" / "0-3.png")]))
    assert {path for _, _, path in rows} == set(sorted(truth, key=truth.get)[-4:])
    for similarity, distance, path in rows:
        assert float(similarity) == pytest.approx(truth[path], abs=0.01)
        assert float(distance) == pytest.approx(1 - float(similarity), abs=2e-4)


def test_a_second_question_reads_the_features_from_the_cache(find, monkeypatch):
    find(duplicates=0.5)
    sizes = []
    embed = exported.ExportedEncoder.embed
    monkeypatch.setattr(
        exported.ExportedEncoder, "embed", lambda s, x: sizes.append(len(x)) or embed(s, x)
    )
    find(duplicates=0.9)
    assert sizes == []
    find(duplicates=0.9, cache_dir="", batch_size=5)
    assert sizes == [5, 5, 5, 3]


def test_near_duplicates_as_csv(setting, find):
    root = setting[2]
    output = root / "twins.csv"
    assert "1 pair of at least 0.999 among 17 images" in find(duplicates=0.999, output=str(output))
    with open(output, newline="") as file:
        assert list(csv.reader(file)) == [
            ["similarity", "first", "second"],
            ["1.0000", "cat/0-0.png", "cat/twin.png"],
        ]
    assert find(duplicates=0.999).splitlines()[1] == "1.0000,cat/0-0.png,cat/twin.png"


def test_sheets(setting, find):
    pytest.importorskip("jinja2", reason="pip install 'msbreg-tf[report]'")
    _, folder, root = setting
    queries = (str(folder / "cat" / "0-1.png"), str(folder / "<b>dog" / "1-1.png"))
    find(query=queries, count=3, output=str(root / "sheet.png"))
    with Image.open(root / "sheet.png") as sheet:
        assert sheet.size == (6 + 4 * 134 + 18, 6 + 2 * 148)
        pixels = np.asarray(sheet)
    query, first = pixels[6:134, 6:134], pixels[6:134, 158:286]
    np.testing.assert_array_equal(query, first)  # it is its own nearest
    assert query.std() > 5
    find(query=queries, count=3, output=str(root / "sheet.html"))
    text = (root / "sheet.html").read_text()
    assert text.count("<img ") == 8
    assert "<b>dog" not in text
    assert "&lt;b&gt;dog" in text


def test_what_can_not_be_read_is_one_line(setting, find):
    _, folder, _ = setting
    with pytest.raises(ValueError, match=r"--query=.*broken.jpg: it can't be read as an image"):
        find(query=(str(folder / "cat" / "broken.jpg"),))
    with pytest.raises(ValueError, match="--query is missing"):
        find(query=("a.png",), duplicates=0.9)
