import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.augment.draws import image_draws
from msbreg_tf.augment.multiview import MultiViewAugmentation
from msbreg_tf.data.pipeline.seeds import order_seed, views_seed
from msbreg_tf.data.settings import DataSettings
from msbreg_tf.data.sources.table import open_source
from msbreg_tf.evaluation.features.exported import load_encoder
from msbreg_tf.evaluation.quality import MEASURES, measure_quality
from tests.evaluation.exports import save_tiny


def run_tool(*flags):
    command = [sys.executable, "-m", "tools.geometry", *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """What it printed, what it wrote, and the export."""
    root = tmp_path_factory.mktemp("geometry")
    export = save_tiny(root / "export" / "3", metadata={"image_size": 32})
    done = run_tool(f"--saved_model={export}", "--images=80")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (root / "results.jsonl").read_text().splitlines()]
    return done.stdout, {line["metric"]: line for line in lines}, str(export)


def test_prints_what_it_appends(measured):
    printed, lines, _ = measured
    assert "Unit features of 80 images of sample test, two views each" in printed
    for metric, line in lines.items():
        assert f"{metric:<22} {line['value']:10.4g}" in printed
    assert {"alignment", "uniformity", "effective rank", "spread"} < lines.keys()


def test_values_are_those_of_the_views_features(measured):
    """Computed here by NumPy, from the same views of the same images."""
    lines = measured[1]
    value = {metric: line["value"] for metric, line in lines.items()}
    encoder = load_encoder(measured[2])
    source = open_source(DataSettings(split="test"))
    augment = MultiViewAugmentation(num_views=2, image_size=32)
    features = []
    for index, image in source.ordered(order_seed(0, 0)).take(80):
        draws = image_draws(views_seed(0, 0), index, 2)
        views = augment({"images": image[None], "draws": draws[None]})["images"][0]
        features.append(encoder.embed(views.numpy()))
    features = np.array(features, np.float64)  # [80, 2, F]
    unit = features / np.linalg.norm(features, axis=-1, keepdims=True)
    first, second = unit[:, 0], unit[:, 1]
    assert value["alignment"] == pytest.approx(np.mean(np.sum((first - second) ** 2, -1)))
    potentials = []
    for view in (first, second):
        distances = np.sum((view[:, None] - view) ** 2, axis=-1)
        potentials.append(np.log(np.exp(-2 * distances[~np.eye(80, dtype=bool)]).mean()))
    assert value["uniformity"] == pytest.approx(np.mean(potentials))
    cloud = np.concatenate([first, second])
    centred = cloud - cloud.mean(axis=0)
    assert value["spread"] == pytest.approx(np.mean(np.sum(centred**2, axis=1)))
    assert value["std per dimension"] == pytest.approx(cloud.std(axis=0).mean())
    for name, rows in (("effective rank", cloud), ("centred effective rank", centred)):
        singular = np.linalg.svd(rows / np.sqrt(160), compute_uv=False)
        np.testing.assert_allclose(lines[name]["details"]["singular values"], singular, atol=1e-6)
        share = singular / singular.sum()
        assert value[name] == pytest.approx(np.exp(-np.sum(share * np.log(share))), rel=1e-5)
    assert lines["alignment"]["details"]["collapse"] == "none"
    quality = measure_quality(features)
    assert len(quality) == 6
    for name, expected in quality.items():
        line = lines[MEASURES[name].metric]
        assert line["value"] == pytest.approx(expected, rel=1e-4), name
        assert line["protocol"]["features"] == "pooled, before the projector"
        assert MEASURES[name].metric in line["protocol"]["quality"]


def test_the_protocol_tells_how(measured):
    protocol = measured[1]["uniformity"]["protocol"]
    assert protocol["name"] == "geometry"
    assert protocol["features"] == "pooled, before the projector, over their norm"
    assert (protocol["dataset"], protocol["test_split"]) == ("sample", "test")
    assert (protocol["test_images"], protocol["seed"]) == (80, 0)
    (augmentation,) = protocol["augmentation"].values()
    assert (augmentation["jitter_probability"], augmentation["crop_area_min"]) == (0.8, 0.08)
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
