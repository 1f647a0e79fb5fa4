import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from sklearn.neighbors import KNeighborsClassifier

from msbreg_tf.commands import evaluate
from msbreg_tf.data.sources.sample import load_sample
from msbreg_tf.evaluation.features.exported import load_encoder
from msbreg_tf.evaluation.results.log import read_results
from tests.evaluation.exports import save_tiny


@pytest.fixture
def run_main(run_command, export, cache, tmp_path):
    """Runs the command with defaults but for what is given; what it printed, and its results."""
    results = str(tmp_path / "results.jsonl")
    defaults = {"saved_model": export, "results": results, "cache_dir": cache}

    def main(**others):
        printed = run_command(evaluate.command("knn"), **(defaults | others))
        return printed, read_results(results)

    return main


@pytest.fixture
def folder(tmp_path):
    """train: classes a and b; val: a, b and c; single: a."""
    for split, classes in (("train", "ab"), ("val", "abc"), ("single", "a")):
        for name in classes:
            path = tmp_path / "images" / split / name
            path.mkdir(parents=True)
            (path / "1.png").write_bytes(tf.io.encode_png(np.zeros([9, 9, 3], np.uint8)).numpy())
    return str(tmp_path / "images")


def expected_accuracy(export, k):
    encoder = load_encoder(export)
    (train, train_labels), (test, test_labels) = (load_sample(split) for split in ("train", "test"))
    twin = KNeighborsClassifier(
        k, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / 0.07)
    ).fit(encoder.embed(train), train_labels)
    return 100 * twin.score(encoder.embed(test), test_labels)


def test_the_command_agrees_with_scikit_learn(export, cache):
    command = [sys.executable, "-m", "tools.knn_eval", f"--saved_model={export}", "--k=5,20,200"]
    done = subprocess.run(
        [*command, f"--cache_dir={cache}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    results = read_results(str(pathlib.Path(export).parents[1] / "results.jsonl"))
    expected = {k: expected_accuracy(export, k) for k in (5, 20, 200)}
    assert {r["protocol"]["k"]: r["value"] for r in results} == pytest.approx(expected, abs=1e-9)
    assert done.stdout.splitlines()[-6:-1] == [
        "k-NN on sample test: 1,000 images, neighbours among 5,000, T = 0.07",
        "  k  top-1 %",
        *(f"{k:>3}    {expected[k]:.2f}" for k in (5, 20, 200)),
    ]


def test_the_result_carries_its_protocol(run_main):
    _, [line] = run_main(k="3", temperature=0.1, test_split="test", run_name="mine")
    assert (line["run"], line["metric"]) == ("mine", "top-1 %")
    protocol = line["protocol"]
    assert protocol["name"] == "knn"
    assert (protocol["k"], protocol["temperature"], protocol["similarity"]) == (3, 0.1, "cosine")
    assert (protocol["dataset"], protocol["image_size"]) == ("sample", 32)
    assert (protocol["train_images"], protocol["test_images"]) == (5000, 1000)
    assert protocol["train_fingerprint"] != protocol["test_fingerprint"]
    assert {"network", "features", "augmentation"} <= protocol.keys()


def test_only_the_run_decides_what_is_not_in_the_protocol(run_main, export, tmp_path):
    other = save_tiny(tmp_path / "other", seed=1, metadata={"image_size": 32})
    run_main(k="3")
    _, lines = run_main(k="3", saved_model=other, batch_size=100, cache_dir="")
    assert lines[0]["protocol"] == lines[1]["protocol"]
    assert lines[0]["value"] != lines[1]["value"]


@pytest.mark.parametrize("k", ["", "0,20", "5,x", "1.5", "-3"])
def test_bad_numbers_of_neighbours(run_main, k):
    with pytest.raises(ValueError, match=f"--k={k}: expected whole numbers joined by commas"):
        run_main(k=k)


def test_repeated_numbers_count_once(run_main):
    printed, lines = run_main(k="7, 3,7")
    assert [line["protocol"]["k"] for line in lines] == [7, 3]
    assert [row.split()[0] for row in printed.splitlines()[2:4]] == ["7", "3"]


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"k": "5001"}, "--k=5001: there are only 5000 training images. Use a smaller k"),
        ({"temperature": 0.0}, "--temperature=0.0: expected a number, more than 0"),
        ({"saved_model": None}, "--saved_model is missing"),
        ({"image_size": 64}, "--image_size=64: the export is for 32 pixels"),
        ({"test_split": "val"}, "--dataset=sample has the splits train and test"),
    ],
)
def test_bad_input(run_main, others, message):
    with pytest.raises(ValueError, match=message):
        run_main(**others)


def test_a_foreign_export_needs_an_image_size(run_main, tmp_path):
    foreign = save_tiny(tmp_path / "foreign")
    with pytest.raises(ValueError, match="--image_size is missing"):
        run_main(saved_model=foreign)
    _, [line] = run_main(saved_model=foreign, image_size=16, k="3")
    assert (line["run"], line["protocol"]["image_size"]) == ("foreign", 16)


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (("single", "val"), "--train_split=single: all its 1 images are of one class"),
        (("train", "val"), "--test_split=val: 1 of its classes are not in --train_split=train"),
    ],
)
def test_classes_that_make_no_test(run_main, folder, splits, message):
    with pytest.raises(ValueError, match=message):
        run_main(
            dataset="folder", data_dir=folder, train_split=splits[0], test_split=splits[1], k="1"
        )


def test_bad_flags_are_one_line_and_help_shows_own_flags():
    def run(*flags):
        command = [sys.executable, "-m", "tools.knn_eval", *flags]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    wrong = run("--k=0")
    assert wrong.returncode == 2
    assert wrong.stderr == (
        "error: --k=0: expected whole numbers joined by commas, each at least 1, such as "
        "--k=20,200.\n"
    )
    shown = run("--help").stdout
    assert "--temperature (default: 0.07)" in shown
    assert "--lambda_s" not in shown
