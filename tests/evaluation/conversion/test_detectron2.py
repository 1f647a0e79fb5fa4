"""Detectron2 itself loads what NumPy wrote. Needs no TensorFlow:

python -m pytest --noconftest tests/evaluation/conversion/test_detectron2.py
"""

import numpy as np
import pytest

from msbreg_tf.evaluation.conversion import to_detectron2
from msbreg_tf.evaluation.conversion.target import Job

from .random_weights import Encoder

torch = pytest.importorskip("torch", reason="PyTorch is not installed here")
pytest.importorskip("detectron2.config", reason="Detectron2 is not installed here")


@pytest.mark.parametrize("architecture", ["resnet18", "resnet50"])
def test_its_backbone_takes_every_tensor_and_computes_the_same(architecture, tmp_path):
    from detectron2.checkpoint import DetectionCheckpointer
    from detectron2.config import get_cfg
    from detectron2.layers import ShapeSpec
    from detectron2.modeling.backbone import build_resnet_backbone

    job = Job(Encoder(architecture), "float32", None)
    path = str(tmp_path / "encoder.pkl")
    to_detectron2.TARGET.write(job, path)
    config = get_cfg()
    given = to_detectron2.TARGET.facts(job)["config"]
    config.merge_from_list([part for pair in given.items() for part in pair])
    config.MODEL.RESNETS.OUT_FEATURES = ["res5"]
    config.MODEL.RESNETS.NORM = "BN"
    model = build_resnet_backbone(config, ShapeSpec(channels=3)).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    DetectionCheckpointer(model).load(path)
    # It only warns of what is missing: every tensor must have changed.
    kept = [
        name
        for name, value in model.state_dict().items()
        if "num_batches" not in name and torch.equal(value, before[name])
    ]
    assert kept == []
    pixels = np.random.default_rng(0).uniform(0, 255, [2, 75, 64, 3]).astype(np.float32)
    mean, std = (
        torch.tensor(value)[:, None, None]
        for value in (config.MODEL.PIXEL_MEAN, config.MODEL.PIXEL_STD)
    )
    with torch.no_grad():
        images = (torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()) - mean) / std
        found = model(images)["res5"].mean((2, 3)).numpy()
    expected = to_detectron2.TARGET.load(path)(pixels)
    assert np.abs(found - expected).max() < 3e-6 * np.abs(expected).max()
