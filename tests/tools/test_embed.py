import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.evaluation.features.files import read_about
from tests.evaluation.exports import FEATURES, save_tiny


def run_tool(*flags):
    command = [sys.executable, "-m", "tools.embed", *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """An export, a folder of three good and one broken image, and the output's name."""
    root = tmp_path_factory.mktemp("embed")
    folder = root / "pictures"
    (folder / "deep").mkdir(parents=True)
    for name, grey in (("a.png", 10), ("deep/b.png", 200), ("c.png", 90)):
        pixels = tf.fill([20, 30, 3], tf.constant(grey, tf.uint8))
        (folder / name).write_bytes(tf.io.encode_png(pixels).numpy())
    (folder / "deep" / "broken.jpg").write_bytes(b"\xff\xd8\xff no image")
    export = save_tiny(root / "export" / "3", metadata={"image_size": 16})
    return export, folder, root / "all.npz"


@pytest.fixture(scope="module")
def first_run(setting):
    export, folder, output = setting
    return run_tool(f"--saved_model={export}", f"--data_dir={folder}", f"--output={output}")


def test_writes_one_file_and_names_broken_ones(setting, first_run):
    export, _, output = setting
    assert first_run.returncode == 0, first_run.stderr
    assert first_run.stdout == f"Wrote {output}: 3 embeddings of {FEATURES} numbers.\n"
    assert "1 of 4 images can't be read and were left out:\n  deep/broken.jpg\n" in first_run.stderr
    serve = tf.saved_model.load(export).signatures["serving_default"]
    greys = tf.constant([10.0, 90.0, 200.0])[:, None, None, None]
    with np.load(output) as arrays:
        assert arrays["paths"].tolist() == ["a.png", "c.png", "deep/b.png"]
        embedding = serve(image=tf.broadcast_to(greys, [3, 16, 16, 3]))["embedding"]
        np.testing.assert_allclose(arrays["embeddings"], embedding, rtol=1e-4, atol=1e-4)
    assert not output.with_name(output.name + ".unfinished").exists()


def test_a_complete_file_is_left_alone_and_another_not_overwritten(setting, first_run):
    export, folder, output = setting
    flags = [f"--saved_model={export}", f"--output={output}"]
    before = output.read_bytes()
    done = run_tool(*flags, f"--data_dir={folder}")
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last == f"{output} is complete already: same images, same encoder."
    assert read_about(str(output)).keys() == {"export", "image_size", "files", "max_megapixels"}
    other = run_tool(*flags, f"--data_dir={folder / 'deep'}")
    assert other.returncode == 2
    assert "it exists, with other contents" in other.stderr.strip().splitlines()[-1]
    assert output.read_bytes() == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--data_dir=.", "--output=a.npz"], "error: --saved_model is missing"),
        (["--saved_model=.", "--data_dir=/no", "--output=a.npz"], "error: --data_dir=/no: no such"),
    ],
)
def test_bad_flags_are_one_line(flags, message):
    done = run_tool(*flags)
    assert done.returncode == 2
    assert message in done.stderr.strip().splitlines()[-1]
