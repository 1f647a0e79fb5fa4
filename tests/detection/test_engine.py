"""torchvision's engine: networks, batches, exact resume, measuring. Needs `make test-detect`.

Sizes and numbers of regions are far below any use, so that a step takes a second or two.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: make test-detect")
pytest.importorskip("torchvision", reason="needs torchvision: make test-detect")
safetensors_torch = pytest.importorskip("safetensors.torch", reason="make test-detect")
pytest.importorskip("pycocotools", reason="needs pycocotools: make test-detect")

from torchvision.models import resnet50  # noqa: E402

from detection import batches, engine, models, predictions, scores, training  # noqa: E402
from msbreg_tf.errors import PreemptedError, RunFailedError  # noqa: E402
from msbreg_tf.evaluation.detection.opening import open_splits  # noqa: E402
from msbreg_tf.evaluation.detection.settings import (  # noqa: E402
    DetectionData,
    DetectionEngine,
    DetectionTraining,
)
from msbreg_tf.evaluation.detection.weights import resnet50_shapes  # noqa: E402
from msbreg_tf.evaluation.results.log import read_results  # noqa: E402
from msbreg_tf.evaluation.settings import RecordSettings  # noqa: E402
from tests.evaluation.detection.folders import SIDE, scene, write_coco, write_voc  # noqa: E402

ROOT = pathlib.Path(__file__).parents[2]
SMALL = {"min_sizes": (64, 96), "test_size": 80, "max_size": 200, "rois": 8, "proposals": 6}
# Where torchvision's names stand in each detector.
PLACES = {"voc": ("backbone.", "roi_heads.box_head."), "coco": ("backbone.body.",)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("layouts")
    write_voc(root / "voc", train=3, test=2)
    write_coco(root / "coco", train=4, test=3)
    return root


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file as tools.convert writes it: a ResNet-50 with weights of no special kind."""
    generator, tensors = torch.Generator().manual_seed(3), {}
    for name, shape in resnet50_shapes().items():
        if len(shape) == 4:
            deviation = (2 / (shape[0] * shape[2] * shape[3])) ** 0.5
            tensors[name] = torch.randn(shape, generator=generator) * deviation
        elif name.endswith(("weight", "running_var")):
            tensors[name] = torch.rand(shape, generator=generator) + 0.5
        else:
            tensors[name] = torch.randn(shape, generator=generator) * 0.1
    path = tmp_path_factory.mktemp("weights") / "resnet50.safetensors"
    safetensors_torch.save_file(tensors, path)
    return str(path)


def loaded(weights):
    return safetensors_torch.load_file(weights)


@pytest.mark.parametrize("layout", ["voc", "coco"])
def test_every_tensor_is_in_the_detector_and_trained(weights, layout):
    given = DetectionTraining(**SMALL)
    model = models.build_detector(layout, weights, 5, (64, 96), given)
    state, file = model.state_dict(), loaded(weights)
    for name, tensor in file.items():
        (place,) = [before + name for before in PLACES[layout] if before + name in state]
        torch.testing.assert_close(state[place], tensor, rtol=0, atol=0)
    assert len(file) == 265
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert (model.transform.min_size, model.transform.max_size) == ((64, 96), 200)
    assert model.roi_heads.fg_bg_sampler.batch_size_per_image == 8
    assert model.rpn._post_nms_top_n["testing"] == 6
    assert model.roi_heads.box_predictor.cls_score.out_features == 6  # with the background
    decayed, norms = models.parameter_groups(model, 0.1)
    assert (decayed["weight_decay"], norms["weight_decay"]) == (0.1, 0.0)
    assert len(decayed["params"]) + len(norms["params"]) == len(list(model.parameters()))
    rank = {parameter.ndim for parameter in norms["params"]}
    assert rank == {1}
    norm_count = {"voc": 53 + 1, "coco": 53 + 8}[layout]  # MoCo's norm after layer4; the pyramid's
    assert len(norms["params"]) == 2 * norm_count


def test_the_box_head_and_the_backbone_of_c4_are_the_encoder(weights):
    """Without the extra norm, backbone and box head give the encoder's pooled features."""
    model = models.build_detector("voc", weights, 3, (64,), DetectionTraining(**SMALL)).eval()
    encoder = resnet50()
    encoder.fc = torch.nn.Identity()
    encoder.load_state_dict(loaded(weights))
    encoder.eval()
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    head = model.roi_heads.box_head
    with torch.no_grad():
        features = head.layer4(model.backbone(images))
        torch.testing.assert_close(features.mean((2, 3)), encoder(images))
        assert head(model.backbone(images)).shape == (2, 2048)
    assert isinstance(head.norm, torch.nn.BatchNorm2d)
    assert model.backbone(images).shape[2:] == (4, 6)  # stride 16


def test_steps_see_every_picture_of_an_epoch_once_and_both_ways():
    order = list(batches.Order(5, 2, 7, 0, 10))
    numbers = [number for batch in order for number, _ in batch]
    assert sorted(numbers[:5]) == sorted(numbers[5:10]) == sorted(numbers[10:15]) == list(range(5))
    assert numbers[:5] != numbers[5:10]
    assert {flip for batch in order for _, flip in batch} == {False, True}
    assert list(batches.Order(5, 2, 7, 6, 10)) == order[6:]  # as when continued
    assert list(batches.Order(5, 2, 8, 0, 10)) != order


def test_a_flipped_lesson_is_its_mirror_image(folders):
    opened = open_splits(DetectionData(data_dir=str(folders / "coco")))
    data = batches.Lessons(opened.lessons, has_masks=True)
    (image, target), (mirrored, flipped) = data[0, False], data[0, True]
    pixels, objects = scene(0)
    assert image.shape == (3, 90, 120)
    assert float((image - torch.tensor(pixels).permute(2, 0, 1) / 255).abs().mean()) < 0.02  # JPEG
    assert torch.equal(mirrored, image.flip(2))
    assert target["labels"].tolist() == [
        1 + opened.train.names.index(kind) for kind, _, _ in objects
    ]
    for (_, left, top), box in zip(objects, flipped["boxes"]):
        assert box.tolist() == [120 - left - SIDE, top, 120 - left, top + SIDE]
    assert torch.equal(flipped["masks"], target["masks"].flip(2))
    for (_, left, top), mask in zip(objects, target["masks"]):
        middle = mask[top + SIDE // 2, left : left + SIDE]
        assert middle.sum() >= SIDE - 2  # a diamond is widest there
        assert mask[top + 1, left + 1] == mask[:, : left - 1].sum() == 0
        assert abs(int(mask.sum()) - SIDE**2 // 2) < 2 * SIDE


class Oracle(torch.nn.Module):
    """Finds what the annotations say, as torchvision's detectors give it."""

    interrupts = False

    def __init__(self, pictures, has_masks):
        super().__init__()
        self.parameter = torch.nn.Parameter(torch.zeros(1))
        self._targets = [
            batches.Lessons(pictures, has_masks)[n, False] for n in range(len(pictures))
        ]

    def forward(self, images):
        if self.interrupts:
            os.kill(os.getpid(), signal.SIGTERM)
        (target,) = [t for image, t in self._targets if torch.equal(image, images[0])]
        found = {**target, "scores": torch.full([len(target["labels"])], 0.9)}
        if "masks" in target:
            found["masks"] = target["masks"][:, None].float()
        return [found]


@pytest.mark.parametrize("layout", ["voc", "coco"])
def test_who_finds_everything_has_100_percent(folders, tmp_path, layout):
    """So classes, categories, corners and masks come back as they went out."""
    opened = open_splits(DetectionData(data_dir=str(folders / layout)))
    pictures = [p for p in opened.test.pictures if len(p.labels)]
    oracle = Oracle(pictures, layout == "coco")
    path = str(tmp_path / "predictions.jsonl")
    lines = predictions.predict(oracle, pictures, path)
    values = scores.metrics(layout, opened.test, lines)
    assert list(values.values()) == [pytest.approx(100.0)] * 6
    kinds = ("box", "mask") if layout == "coco" else ("box",)
    assert {name.split()[0] for name in values} == set(kinds)
    # A file that was cut off in its last line is continued, not begun anew.
    text = pathlib.Path(path).read_text()
    pathlib.Path(path).write_text(text[:-20])
    assert predictions.predict(oracle, pictures, path) == lines
    assert pathlib.Path(path).read_text() == text
    # A signal ends it after the picture at hand, and that one is kept.
    os.remove(path)
    oracle.interrupts = True
    with pytest.raises(PreemptedError, match="Stopped by signal 15 while measuring; what was fou"):
        predictions.predict(oracle, pictures, path)
    assert pathlib.Path(path).read_text() == text.splitlines(keepends=True)[0]
    # Of the second picture nothing is found.
    if layout == "coco":
        nothing = {**lines[1], "boxes": [], "labels": [], "scores": [], "masks": []}
        kept = scores.metrics(layout, opened.test, [lines[0], nothing])
        assert 0 < kept["box AP %"] < 100
        assert kept["box AP %"] == pytest.approx(kept["mask AP %"])
        assert scores.metrics(layout, opened.test, [nothing])["mask AP50 %"] == 0


def run(folder, weights, workdir, *, steps, lr=1e-3, **others):
    """The engine in this process, on a CPU; returns the lines of its results."""
    data = DetectionData(data_dir=str(folder), weights=weights, workdir=str(workdir))
    given = DetectionTraining(steps=steps, batch_size=2, lr=lr, **{**SMALL, **others})
    settings = DetectionEngine(device="cpu", workers=0, log_every=1, checkpoint_every=2)
    engine.run(data, given, settings, RecordSettings(run_name="row"))
    return read_results(f"{workdir}/results.jsonl")


def final_state(workdir, step):
    path = f"{workdir}/checkpoints/{step}/state.pt"
    return torch.load(path, weights_only=True)["model"]


def test_an_interrupted_training_ends_as_an_uninterrupted_one(
    folders, weights, tmp_path, monkeypatch, capsys
):
    saved, save, step_of = [], training._save, training._step
    monkeypatch.setattr(training, "_save", lambda *rest: saved.append(rest[-1]) or save(*rest))
    whole = run(folders / "coco", weights, tmp_path / "whole", steps=3)
    assert saved == [2, 3]  # every second step, and the last
    logged = (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()
    metrics = [json.loads(line) for line in logged]
    assert [(line["step"], line["lr"]) for line in metrics] == [
        *((1, 1e-3), (2, 1e-3), (3, pytest.approx(1e-4))),
    ]

    def interrupted(*arguments):
        if arguments[-1] == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return step_of(*arguments)

    monkeypatch.setattr(training, "_step", interrupted)
    with pytest.raises(PreemptedError, match="Stopped by signal 15 after step 2, which is saved"):
        run(folders / "coco", weights, tmp_path / "parts", steps=3)
    assert os.listdir(tmp_path / "parts" / "checkpoints") == ["2"]
    monkeypatch.setattr(training, "_step", step_of)
    parts = run(folders / "coco", weights, tmp_path / "parts", steps=3)
    expected = final_state(tmp_path / "whole", 3)
    for name, tensor in final_state(tmp_path / "parts", 3).items():
        assert torch.equal(tensor, expected[name]), name
    for name in ("metrics.jsonl", "predictions.jsonl"):
        assert (tmp_path / "parts" / name).read_text() == (tmp_path / "whole" / name).read_text()
    assert [line["value"] for line in parts] == [line["value"] for line in whole]
    before = loaded(weights)["layer1.0.conv1.weight"]
    assert not torch.equal(expected["backbone.body.layer1.0.conv1.weight"], before)
    check_results(whole)
    # Once more: nothing is trained or predicted, and other settings are refused.
    monkeypatch.setattr(training, "_step", None)
    monkeypatch.setattr(predictions, "_line", None)
    sizes, predict = [], predictions.predict

    def measured(model, *rest):
        sizes.append(model.transform.min_size)
        return predict(model, *rest)

    monkeypatch.setattr(predictions, "predict", measured)
    again = run(folders / "coco", weights, tmp_path / "parts", steps=3)
    assert sizes == [(80,)]  # --test_size
    assert [line["value"] for line in again[6:]] == [line["value"] for line in whole]
    with pytest.raises(ValueError, match=r"holds another run .*--seed: 0 there, 5 now"):
        run(folders / "coco", weights, tmp_path / "parts", steps=3, seed=5)
    with pytest.raises(ValueError, match=r"holds another run .*weights: \w+ there, random now"):
        run(folders / "coco", "random", tmp_path / "parts", steps=3)
    assert "265 of 265 tensors" in capsys.readouterr().out


def check_results(lines):
    assert [line["metric"] for line in lines] == [
        *("box AP %", "box AP50 %", "box AP75 %", "mask AP %", "mask AP50 %", "mask AP75 %"),
    ]
    for line in lines:
        protocol = line["protocol"]
        assert (line["run"], protocol["name"], protocol["dataset"]) == (
            *("row", "detect-torchvision", "coco"),
        )
        assert protocol["engine"].startswith("torchvision ")
        assert (protocol["train_images"], protocol["test_images"]) == (3, 3)
        assert (protocol["steps"], protocol["lr"], protocol["milestones"]) == (3, 1e-3, [2])
        assert protocol["min_sizes"] == [64, 96]
        assert 0 <= line["value"] <= 100
        assert "torchvision" in line["versions"]


def test_a_loss_that_is_not_finite_and_images_that_do_not_fit(folders, weights, tmp_path):
    with pytest.raises(RunFailedError, match=r"step \d: the loss is not finite .*smaller --lr"):
        run(folders / "coco", weights, tmp_path / "w", steps=5, lr=1e30, warmup_steps=0)
    opened = open_splits(DetectionData(data_dir=str(folders / "voc")))
    first, second = opened.train.pictures[:2]
    wrong = type(first)(**{**vars(first), "width": 121})
    with pytest.raises(RunFailedError, match="is of 120×90 pixels, and its annotation says 121×90"):
        batches.read_image(wrong)
    (tmp_path / "a.jpg").write_bytes(pathlib.Path(second.path).read_bytes()[:700])
    broken = type(second)(**{**vars(second), "path": str(tmp_path / "a.jpg")})
    with pytest.raises(RunFailedError, match=r"a\.jpg: it can't be decoded"):
        batches.read_image(broken)
    for workers in (0, 1):
        order = batches.Order(1, 1, 0, 0, 1)
        with pytest.raises(RunFailedError, match=r"a\.jpg: it can't be decoded") as caught:
            next(batches.lessons([broken], order, workers, has_masks=False))
        assert "\n" not in str(caught.value)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="--device=cuda: PyTorch sees no GPU"):
            models.chosen_device("cuda")


def test_the_command_on_voc_from_beginning_to_end(folders, weights, tmp_path):
    """A process of the command, which starts one of the engine, which reads images in two more."""
    flags = {**SMALL, "min_sizes": "64", "steps": 2, "batch_size": 2, "lr": 1e-3, "workers": 2}
    command = [sys.executable, "-m", "tools.detect", f"--data_dir={folders}/voc", "--device=cpu"]
    command += [f"--weights={weights}", "--workdir=here/first", f"--python={sys.executable}"]
    command += [f"--{name}={value}" for name, value in flags.items()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "265 of 265 tensors" in done.stdout
    assert "5 images with 10 objects of 20 classes" in done.stdout
    lines = read_results(str(tmp_path / "here" / "first" / "results.jsonl"))
    assert {line["metric"] for line in lines} == {
        *("box AP %", "box AP50 %", "box AP75 %"),
        *("box AP 11-point %", "box AP50 11-point %", "box AP75 11-point %"),
    }
    assert {line["run"] for line in lines} == {"first"}
    predicted = [
        json.loads(line)
        for line in (tmp_path / "here" / "first" / "predictions.jsonl").read_text().splitlines()
    ]
    assert [line["name"] for line in predicted] == ["VOC2007/000100", "VOC2007/000101"]
    assert all(np.all(np.array(line["labels"]) < 20) for line in predicted)
    metrics = (tmp_path / "here" / "first" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in metrics] == [2]
