import json
import re
import statistics

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from msbreg_tf.commands import evaluate
from msbreg_tf.evaluation.finetune import comparing
from msbreg_tf.evaluation.finetune.part import Outcome
from msbreg_tf.evaluation.finetune.settings import ComparisonSettings
from msbreg_tf.evaluation.finetune.training import FineTuneResult
from msbreg_tf.evaluation.results.comparison import compare
from msbreg_tf.evaluation.results.curves import draw_accuracies
from msbreg_tf.evaluation.results.log import read_results
from tests.evaluation.keras_exports import save_keras_tiny, tiny_encoder

FLAGS = {
    "dataset": "folder", "train_split": "many", "test_split": "few", "classifier_lr": 0.1,
    "encoder_lr": 0.01, "epochs": 1, "batch_size": 8,
}  # fmt: skip


@pytest.fixture
def photos(tmp_path):
    """A folder with three classes of 4 and of 8 images."""
    rng = np.random.default_rng(0)
    for split, count in (("few", 4), ("many", 8)):
        for label, name in enumerate(("cat", "dog", "owl")):
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(50 * label, 50 * label + 150, [32, 32, 3], np.uint8)
                (folder / f"{number}.png").write_bytes(tf.io.encode_png(pixels).numpy())
    return str(tmp_path / "photos")


def test_the_same_labels_from_several_starts(run_command, photos, tmp_path, monkeypatch):
    export = save_keras_tiny(tmp_path / "run" / "export" / "5")
    names = [v.name for v in keras.models.load_model(f"{export}/encoder.keras").variables]
    other = dict(zip(names, (v.numpy() for v in tiny_encoder(seed=3).variables)))
    np.savez(tmp_path / "other.npz", **other)
    results, workdir = tmp_path / "results.jsonl", tmp_path / "work"
    begun = []
    run_part = comparing.run_part

    def spy(start, splits, settings, **others):
        if len(begun) == 3:
            begun.append("stopped")
            raise KeyboardInterrupt
        first = next(v for v in start.build(settings.seed).variables if "kernel" in v.name).numpy()
        begun.append((start.name, settings.seed, splits.train.fingerprint, first))
        if start.name == "other.npz" and settings.seed == 4:
            return run_part(start, splits, settings, **others)
        result = FineTuneResult(len(begun) / 10, None, 12)  # a training takes seconds
        return Outcome(None, settings.at(12), {}, result, 0.5)

    monkeypatch.setattr(comparing, "run_part", spy)

    def command(**others):
        return run_command(
            evaluate.command("finetune"), saved_model=export, data_dir=photos,
            compare=f"scratch,{tmp_path}/other.npz", workdir=str(workdir), results=str(results),
            picture=str(tmp_path / "curve.png"), **{**FLAGS, **others},
        )  # fmt: skip

    both = {"fractions": "0.5", "seeds": "4,7"}
    with pytest.raises(KeyboardInterrupt):
        command(**both)
    assert len(read_results(str(results))) == 6  # of three parts, accuracy and frozen probe
    printed = command(**both)
    assert [part[:2] for part in begun if part != "stopped"] == [
        (name, seed) for seed in (4, 7) for name in ("pretrained", "scratch", "other.npz")
    ]
    by = {part[:2]: part[2:] for part in begun if part != "stopped"}
    for seed in (4, 7):  # the same images from every start
        assert len({by[name, seed][0] for name in ("pretrained", "scratch", "other.npz")}) == 1
    assert by["pretrained", 4][0] != by["pretrained", 7][0]
    kernels = {key: value[1] for key, value in by.items()}
    np.testing.assert_array_equal(kernels["other.npz", 4], other[names[0]])
    np.testing.assert_array_equal(kernels["pretrained", 7], kernels["pretrained", 4])
    assert np.abs(kernels["scratch", 7] - kernels["scratch", 4]).max() > 0.01
    assert np.abs(kernels["scratch", 4] - kernels["pretrained", 4]).max() > 0.01

    lines = [line for line in read_results(str(results)) if line["metric"] == "top-1 %"]
    assert len(lines) == 6
    networks = [line["protocol"]["network"] for line in lines[:3]]
    assert networks[:2] == ["online encoder, fine-tuned",
                            "the same network from random weights, fine-tuned"]  # fmt: skip
    assert re.fullmatch(r"the same network from weights [0-9a-f]{16}, fine-tuned", networks[2])
    assert len(compare(lines).columns) == 6  # no two starts or seeds share one
    expected = ComparisonSettings(
        fraction=0.5, seed=7, classifier_lr=0.1, encoder_lr=0.01, epochs=1, batch_size=8
    ).protocol()
    assert expected.items() <= lines[3]["protocol"].items()
    assert lines[0]["details"]["start"] == "pretrained"
    means = {}
    for place, name in enumerate(("pretrained", "scratch", "other.npz")):
        found = [lines[place]["value"], lines[place + 3]["value"]]
        means[name] = statistics.mean(found)
        assert f"{means[name]:.2f} ± {statistics.stdev(found):.2f}" in printed
    assert (means["pretrained"], means["scratch"]) == (30, 40)  # (10 + 50)/2 and (20 + 60)/2
    assert "12 (50 %)" in printed
    assert "pretrained is 10.00 points worse than scratch, in 2 of 2 seeds." in printed
    assert "weights of" in printed
    assert "6 of 6: other.npz, 50 % of the labels, seed 7: " in printed
    assert sorted(path.suffix for path in (workdir / "parts").iterdir()) == [".json"] * 6

    begun.clear()
    assert command(**both).splitlines()[-6:] == printed.splitlines()[-6:]
    assert begun == []  # nothing is run or recorded again
    assert len(read_results(str(results))) == 12
    with pytest.raises(ValueError, match=r"--classifier_lr: 0\.1 there, 0\.2 now"):
        command(**both, classifier_lr=0.2)
    with pytest.raises(ValueError, match=r"^--fractions=0\.01: .* Use at least --fractions="):
        command(fractions="0.01", seeds="1")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"fractions": (0.5,)}, "--fractions=0.5: it needs --compare"),
        ({"picture": "a.png"}, "--picture=a.png: it needs --compare"),
        ({"compare": ("scratch",), "fraction": 0.5}, "--fraction=0.5: with --compare give"),
        ({"compare": ("scratch",), "seed": 2}, "--seed=2: with --compare give --fractions and"),
        ({"compare": ("scratch",), "fractions": (0.5, 1.5)}, "at most 1"),
    ],
)
def test_flags_that_do_not_go_together(given, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ComparisonSettings(**given)


def test_the_parts_of_a_comparison():
    parts = ComparisonSettings(compare=("scratch",), fractions=(0.1, 1.0), seeds=(5, 6)).parts()
    assert [(part.fraction, part.seed) for part in parts] == [(0.1, 5), (0.1, 6), (1, 5), (1, 6)]


def done(start, fraction, *values):
    return [
        comparing.Done(start, fraction, seed, round(1000 * fraction), value)
        for seed, value in enumerate(values)
    ]


def test_the_words_of_a_comparison():
    found = [*done("pretrained", 0.1, 50.0, 56.0, 56.0), *done("scratch", 0.1, 51.0, 50.0, 49.0)]
    found += [*done("pretrained", 1.0, 80.0, 81.0, 82.0), *done("scratch", 1.0, 80.0, 81.0, 82.0)]
    settings = ComparisonSettings(compare=("scratch",), fractions=(0.1, 1.0))

    class Subject:
        given = {"dataset": "folder", "test_split": "test"}  # noqa: RUF012

    text = comparing._text(settings, Subject, ["pretrained", "scratch"], found)
    assert text.splitlines() == [
        "Fine-tuning on folder test, top-1 %, mean ± standard deviation over seeds 0, 1, 2",
        "labels         pretrained    scratch",
        "100 (10 %)     54.00 ± 3.46  50.00 ± 1.00",
        "1,000 (100 %)  81.00 ± 1.00  81.00 ± 1.00",
        "",
        "With 100 labels, pretrained is 4.00 points better than scratch, in 2 of 3 seeds.",
        "With 1,000 labels, pretrained and scratch are equal.",
    ]


def test_the_picture(tmp_path):
    pytest.importorskip("matplotlib")
    curves = {"pretrained": [(10, [30.0, 32.0]), (100, [50.0, 51.0])], "scratch": [(10, [20.0])]}
    assert draw_accuracies(str(tmp_path / "a.png"), curves, "owls") is None
    pixels = tf.io.decode_png((tmp_path / "a.png").read_bytes())
    assert pixels.shape[:2] == (600, 900)
    colours = {tuple(colour) for colour in pixels.numpy()[..., :3].reshape(-1, 3).tolist()}
    assert {(31, 119, 180), (255, 127, 14)} <= colours  # a line for each start


def test_without_matplotlib_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    said = draw_accuracies(str(tmp_path / "a.png"), {}, "owls")
    assert said == "No picture: matplotlib is not installed; pip install '.[report]'."
    assert json.dumps(list(tmp_path.iterdir())) == "[]"
