"""Apache Beam makes the file that one process makes. In an environment of its own."""

import pytest

pytest.importorskip("apache_beam", reason="needs the extra beam, apache-beam")

import os

import numpy as np

from msbreg_tf.commands import embed
from msbreg_tf.errors import RunFailedError
from msbreg_tf.evaluation.features import beam
from msbreg_tf.evaluation.features.blocks import BlockStore
from tests.evaluation.exports import FEATURES, save_tiny
from tests.evaluation.serving.conftest import encoded
from tests.tools.conftest import run_command  # noqa: F401 - a fixture

# The runner that needs nothing but Python.
LOCAL = "--runner=BundleBasedDirectRunner"


@pytest.fixture
def export(tmp_path):
    return save_tiny(tmp_path / "run" / "export" / "3", metadata={"image_size": 16})


@pytest.fixture
def pictures(tmp_path):
    """Eleven images; the fifth is broken."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(11):
        content = encoded(number)
        (folder / f"{number:02}.png").write_bytes(content[:100] if number == 4 else content)
    return folder


def test_the_same_file_as_one_process(run_command, export, pictures, tmp_path):  # noqa: F811
    given = {"saved_model": export, "data_dir": str(pictures)}
    outputs = [tmp_path / "process.npz", tmp_path / "beam.npz"]
    run_command(embed.COMMAND, **given, output=str(outputs[0]))
    run_command(
        embed.COMMAND, **given, output=str(outputs[1]), engine="beam", beam_args=LOCAL, batch_size=3
    )
    process, pipeline = map(np.load, outputs)
    assert len(process["paths"]) == 10
    for name in process:
        if name == "embeddings":
            np.testing.assert_allclose(pipeline[name], process[name], rtol=1e-5, atol=1e-6)
        else:
            assert pipeline[name].tolist() == process[name].tolist()


def test_finished_blocks_are_not_computed_again(export, pictures, tmp_path):
    paths = sorted(str(path) for path in pictures.iterdir())
    handler = beam.ExportHandler(export, 16, 200, 2)
    store = BlockStore(str(tmp_path / "store"), {"job": 1})
    kept = np.full([3, FEATURES], 7, np.float32)
    store.write(1, features=kept, good=np.array([True, True, True, False]))
    good = beam.fill_by_beam(handler, paths, store, LOCAL, FEATURES, block_size=4)
    assert np.flatnonzero(~good).tolist() == [7]  # as the kept block says
    np.testing.assert_array_equal(store.read(1)["features"], kept)
    assert [len(store.read(number)["features"]) for number in range(3)] == [4, 3, 3]
    rows = beam.load_encoder(export).embed(np.zeros([1, 16, 16, 3], np.float32))
    assert store.read(0)["features"].dtype == rows.dtype


def test_a_pipeline_that_fails_is_one_line_and_keeps_what_is_finished(pictures, tmp_path):
    paths = sorted(str(path) for path in pictures.iterdir())
    handler = beam.ExportHandler(str(tmp_path / "no export"), 16, 200, 2)
    store = BlockStore(str(tmp_path / "store"), {"job": 1})
    store.write(0, features=np.zeros([2, 5], np.float32), good=np.array([True, True]))
    with pytest.raises(RunFailedError, match=r"--engine=beam: the pipeline failed .*no such"):
        beam.fill_by_beam(handler, paths, store, LOCAL, FEATURES, block_size=2)
    assert len(os.listdir(tmp_path / "store")) >= 2
    assert store.read(0) is not None
