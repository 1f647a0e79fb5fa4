import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.evaluation.exports import FEATURES, save_tiny


def run_tool(*flags):
    command = [sys.executable, "-m", "tools.geometry", *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """What it printed, and what it wrote."""
    root = tmp_path_factory.mktemp("geometry")
    export = save_tiny(root / "export" / "3", metadata={"image_size": 32})
    done = run_tool(f"--saved_model={export}", "--images=80")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (root / "results.jsonl").read_text().splitlines()]
    return done.stdout, {line["metric"]: line for line in lines}


def test_prints_what_it_appends(measured):
    printed, lines = measured
    assert "Unit features of 80 images of sample test, two views each" in printed
    for metric, line in lines.items():
        assert f"{metric:<22} {line['value']:10.4g}" in printed
    assert {"alignment", "uniformity", "effective rank", "spread"} < lines.keys()


def test_values_are_those_of_colour_averages(measured):
    """Views of one photograph share their colours, so they are closer than different ones."""
    _, lines = measured
    value = {metric: line["value"] for metric, line in lines.items()}
    assert 0 < value["alignment"] < 2 * value["spread"] < 2
    assert -8 < value["uniformity"] < 0
    assert 1 < value["centred effective rank"] <= FEATURES
    spectrum = lines["effective rank"]["details"]["singular values"]
    assert np.sum(np.square(spectrum)) == pytest.approx(1)
    assert lines["alignment"]["details"]["collapse"] == "none"


def test_the_protocol_tells_how(measured):
    protocol = measured[1]["uniformity"]["protocol"]
    assert protocol["name"] == "geometry"
    assert protocol["features"] == "pooled, before the projector, over their norm"
    assert (protocol["dataset"], protocol["test_split"]) == ("sample", "test")
    assert (protocol["test_images"], protocol["seed"]) == (80, 0)
    (augmentation,) = protocol["augmentation"].values()
    assert (augmentation["jitter_probability"], augmentation["area"]) == (0.8, [0.08, 1.0])
    assert augmentation["blur_probability"] == 0  # 32 px
    assert len(protocol["test_fingerprint"]) == 16


def save_constant(folder):
    """An encoder that gives every image nearly the same feature."""
    module = tf.Module()
    spec = tf.TensorSpec([None, None, None, 3], tf.float32, "image")

    @tf.function(input_signature=[spec])
    def serve(image):
        return {"embedding": 1 + 1e-6 * tf.reduce_mean(image, axis=[1, 2])}

    tf.saved_model.save(module, str(folder), signatures={"serving_default": serve})
    return folder


def test_a_folder_and_a_collapsed_encoder(tmp_path, measured):
    (tmp_path / "test" / "nested").mkdir(parents=True)
    for number in range(4):
        pixels = tf.fill([20 + number, 30, 3], tf.constant(40 * number, tf.uint8))
        path = tmp_path / "test" / "nested" / f"{number}.png"
        path.write_bytes(tf.io.encode_png(pixels).numpy())
    done = run_tool(
        *(f"--saved_model={save_constant(tmp_path / 'constant')}", "--image_size=16"),
        *("--dataset=folder", f"--data_dir={tmp_path}"),
        *(f"--results={tmp_path}/r.jsonl", "--run_name=mine"),
    )
    assert done.returncode == 0, done.stderr
    assert "Unit features of 4 images of folder" in done.stdout
    assert "Collapse: complete. All features are nearly the same" in done.stdout
    first = json.loads((tmp_path / "r.jsonl").read_text().splitlines()[0])
    assert first["run"] == "mine"
    assert first["details"]["collapse"] == "complete"
    other = measured[1]["spread"]["protocol"]
    assert first["protocol"]["test_fingerprint"] != other["test_fingerprint"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "error: --saved_model is missing"),
        (["--images=1"], "--images"),
    ],
)
def test_bad_flags_are_one_line(flags, message):
    done = run_tool(*flags)
    assert done.returncode == 2
    assert message in done.stderr.strip().splitlines()[-1]
