"""The table of sources, and what a new row of it reaches."""

import dataclasses
import tempfile

import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.commands import evaluate
from msbreg_tf.data.settings import DataSettings
from msbreg_tf.data.sources import folder, table
from msbreg_tf.data.sources.records import LabelledRecords
from msbreg_tf.data.sources.sample import load_sample
from msbreg_tf.data.sources.source import MemorySource
from msbreg_tf.data.sources.table import (
    SOURCES,
    SourceKind,
    open_source,
    place_of_split,
)
from msbreg_tf.run.config import config_from_settings
from msbreg_tf.run.length import Length
from tests.evaluation.exports import save_tiny
from tests.labelled import images_of, labelled_split

GREYS = np.repeat(np.arange(40, 240, 10, dtype=np.uint8), 32 * 32 * 3).reshape(-1, 32, 32, 3)


def open_greys(settings):
    return MemorySource(f"greys {settings.split}", GREYS, lambda pixels: pixels, (32, 32))


def labelled_greys(dataset, splits, data_dir, limit, megapixels):
    labels = np.arange(len(GREYS)) % 2
    records = tf.data.Dataset.from_tensor_slices((GREYS[:limit], labels[:limit]))
    count = len(labels[:limit])
    return [
        LabelledRecords(
            split, records, lambda p: p, count, ("even", "odd"), {"greys": split}, "pixels"
        )
        for split in splits.values()
    ]


@pytest.fixture
def toy_source(monkeypatch):
    """A source that a person has added: two functions and one row."""
    monkeypatch.setitem(table.SOURCES, "greys", SourceKind(open_greys, labelled_greys))


@pytest.mark.usefixtures("toy_source")
def test_a_new_source_is_trained_on_and_evaluated_with(tmp_path, capsys):
    source = open_source(DataSettings(dataset="greys", split="all"))
    assert (source.name, source.num_images) == ("greys all", 20)
    config = config_from_settings(
        {"dataset": "greys", "batch_size": 8, "epochs": 3, "warmup_epochs": 1}
    )
    assert Length.of(config, source.num_images) == Length(2, 2, 6)
    images, labels = images_of("greys", "all", None, 32, limit=5)
    np.testing.assert_array_equal(images, GREYS[:5])
    assert labels.tolist() == [0, 1, 0, 1, 0]
    export = save_tiny(tmp_path / "run" / "export" / "1", metadata={"image_size": 32})
    command = evaluate.command("knn")
    shared = [part() for part in command.settings]
    shared[0] = dataclasses.replace(shared[0], saved_model=export)
    shared[1] = dataclasses.replace(shared[1], dataset="greys")
    shared[4] = dataclasses.replace(shared[4], cache_dir="")
    shared[6] = dataclasses.replace(shared[6], k=(3,))
    command.run(*shared)
    assert "k-NN on greys test: 20 images, neighbours among 20" in capsys.readouterr().out


def test_any_other_name_is_a_tfds_name():
    with pytest.raises(ValueError, match=r"--dataset=greys: TFDS has no such data set"):
        open_source(DataSettings(dataset="greys"))
    with pytest.raises(ValueError, match=r"--dataset=sampel: .* Did you mean sample"):
        labelled_split("sampel", "train", None)


def test_help_names_every_kind_of_source():
    (field,) = [f for f in dataclasses.fields(DataSettings) if f.name == "dataset"]
    help_text = field.metadata["setting"].help
    assert all(f"'{name}'" in help_text for name in SOURCES)


def test_the_sample_is_its_own():
    images, labels = load_sample("test")
    np.testing.assert_array_equal(
        open_source(DataSettings(split="test")).records_in_memory(), images
    )
    records = labelled_split("sample", "test", None)
    assert [int(label) for _, label in records.records.take(12)] == labels[:12].tolist()


def test_where_a_split_lies(tmp_path):
    (tmp_path / "val").mkdir()
    assert place_of_split("folder", "val", str(tmp_path)) == ("train", str(tmp_path / "val"))
    assert place_of_split("folder", "test", str(tmp_path)) == ("train", str(tmp_path))
    assert place_of_split("cifar10", "test", "there") == ("test", "there")


def test_opening_a_folder_leaves_nothing_behind(tmp_path, monkeypatch):
    """Not even if a file of it is broken; the name is kept until somebody asks."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    images = tmp_path / "images"
    images.mkdir()
    (images / "0.png").write_bytes(b"broken")
    (images / "1.png").write_bytes(tf.io.encode_png(np.zeros([9, 9, 3], np.uint8)).numpy())
    source = open_source(DataSettings(dataset="folder", data_dir=str(images)))
    assert isinstance(source, folder.FolderSource)
    assert not list(scratch.glob("msbreg*"))
    assert source.broken_files() == [str(images / "0.png")]
    source.log_broken_files_to(str(tmp_path / "log"))
    assert source.broken_files() == [str(images / "0.png")]
    source.decode(tf.constant("1.png"))
    assert not list(scratch.glob("msbreg*"))
