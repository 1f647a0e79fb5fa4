import json
import subprocess
import sys

import numpy as np
import pytest

from msbreg_tf.evaluation.protocols.svm import ClassLog
from msbreg_tf.evaluation.svm.machines import ClassResult
from tests.data.labelled.tiny_voc import COLOURED, TinyVoc
from tests.evaluation.exports import save_tiny


def run_tool(*flags):
    command = [sys.executable, "-m", "tools.svm_eval", *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """What it printed, what it appended, and the cache."""
    root = tmp_path_factory.mktemp("svm")
    TinyVoc(config="2007", data_dir=str(root / "tfds")).download_and_prepare()
    export = save_tiny(root / "export" / "3", metadata={"image_size": 16})
    done = run_tool(
        *(f"--saved_model={export}", "--dataset=tiny_voc/2007", f"--data_dir={root}/tfds"),
        *(f"--cache_dir={root}/cache", "--costs=1,100", "--jobs=2"),
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (root / "results.jsonl").read_text().splitlines()]
    return done.stdout, {line["metric"]: line for line in lines}, root / "cache"


def test_classes_that_show_in_the_features_are_found(evaluated):
    classes = evaluated[1]["mAP %"]["details"]
    assert len(classes) == 20
    coloured = [classes[name]["average_precision"] for name in COLOURED]
    other = [row["average_precision"] for name, row in classes.items() if name not in COLOURED]
    assert min(coloured) > 0.95
    assert np.mean(other) < 0.75


def test_the_mean_is_over_all_classes_and_printed(evaluated):
    printed, lines, _ = evaluated
    classes = lines["mAP %"]["details"]
    for metric, key in (
        ("mAP %", "average_precision"),
        ("mAP 11-point %", "average_precision_11"),
    ):
        expected = 100 * np.mean([row[key] for row in classes.values()])
        assert lines[metric]["value"] == pytest.approx(expected)
    [mean] = [line.split() for line in printed.splitlines() if line.startswith("mean ")]
    assert float(mean[1]) == pytest.approx(lines["mAP %"]["value"], abs=0.006)
    assert "36 to 30 images" in printed


def test_the_protocol_tells_how(evaluated):
    protocol = evaluated[1]["mAP %"]["protocol"]
    assert protocol["name"] == "svm"
    assert (protocol["train_split"], protocol["test_split"]) == ("train+validation", "test")
    assert (protocol["train_images"], protocol["test_images"]) == (36, 30)
    assert protocol["costs"] == [1, 100]
    assert protocol["train_fingerprint"] != protocol["test_fingerprint"]


def test_finished_classes_are_kept(evaluated):
    _, lines, cache = evaluated
    [log] = cache.glob("svm-*/classes.jsonl")
    kept = [json.loads(line) for line in log.read_text().splitlines()]
    assert sorted(line["class"] for line in kept) == list(range(20))
    [first] = [line for line in kept if line.pop("class") == 0]
    assert first == lines["mAP %"]["details"]["aeroplane"]


def test_the_class_log_continues_after_being_killed_while_it_wrote(tmp_path, monkeypatch):
    result = ClassResult(0.5, 0.25, 1.0, (0.1, 0.2), True)
    path = tmp_path / "svm.jsonl"

    def killed(*paths):
        raise KeyboardInterrupt

    ClassLog(path).append(3, result)
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            ClassLog(path).append(1, result)
    again = ClassLog(path)
    assert again.done == {3: result}
    again.append(1, result)
    assert ClassLog(path).done == {3: result, 1: result}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--costs=1,-1"], "error: --costs=1.0,-1.0: expected numbers joined by commas, each more"),
        (["--costs=1,x"], "error: --costs=1,x"),
        (["--jobs=0"], "error: --jobs=0: expected a whole number, at least 1"),
        (["--flagfile=flags/eval/voc07.cfg"], "error: --saved_model is missing"),
    ],
)
def test_bad_flags_are_one_line(flags, message):
    done = run_tool(*flags)
    assert done.returncode == 2
    assert message in done.stderr.strip().splitlines()[-1]
