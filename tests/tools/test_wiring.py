"""Settings of the tools: each one, at a value that is not its default, where it must arrive."""

import importlib.util
import json
import pathlib
import sys
import types
from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.data.experimental import service

from msbreg_tf.augment.draws import image_draws
from msbreg_tf.augment.multiview import MultiViewAugmentation
from msbreg_tf.commands import cli, convert, data_service, embed, evaluate
from msbreg_tf.data.labelled import epochs as labelled_epochs
from msbreg_tf.data.pipeline.seeds import order_seed, views_seed
from msbreg_tf.data.settings import DataSettings
from msbreg_tf.data.sources.table import labelled_splits, open_source
from msbreg_tf.evaluation import features
from msbreg_tf.evaluation.conversion.table import TARGETS
from msbreg_tf.evaluation.conversion.target import Bar, Target
from msbreg_tf.evaluation.features import exported
from msbreg_tf.evaluation.features.cache import split_features
from msbreg_tf.evaluation.finetune import model as finetune_model
from msbreg_tf.evaluation.finetune import part as finetune_part
from msbreg_tf.evaluation.finetune import training
from msbreg_tf.evaluation.finetune.settings import FineTuneSettings
from msbreg_tf.evaluation.knn import knn_accuracy
from msbreg_tf.evaluation.linear import probe
from msbreg_tf.evaluation.linear.settings import LinearSettings
from msbreg_tf.evaluation.protocols import geometry
from msbreg_tf.evaluation.results.log import read_results
from msbreg_tf.evaluation.rows import unit_rows
from msbreg_tf.evaluation.serving import client
from msbreg_tf.evaluation.serving.settings import ServerSettings
from msbreg_tf.evaluation.spectrum import alignment
from msbreg_tf.evaluation.svm import machines
from tests.commands import COMMANDS
from tests.data.labelled.tiny_voc import TinyVoc
from tests.evaluation.exports import save_tiny
from tests.evaluation.keras_exports import save_keras_tiny
from tests.tools import test_finetune_compare as comparison


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of class folders: 'few' has 4 images a class, 'many' has 9."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for split, count in (("few", 4), ("many", 9)):
        for label, name in enumerate(("cat", "dog", "owl")):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(60 * label, 60 * label + 130, [20, 24, 3], np.uint8)
                (folder / f"{number}.png").write_bytes(tf.io.encode_png(pixels).numpy())
    return str(root)


@pytest.fixture
def foreign(tmp_path):
    """An export that does not say its image size."""
    return save_tiny(tmp_path / "foreign", seed=2)


@pytest.fixture
def measured(run_command, tmp_path, monkeypatch):
    """Runs a protocol; returns its results and the sizes of the batches that were embedded."""
    sizes = []
    embed_images = exported.ExportedEncoder.embed

    def counted(self, images):
        sizes.append(len(images))
        return embed_images(self, images)

    monkeypatch.setattr(exported.ExportedEncoder, "embed", counted)

    def run(name, **flags):
        results = str(tmp_path / "own.jsonl")
        run_command(evaluate.command(name), results=results, run_name="row", **flags)
        return read_results(results), sizes

    return run


def shared(photos, foreign, tmp_path):
    """Every shared flag of a protocol on frozen features, each at another value."""
    return {
        "saved_model": foreign,
        "image_size": 16,
        "dataset": "folder",
        "data_dir": photos,
        "train_split": "few",
        "test_split": "many",
        "batch_size": 5,
        "cache_dir": str(tmp_path / "kept"),
    }


def features_of(photos, foreign, split):
    encoder = exported.load_encoder(foreign)
    splits = {"train_split": "few", "test_split": "many"}
    opened = dict(zip(("few", "many"), labelled_splits("folder", splits, photos)))
    return split_features(encoder, opened[split], image_size=16)


def test_shared_flags_and_the_vote(measured, photos, foreign, tmp_path):
    flags = shared(photos, foreign, tmp_path)
    (line,), sizes = measured("knn", **flags, k="12", temperature=50.0)
    train, test = (features_of(photos, foreign, split) for split in ("few", "many"))
    compared = (train.features, train.labels, test.features, test.labels)
    expected = knn_accuracy(*compared, k=[12], temperature=50.0)[12]
    assert expected != knn_accuracy(*compared, k=[12])[12]
    assert line["value"] == 100 * expected
    protocol = line["protocol"]
    assert (protocol["train_split"], protocol["train_images"]) == ("few", 12)
    assert (protocol["test_split"], protocol["test_images"]) == ("many", 27)
    assert (protocol["dataset"], protocol["image_size"]) == ("folder", 16)
    assert (protocol["k"], protocol["temperature"]) == (12, 50.0)
    assert (line["run"], line["export"]["path"]) == ("row", foreign)
    assert max(sizes[:9]) == 5
    assert len(list((tmp_path / "kept").iterdir())) == 2  # both splits
    assert (tmp_path / "own.jsonl").exists()


LINEAR = {
    "learning_rates": "0.2,0.4", "weight_decays": "0.01,0.02,0.03", "epochs": 3,
    "sgd_batch_size": 7, "momentum": 0.5, "schedule": "steps", "standardize": False,
    "validation_fraction": 0.3, "seed": 4,
}  # fmt: skip


def test_linear_settings_reach_the_probe(measured, photos, foreign, tmp_path, monkeypatch):
    seen = []

    def spy(*arguments, **others):
        seen.append(arguments)
        return linear_probe(*arguments, **others)

    linear_probe = probe.linear_probe
    monkeypatch.setattr(probe, "linear_probe", spy)
    lines, _ = measured("linear", **shared(photos, foreign, tmp_path), **LINEAR)
    (train_features, train_labels, test_features, test_labels, settings) = seen[0]
    assert settings == LinearSettings(
        learning_rates=(0.2, 0.4), weight_decays=(0.01, 0.02, 0.03), epochs=3, batch_size=7,
        momentum=0.5, schedule="steps", standardize=False, validation_fraction=0.3, seed=4,
    )  # fmt: skip
    train, test = (features_of(photos, foreign, split) for split in ("few", "many"))
    np.testing.assert_array_equal(train_features, train.features)
    np.testing.assert_array_equal(train_labels, train.labels)
    np.testing.assert_array_equal(test_features, test.features)
    np.testing.assert_array_equal(test_labels, test.labels)
    protocol = lines[0]["protocol"]
    assert (protocol["batch_size"], protocol["learning_rates"]) == (7, [0.2, 0.4])
    assert json.loads(json.dumps(settings.protocol())).items() <= protocol.items()


def test_svm_settings_reach_the_machines(run_command, tmp_path, monkeypatch):
    TinyVoc(config="2007", data_dir=str(tmp_path / "tfds")).download_and_prepare()
    seen = {}

    def spy(*arguments, **others):
        seen.update(others)
        return svm_results(*arguments, **others)

    svm_results = machines.svm_results
    monkeypatch.setattr(machines, "svm_results", spy)
    export = save_tiny(tmp_path / "run" / "export" / "3", metadata={"image_size": 16})
    run_command(
        evaluate.command("svm"),
        saved_model=export,
        dataset="tiny_voc/2007",
        data_dir=str(tmp_path / "tfds"),
        train_split="train",
        test_split="validation",
        cache_dir="",
        costs="0.5,2",
        jobs=1,
    )
    assert (seen["costs"], seen["jobs"]) == ((0.5, 2.0), 1)
    line = read_results(str(tmp_path / "run" / "results.jsonl"))[0]
    assert (line["protocol"]["train_split"], line["protocol"]["test_split"]) == (
        "train",
        "validation",
    )
    assert line["protocol"]["costs"] == [0.5, 2.0]


FINE_TUNE = {
    "classifier_lr": 0.3, "encoder_lr": 0.02, "epochs": 2, "batch_size": 6, "momentum": 0.4,
    "fraction": 0.5, "crop_area_min": 0.6, "centre_crop": 0.8, "seed": 9,
}  # fmt: skip


def test_fine_tuning_settings_arrive(measured, photos, tmp_path, monkeypatch):
    export = save_keras_tiny(tmp_path / "run" / "export" / "5")
    seen = {}
    rates = {}

    def note(module, name, key):
        original = getattr(module, name)

        def spy(*arguments, **others):
            seen.setdefault(key, []).append((arguments, others))
            return original(*arguments, **others)

        monkeypatch.setattr(module, name, spy)

    note(training, "select_rows", "rows")
    note(training, "class_balanced", "balanced")
    note(training, "central_images", "central")
    note(training, "training_batches", "batches")
    fit = finetune_model.FineTuner.fit

    def noted_fit(self, *arguments, **others):
        for part, optimizer in (
            ("classifier", self.optimizer),
            ("encoder", self.encoder_optimizer),
        ):
            rates.setdefault(part, float(optimizer.learning_rate.numpy()))
            rates[f"{part} momentum"] = float(optimizer.momentum)
        rates["fits"] = rates.get("fits", 0) + 1
        return fit(self, *arguments, **others)

    monkeypatch.setattr(finetune_model.FineTuner, "fit", noted_fit)
    lines, _ = measured(
        "finetune", saved_model=export, dataset="folder", data_dir=photos, train_split="many",
        test_split="few", workdir=str(tmp_path / "work"), cache_mb=3, **FINE_TUNE,
    )  # fmt: skip
    assert rates == {
        "classifier": pytest.approx(0.3), "encoder": pytest.approx(0.02), "fits": 2,
        "classifier momentum": 0.4, "encoder momentum": 0.4,
    }  # fmt: skip
    assert seen["rows"][0][1] == {"cache_mb": 3}
    assert seen["balanced"][0][0][1:] == (0.5, 9)
    assert seen["central"][0][1]["centre_crop"] == 0.8
    arguments, others = seen["batches"][0]
    assert arguments[1].settings.crop_area_min == 0.6
    assert (others["seed"], others["batch_size"]) == (9, 6)
    protocol = lines[0]["protocol"]
    assert (protocol["train_images"], protocol["test_images"]) == (12, 12)  # 4 of 9 a class
    assert FineTuneSettings(**FINE_TUNE).protocol().items() <= protocol.items()
    assert pathlib.Path(tmp_path, "work", "run.json").exists()


def test_geometry_settings_decide_images_and_views(measured, photos, foreign):
    lines, _ = measured(
        "geometry", saved_model=foreign, image_size=16, dataset="folder", data_dir=photos,
        test_split="many", batch_size=4, images=7, seed=3,
    )  # fmt: skip
    (line,) = [line for line in lines if line["metric"] == "alignment"]
    assert (line["protocol"]["test_images"], line["protocol"]["seed"]) == (7, 3)
    source = open_source(DataSettings(dataset="folder", data_dir=f"{photos}/many"))
    augment = MultiViewAugmentation(num_views=2, image_size=16)
    encoder, features = exported.load_encoder(foreign), []
    for index, record in source.ordered(order_seed(3, 0)).take(7):
        draws = image_draws(views_seed(3, 0), index, 2)
        image = source.decode(record)
        views = augment({"images": image[None], "draws": draws[None]})["images"][0]
        features.append(encoder.embed(views.numpy()))
    first, second = (unit_rows(rows) for rows in np.stack(features, axis=1))
    assert line["value"] == pytest.approx(alignment(first, second), rel=1e-6)


def test_embedding_settings_arrive(run_command, photos, foreign, tmp_path, monkeypatch):
    sizes = []
    embed_images = exported.ExportedEncoder.embed

    def counted(self, images):
        sizes.append(images.shape)
        return embed_images(self, images)

    monkeypatch.setattr(exported.ExportedEncoder, "embed", counted)
    output = tmp_path / "out.npz"
    run_command(
        embed.COMMAND, saved_model=foreign, data_dir=f"{photos}/few", output=str(output),
        image_size=16, batch_size=5,
    )  # fmt: skip
    assert [tuple(shape) for shape in sizes[-3:]] == [
        (5, 16, 16, 3),
        (5, 16, 16, 3),
        (2, 16, 16, 3),
    ]
    assert len(np.load(output)["paths"]) == 12


def test_conversion_settings_arrive_at_a_new_format(
    run_command, photos, foreign, tmp_path, monkeypatch
):
    seen = {}

    def write(job, path):
        seen["squares"], seen["precision"] = job.samples.squares, job.precision
        pathlib.Path(path).write_bytes(b"toy")

    def load(path):
        assert pathlib.Path(path).read_bytes() == b"toy"
        return exported.load_encoder(foreign).embed

    def cost(embed, run, size, count):
        seen["knn"] = (size, count)
        return {"k": 1, "export_top1": 1, "file_top1": 2, "train_images": 3, "test_images": 4}

    bars = {"float32": Bar(0, -1), "int8": Bar(1e-6, 0.99)}
    toy = Target(
        "Toy", ".toy", "a toy", bars, {}, "", write, load, lambda job: {"note": "of a toy"},
        measures_knn=lambda precision: precision == "int8",
    )  # fmt: skip
    monkeypatch.setitem(TARGETS, "toy", toy)
    monkeypatch.setattr("msbreg_tf.evaluation.conversion.convert.knn_cost", cost)
    output = tmp_path / "made" / "a.toy"
    printed = run_command(
        convert.COMMAND, saved_model=foreign, to="toy", output=str(output), precision="int8",
        data_dir=f"{photos}/many", images=5, knn_images=123,
    )  # fmt: skip
    assert output.read_bytes() == b"toy"
    assert seen["squares"].shape == (5, 224, 224, 3)  # the export does not say its size
    assert (seen["precision"], seen["knn"]) == ("int8", (224, 123))
    card = json.loads(output.with_name("a.toy.json").read_text())
    assert card["order"]["export"] == exported.load_encoder(foreign).fingerprint
    assert card["verified"]["from"] == f"{photos}/many"
    assert [20, 24] in card["verified"]["sizes"]
    assert "Note: of a toy" in printed


def test_server_settings_arrive(run_command, photos, tmp_path, monkeypatch):
    seen = []

    class Served:
        identity: ClassVar[dict] = {"served": "m", "version": 2}

        def __init__(self, address, settings):
            seen.append((address.model, address.version, settings))

        def embed(self, batches):
            for batch in batches:
                yield np.ones([len(batch), 3], np.float32), np.ones([len(batch)], bool)

        def close(self):
            seen.append("closed")

    monkeypatch.setattr(client, "ServedEncoder", Served)
    given = {"server_requests": 3, "server_timeout": 4.0, "server_retries": 5}
    given["server"] = "grpc://host:8500/m/2"
    output = str(tmp_path / "o.npz")
    run_command(embed.COMMAND, **given, data_dir=f"{photos}/few", output=output)
    assert seen == [("m", 2, ServerSettings(**given)), "closed"]
    assert np.load(output)["embeddings"].shape == (12, 3)


def test_parts_and_engine_arrive(run_command, photos, foreign, tmp_path, monkeypatch):
    given = {"saved_model": foreign, "data_dir": f"{photos}/few", "image_size": 16}
    output = tmp_path / "out.npz"
    for number in (1, 2):
        run_command(embed.COMMAND, **given, output=str(output), shard=f"{number}/2")
        assert len(np.load(tmp_path / f"out.shard-{number}-of-2.npz")["paths"]) == 6
    run_command(embed.COMMAND, merge=True, output=str(output))
    assert len(np.load(output)["paths"]) == 12
    seen = []

    def fill(handler, paths, store, arguments, size):
        seen.append((handler, len(paths), arguments, size))
        store.write(0, features=np.ones([12, size], np.float32), good=np.ones([12], bool))
        return np.ones([12], bool)

    beam = types.SimpleNamespace(ExportHandler=lambda *settings: settings, fill_by_beam=fill)
    monkeypatch.setitem(sys.modules, "msbreg_tf.evaluation.features.beam", beam)
    monkeypatch.setattr(features, "beam", beam, raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    run_command(
        embed.COMMAND, **given, output=str(tmp_path / "beam.npz"), engine="beam", batch_size=5,
        beam_args="--runner=FlinkRunner", max_megapixels=3.0,
    )  # fmt: skip
    assert seen == [((foreign, 16, 3.0, 5), 12, "--runner=FlinkRunner", 5)]


class Server:
    """Stands in for a server of the tf.data service and keeps its configuration."""

    started: ClassVar[list] = []

    def __init__(self, config):
        self.target = f"grpc://localhost:{config.port}"
        Server.started.append(config)

    def stop(self):
        """Nothing runs."""


@pytest.mark.parametrize(
    ("flags", "ports", "workers"),
    [
        ({"role": "dispatcher", "port": 7001, "host": "here"}, [7001], 0),
        ({"role": "worker", "dispatcher": "grpc://localhost:7002", "workers": 2, "port": 7003,
          "host": "mine"}, [7003, 7004], 2),
        ({"role": "both", "port": 7005, "workers": 3, "host": "mine"}, [7005, 0, 0, 0], 3),
    ],
)  # fmt: skip
def test_the_input_engine_starts_what_it_is_told(run_command, monkeypatch, flags, ports, workers):
    Server.started.clear()
    monkeypatch.setattr(service, "DispatchServer", Server)
    monkeypatch.setattr(service, "WorkerServer", Server)
    monkeypatch.setattr(data_service, "_wait_for_a_signal", lambda: None)
    monkeypatch.setattr("msbreg_tf.data.pipeline.service.why_no_service", lambda address: None)
    monkeypatch.setattr("msbreg_tf.data.pipeline.service.why_unreachable", lambda address: None)
    monkeypatch.setattr(data_service.os, "_exit", lambda code: None)
    printed = run_command(data_service.COMMAND, **flags)
    assert [config.port for config in Server.started] == ports
    made = Server.started[len(ports) - workers :]
    assert {config.worker_address for config in made} <= {"mine:%port%"}
    if flags["role"] == "worker":
        assert {config.dispatcher_address for config in made} == {"localhost:7002"}
    if flags["role"] == "dispatcher":
        assert "Dispatcher at grpc://here:7001" in printed


@pytest.mark.parametrize("tool", ["knn", "linear", "finetune", "geometry", "embed"])
def test_max_megapixels_leaves_large_images_out(run_command, tmp_path, tool, monkeypatch):
    """Of 12 images a split, one has more pixels than are allowed."""
    for split in ("train", "test"):
        for number in range(12):
            path = tmp_path / "photos" / split / "ab"[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            side = 60 if number == 5 else 32
            pixels = np.full([side, side, 3], 20 * number, np.uint8)
            path.write_bytes(tf.io.encode_png(pixels).numpy())
    export = save_keras_tiny(tmp_path / "run" / "export" / "5")
    given = {"saved_model": export, "data_dir": str(tmp_path / "photos"), "max_megapixels": "2e-3"}
    if tool == "embed":
        run_command(embed.COMMAND, **given, output=str(tmp_path / "out.npz"))
        assert len(np.load(tmp_path / "out.npz")["paths"]) == 22
        return
    own = {"knn": {"k": "3"}, "linear": {"learning_rates": "0.1", "weight_decays": "0"}}
    own["finetune"] = {**FINE_TUNE, "workdir": str(tmp_path / "work"), "fraction": 1.0}
    if tool in ("knn", "linear"):
        own[tool]["cache_dir"] = ""
    replaced = []
    monkeypatch.setattr(geometry, "note_broken", lambda _, names, *rest: replaced.extend(names))
    run_command(evaluate.command(tool), dataset="folder", **given, **own.get(tool, {}))
    protocol = read_results(str(tmp_path / "run" / "results.jsonl"))[0]["protocol"]
    if tool == "geometry":  # which puts another image in its place
        assert [name.rpartition("/")[2] for name in replaced] == ["5.png"]
    else:
        assert (protocol["train_images"], protocol["test_images"]) == (11, 11)


def test_max_megapixels_reaches_voc(run_command, tmp_path):
    TinyVoc(config="2007", data_dir=str(tmp_path / "tfds")).download_and_prepare()
    export = save_tiny(tmp_path / "run" / "export" / "3", metadata={"image_size": 16})
    with pytest.raises(tf.errors.OpError, match="the limit is"):
        run_command(
            evaluate.command("svm"), saved_model=export, dataset="tiny_voc/2007", cache_dir="",
            data_dir=str(tmp_path / "tfds"), max_megapixels="1e-5",
        )  # fmt: skip


@pytest.mark.parametrize("start", ["probe", "random"])
def test_start_reaches_the_classifier(run_command, photos, tmp_path, monkeypatch, start):
    seen = []
    fine_tune = finetune_part.fine_tune

    def spy(*arguments, **others):
        seen.append(others["start"])
        return fine_tune(*arguments, **others)

    monkeypatch.setattr(finetune_part, "fine_tune", spy)
    export = save_keras_tiny(tmp_path / "run" / "export" / "5")
    run_command(
        evaluate.command("finetune"), saved_model=export, dataset="folder", data_dir=photos,
        train_split="many", test_split="few", workdir=str(tmp_path / "work"), start=start,
        **FINE_TUNE,
    )  # fmt: skip
    if start == "random":
        assert seen == [None]
    else:
        kernel, bias = seen[0]
        assert (kernel.shape, bias.shape) == ((6, 3), (3,))


SHARED = test_shared_flags_and_the_vote
LARGE = test_max_megapixels_leaves_large_images_out
ELSEWHERE = {  # whose settings have tests of their own
    "msbreg_tf.train": "tests/test_wiring*.py",
    "tools.compare": "tests/tools/test_compare.py",
    "tools.detect": "tests/tools/test_detect.py, tests/detection/",
    "tools.doctor": "tests/tools/test_doctor.py",
    "tools.neighbours": "tests/tools/test_neighbours.py",
    "tools.report": "tests/report/test_page.py",
    "tools.parity": "tests/run/test_parity.py",
    "tools.preview_views": "tests/tools/test_preview_views.py",
    "tools.quickstart": "tests/test_wiring*.py",
    "tools.sweep": "tests/tools/test_sweep.py",
}
EXPORT = ("saved_model", "image_size", "dataset", "test_split", "data_dir")
WIRED = {
    "tools.knn_eval": {
        SHARED: (*EXPORT, "train_split", "batch_size", "cache_dir", "results", "run_name", "k",
                 "temperature"),
        LARGE: ("max_megapixels",),
    },
    "tools.linear_eval": {
        LARGE: ("max_megapixels",),
        SHARED: ("results", "run_name", "batch_size", "cache_dir"),
        test_linear_settings_reach_the_probe: (*EXPORT, "train_split", *LINEAR),
    },
    "tools.svm_eval": {
        test_max_megapixels_reaches_voc: ("max_megapixels",),
        SHARED: ("results", "run_name", "batch_size", "image_size"),
        test_svm_settings_reach_the_machines: (
            "saved_model", "dataset", "data_dir", "train_split", "test_split", "cache_dir",
            "costs", "jobs",
        ),
    },
    "tools.finetune": {
        LARGE: ("max_megapixels",),
        test_start_reaches_the_classifier: ("start",),
        comparison.test_the_same_labels_from_several_starts: (
            "compare", "fractions", "seeds", "picture",
        ),
        SHARED: ("results", "run_name", "image_size"),
        test_fine_tuning_settings_arrive: (
            "saved_model", "dataset", "data_dir", "train_split", "test_split", "workdir",
            "cache_mb", *FINE_TUNE,
        ),
    },
    "tools.geometry": {
        LARGE: ("max_megapixels",),
        SHARED: ("results", "run_name"),
        test_geometry_settings_decide_images_and_views: (*EXPORT, "batch_size", "images", "seed"),
    },
    "tools.embed": {
        LARGE: ("max_megapixels",),
        test_embedding_settings_arrive: (
            "saved_model", "image_size", "batch_size", "data_dir", "output",
        ),
        test_server_settings_arrive: (
            "server", "server_requests", "server_timeout", "server_retries",
        ),
        test_parts_and_engine_arrive: ("shard", "merge", "engine", "beam_args"),
    },
    "tools.convert": {
        test_conversion_settings_arrive_at_a_new_format: (
            "saved_model", "to", "output", "precision", "data_dir", "images", "knn_images",
        ),
    },
    "tools.data_service": {
        test_the_input_engine_starts_what_it_is_told: (
            "role", "port", "dispatcher", "workers", "host",
        ),
    },
}  # fmt: skip


def test_every_flag_of_every_tool_is_wired_somewhere():
    assert WIRED.keys() | ELSEWHERE.keys() == COMMANDS.keys()
    for tool, tests in WIRED.items():
        named = [name for names in tests.values() for name in names]
        assert sorted(named) == sorted(cli.flag_names(COMMANDS[tool])), tool


def test_epochs_of_labelled_images_are_those_of_the_module():
    """So that the spies above stand where the training looks them up."""
    assert training.select_rows is labelled_epochs.select_rows
