"""torchvision's detectors around a ResNet-50 of ours, of which all is loaded and all is trained."""

import collections
import os
from typing import TYPE_CHECKING

import safetensors.torch
import torch
from torch import nn
from torchvision.models import resnet50
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from msbreg_tf.evaluation.detection.weights import RANDOM, resnet50_shapes

if TYPE_CHECKING:
    from msbreg_tf.evaluation.detection.settings import DetectionTraining

_ANCHORS = (32, 64, 128, 256, 512)
_ASPECTS = (0.5, 1.0, 2.0)
_C4_ROI_SIDE = 14  # layer4 has stride 2: 7 before the pooling, as in Detectron2
_FPN_CHANNELS = 256


def build_detector(
    layout: str,
    weights: str,
    num_classes: int,
    min_sizes: tuple[int, ...],
    given: "DetectionTraining",
) -> nn.Module:
    """The detector of a layout, in training mode, its new layers drawn from torch's generator.

    Args:
      layout: "voc" or "coco".
      weights: a .safetensors file with torchvision's names, or "random".
      num_classes: C, without the background, which is class 0.
      min_sizes: shorter sides of training images.
      given: sizes and numbers of regions.
    """
    build = {"voc": _faster_rcnn_c4, "coco": _mask_rcnn_fpn}[layout]
    return build(
        load_encoder(weights),
        num_classes + 1,
        min_size=min_sizes,
        max_size=given.max_size,
        box_batch_size_per_image=given.rois,
        rpn_post_nms_top_n_test=given.proposals,
    )


def load_encoder(weights: str) -> nn.Module:
    """torchvision's ResNet-50 without classifier, with the 265 tensors of a file or random ones.

    Raises:
      RuntimeError: a tensor is missing, unexpected or of another shape; the command has checked it.
    """
    encoder = resnet50(weights=None, norm_layer=nn.BatchNorm2d)
    encoder.fc = nn.Identity()
    if weights != RANDOM:
        found = safetensors.torch.load_file(os.path.expanduser(weights))
        state = {name: tensor for name, tensor in found.items() if not name.startswith("fc.")}
        assert state.keys() == resnet50_shapes().keys()
        encoder.load_state_dict(state, strict=True)
    return encoder


def _faster_rcnn_c4(encoder: nn.Module, num_classes: int, **others) -> nn.Module:
    """Faster R-CNN whose regions are cut from layer3; layer4 and a norm are their box head.

    torchvision has no such model. The norm after layer4 is MoCo's; strides, anchors and numbers of
    proposals are those of Detectron2's R50-C4.
    """
    parts = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3")
    backbone = nn.Sequential(collections.OrderedDict((n, getattr(encoder, n)) for n in parts))
    backbone.out_channels = 1024
    head = collections.OrderedDict(
        layer4=encoder.layer4,
        norm=nn.BatchNorm2d(2048),
        pool=nn.AdaptiveAvgPool2d(1),
        flat=nn.Flatten(),
    )
    return FasterRCNN(
        backbone,
        rpn_anchor_generator=AnchorGenerator((_ANCHORS,), (_ASPECTS,)),
        box_roi_pool=MultiScaleRoIAlign(["0"], output_size=_C4_ROI_SIDE, sampling_ratio=2),
        box_head=nn.Sequential(head),
        box_predictor=FastRCNNPredictor(2048, num_classes),
        rpn_pre_nms_top_n_train=12_000,
        rpn_pre_nms_top_n_test=6_000,
        rpn_post_nms_top_n_train=2_000,
        **others,
    )


def _mask_rcnn_fpn(encoder: nn.Module, num_classes: int, **others) -> nn.Module:
    """Mask R-CNN on a feature pyramid that has norms, as MoCo's."""
    backbone = BackboneWithFPN(
        encoder,
        {f"layer{level}": str(level - 1) for level in range(1, 5)},
        [256, 512, 1024, 2048],
        _FPN_CHANNELS,
        extra_blocks=LastLevelMaxPool(),
        norm_layer=nn.BatchNorm2d,
    )
    return MaskRCNN(
        backbone,
        num_classes,
        rpn_pre_nms_top_n_train=2_000,
        rpn_pre_nms_top_n_test=1_000,
        rpn_post_nms_top_n_train=1_000,
        **others,
    )


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """All parameters in two groups, those of norms without weight decay, as in Detectron2."""
    norms = {
        parameter
        for module in model.modules()
        if isinstance(module, nn.BatchNorm2d)
        for parameter in module.parameters(recurse=False)
    }
    decayed = [parameter for parameter in model.parameters() if parameter not in norms]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": [p for p in model.parameters() if p in norms], "weight_decay": 0.0},
    ]


def chosen_device(name: str) -> torch.device:
    """The device that --device names.

    Raises:
      ValueError: there is no GPU.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device=cuda: PyTorch sees no GPU. Use --device=cpu.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
