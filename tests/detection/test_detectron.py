"""Detectron2's configurations and script, where Detectron2 is; it is on no package registry."""

import json
import os
import pathlib
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("detectron2", reason="needs Detectron2, see docs/detection.md")

from detectron2.config import get_cfg
from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES
from detectron2.evaluation.pascal_voc_evaluation import voc_eval

from msbreg_tf.evaluation.detection.opening import open_splits
from msbreg_tf.evaluation.detection.settings import DetectionData
from msbreg_tf.evaluation.detection.voc import read_voc
from msbreg_tf.evaluation.detection.voc_ap import Detections, voc_metrics
from msbreg_tf.evaluation.detection.weights import resnet50_shapes
from msbreg_tf.evaluation.results.log import read_results
from tests.evaluation.detection.folders import write_coco, write_voc

ROOT = pathlib.Path(__file__).parents[2]
CONFIGS = ROOT / "detection" / "configs"
SHORT = {
    "SOLVER.IMS_PER_BATCH": 2,
    "SOLVER.MAX_ITER": 1,
    "SOLVER.STEPS": (),
    "SOLVER.BASE_LR": 1e-4,
    "INPUT.MIN_SIZE_TRAIN": (96,),
    "INPUT.MIN_SIZE_TEST": 96,
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": 8,
    "MODEL.RPN.POST_NMS_TOPK_TEST": 10,
    "TEST.PRECISE_BN.NUM_ITER": 1,
    "DATALOADER.NUM_WORKERS": 0,
    "MODEL.DEVICE": "cpu",
}


def config(name):
    cfg = get_cfg()
    cfg.merge_from_file(str(CONFIGS / name))
    return cfg


def test_the_configurations_hold_the_papers_schedules():
    voc, coco = config("voc_c4.yaml"), config("coco_fpn.yaml")
    for cfg in (voc, coco):
        assert cfg.SOLVER.IMS_PER_BATCH == 16
        assert (cfg.MODEL.BACKBONE.FREEZE_AT, cfg.INPUT.FORMAT) == (0, "RGB")
        assert not cfg.MODEL.RESNETS.STRIDE_IN_1X1
        np.testing.assert_allclose(cfg.MODEL.PIXEL_MEAN, 255 * np.array([0.485, 0.456, 0.406]))
        np.testing.assert_allclose(cfg.MODEL.PIXEL_STD, 255 * np.array([0.229, 0.224, 0.225]))
    solver = voc.SOLVER
    assert (*(0.02, 100, (18_000, 22_000), 24_000),) == (
        solver.BASE_LR,
        solver.WARMUP_ITERS,
        solver.STEPS,
        solver.MAX_ITER,
    )
    solver = coco.SOLVER
    assert (*(0.05, 50, (60_000, 80_000), 90_000),) == (
        solver.BASE_LR,
        solver.WARMUP_ITERS,
        solver.STEPS,
        solver.MAX_ITER,
    )


def detectron_name(name):
    if not name.startswith("layer"):
        return f"stem.{name}".replace("bn1", "conv1.norm")
    name = re.sub(r"^layer(\d)", lambda match: f"res{int(match[1]) + 1}", name)
    name = re.sub(r"\.bn(\d)", r".conv\1.norm", name)
    return name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")


def write_weights(path, leave_out=()):
    rng = np.random.default_rng(0)
    tensors = {
        detectron_name(name): (rng.random(shape) * 0.05 + 0.5 * (len(shape) == 1)).astype("f4")
        for name, shape in resnet50_shapes().items()
        if name not in leave_out
    }
    content = {"model": tensors, "__author__": "msbreg_tf", "matching_heuristics": True}
    path.write_bytes(pickle.dumps(content, protocol=4))


def train(name, folder, weights, output, **changed):
    """Runs the script; returns the finished process."""
    options = {**SHORT, **changed, "MODEL.WEIGHTS": weights, "OUTPUT_DIR": output}
    command = [sys.executable, str(ROOT / "detection" / "train_net.py"), "--num-gpus", "0"]
    command += ["--config", str(CONFIGS / name)]
    command += [str(part) for pair in options.items() for part in pair]
    environment = {**os.environ, "DETECTRON2_DATASETS": str(folder)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_faster_rcnn_c4_on_voc_from_beginning_to_end(tmp_path):
    write_voc(tmp_path, train=2, test=2, pose=True)
    write_weights(tmp_path / "w.pkl")
    done = train("voc_c4.yaml", tmp_path, tmp_path / "w.pkl", tmp_path / "out")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "265 of 265 tensors loaded" in done.stdout
    lines = read_results(str(tmp_path / "out" / "results.jsonl"))
    assert [line["metric"] for line in lines] == [
        *("box AP 11-point %", "box AP50 11-point %", "box AP75 11-point %"),
    ]
    protocol = lines[0]["protocol"]
    assert (protocol["name"], protocol["dataset"]) == ("detect-changed", "voc/2007")
    assert protocol["changed"]["SOLVER.MAX_ITER"] == "1"
    assert not {"MODEL.WEIGHTS", "MODEL.DEVICE", "OUTPUT_DIR"} & protocol["changed"].keys()
    # A file that lacks a tensor, which Detectron2 itself only warns of, is refused.
    write_weights(tmp_path / "less.pkl", leave_out=("layer4.2.bn3.bias",))
    done = train("voc_c4.yaml", tmp_path, tmp_path / "less.pkl", tmp_path / "less")
    assert done.returncode == 1
    assert "of its 264 tensors 264 are in the model, expected 265 of 265" in done.stderr


def test_mask_rcnn_fpn_on_coco_from_beginning_to_end(tmp_path):
    categories = [{"id": c["id"], "name": c["name"]} for c in COCO_CATEGORIES if c["isthing"]]
    write_coco(tmp_path / "coco", train=3, test=2, categories=categories)
    write_weights(tmp_path / "w.pkl")
    changed = {"MODEL.RESNETS.NORM": "BN", "MODEL.FPN.NORM": "BN"}  # SyncBN needs GPUs
    changed["MODEL.ROI_HEADS.SCORE_THRESH_TEST"] = 0.0  # so that something is found, and measured
    done = train("coco_fpn.yaml", tmp_path, tmp_path / "w.pkl", tmp_path / "out", **changed)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "265 of 265 tensors loaded" in done.stdout
    lines = read_results(str(tmp_path / "out" / "results.jsonl"))
    assert [line["metric"] for line in lines] == [
        *("box AP %", "box AP50 %", "box AP75 %", "mask AP %", "mask AP50 %", "mask AP75 %"),
    ]
    assert lines[0]["protocol"]["dataset"] == "coco/2017"


def test_our_average_precision_is_detectrons(tmp_path):
    """Of noisy detections of 12 images with a difficult object, at three limits and both forms."""
    folder = write_voc(tmp_path, train=2, test=12, pose=True)
    test = read_voc(folder, ("VOC2007/test",), (), "test_split")
    rng = np.random.default_rng(0)
    detections = {}
    for picture in test.pictures:
        boxes = np.concatenate([picture.boxes + rng.integers(-6, 7, (2, 4)) for _ in range(2)])
        scores = rng.permutation(1000)[:4] / 1000 + 0.0001 * len(detections)
        labels = np.where(rng.random(4) < 0.8, np.tile(picture.labels, 2), picture.labels[0])
        detections[picture.name] = Detections(boxes, labels, scores)
    ours = voc_metrics(test, detections)
    for form, use_11 in (("%", False), ("11-point %", True)):
        for part, limit in (("AP50", 0.5), ("AP75", 0.75)):
            theirs = []
            for label, name in enumerate(test.names):
                if any(np.any((p.labels == label) & ~p.ignored) for p in test.pictures):
                    theirs.append(
                        _detectron(folder, tmp_path, detections, label, name, limit, use_11)
                    )
            assert ours[f"box {part} {form}"] == pytest.approx(100 * np.mean(theirs), abs=1e-4)
    assert 0 < ours["box AP75 %"] < ours["box AP50 %"] < 100
    assert len(open_splits(DetectionData(data_dir=folder)).test.pictures) == 12


def _detectron(folder, tmp_path, detections, label, name, limit, use_11):
    lines = [
        " ".join([key.split("/")[1], f"{score:.6f}", *map(str, box + [1, 1, 0, 0])])  # noqa: RUF005
        for key, own in detections.items()
        for box, score in zip(own.boxes[own.labels == label], own.scores[own.labels == label])
    ]
    (tmp_path / f"{name}.txt").write_text("\n".join(lines))
    base = f"{folder}/VOC2007"
    arguments = (f"{tmp_path}/{{}}.txt", f"{base}/Annotations/{{}}.xml")
    *_, found = voc_eval(
        *arguments, f"{base}/ImageSets/Main/test.txt", name, ovthresh=limit, use_07_metric=use_11
    )
    return float(json.dumps(float(found)))
