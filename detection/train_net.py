r"""Fine-tunes a detector by Detectron2, as the paper does, and records its average precision.

    python -m tools.convert --saved_model=runs/imagenet/export/STEP --to=detectron2 \
        --output=resnet50_detectron2.pkl
    DETECTRON2_DATASETS=~/datasets python detection/train_net.py \
        --config detection/configs/coco_fpn.yaml --num-gpus 8 \
        MODEL.WEIGHTS resnet50_detectron2.pkl OUTPUT_DIR runs/detectron2_coco

Needs Detectron2, which PyPI does not have; docs/detection.md says how to install it. Names and
values after the flags change the configuration. Detectron2 only warns of weights that it can't
place, so this script counts them before the first step. The result is appended to
OUTPUT_DIR/results.jsonl as protocol `detect`, beside which `tools.compare` shows Table 2; if the
configuration was changed in anything that decides the result, as `detect-changed`. --resume
continues an interrupted run.
"""

import os
import pickle
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode, get_cfg
from detectron2.engine import DefaultTrainer, default_argument_parser, default_setup, launch
from detectron2.evaluation import COCOEvaluator, PascalVOCDetectionEvaluator
from detectron2.layers import get_norm
from detectron2.modeling.roi_heads import ROI_HEADS_REGISTRY, Res5ROIHeads
from detectron2.utils import comm

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from msbreg_tf.errors import RunFailedError
from msbreg_tf.evaluation.results.log import append_result
from msbreg_tf.files.whole import sha256_of

TENSORS = 265  # of a ResNet-50 without its classifier
_DATASETS = {"voc_2007_test": "voc/2007", "coco_2017_val": "coco/2017"}
# What decides nothing about the result.
_FREE = (
    *("MODEL.WEIGHTS", "MODEL.DEVICE", "OUTPUT_DIR", "SEED", "CUDNN_BENCHMARK", "VIS_PERIOD"),
    *("DATALOADER.NUM_WORKERS", "SOLVER.CHECKPOINT_PERIOD", "TEST.EVAL_PERIOD"),
)


@ROI_HEADS_REGISTRY.register()
class NormedRes5ROIHeads(Res5ROIHeads):
    """The box head of R50-C4 with one more norm after res5, as MoCo's."""

    @classmethod
    def _build_res5_block(cls, cfg):
        blocks, channels = super()._build_res5_block(cfg)
        blocks.add_module("norm", get_norm(cfg.MODEL.RESNETS.NORM, channels))
        return blocks, channels


class Trainer(DefaultTrainer):
    """Detectron2's default training with the evaluator of the data set."""

    @classmethod
    def build_evaluator(cls, cfg, dataset_name, output_folder=None):
        """VOC's or COCO's, by the data set's name."""
        if dataset_name.startswith("voc"):
            return PascalVOCDetectionEvaluator(dataset_name)
        folder = output_folder or os.path.join(cfg.OUTPUT_DIR, "inference")
        return COCOEvaluator(dataset_name, output_dir=folder)

    def train(self):
        """Trains, and returns what the evaluation at the end found; Detectron2's own does not."""
        super().train()
        return getattr(self, "_last_eval_results", None)


def check_loaded(model, weights: str) -> None:
    """Checks that a model holds every tensor of a converted file.

    Args:
      model: Detectron2's, after loading.
      weights: the .pkl of tools.convert --to=detectron2. Only such a file of your own is opened:
        a pickle can run code.

    Raises:
      RunFailedError: a tensor is not in the model, or not with these values; or there are not 265.
    """
    with open(weights, "rb") as file:
        tensors = pickle.load(file)["model"]
    state = model.state_dict()
    lost = [name for name, tensor in tensors.items() if not _is_in(state, name, tensor)]
    if lost or len(tensors) != TENSORS:
        raise RunFailedError(
            f"MODEL.WEIGHTS {weights}: of its {len(tensors)} tensors {len(tensors) - len(lost)} "
            f"are in the model, expected {TENSORS} of {TENSORS}"
            + (f"; the first that is not: {lost[0]}" if lost else "")
            + ". Convert a ResNet-50 with tools.convert --to=detectron2."
        )
    print(f"{weights}: {TENSORS} of {TENSORS} tensors loaded", flush=True)


def _is_in(state: Mapping[str, Any], name: str, tensor: np.ndarray) -> bool:
    """Whether exactly one of the model's tensors has this name, and these values."""
    found = [value for key, value in state.items() if f".{key}".endswith(f".{name}")]
    return len(found) == 1 and np.array_equal(found[0].cpu().numpy(), tensor)


def changes(cfg: CfgNode, config: str) -> dict[str, str]:
    """{name: value} of what differs from a configuration file and decides the result."""
    ours = get_cfg()
    ours.merge_from_file(config)
    there, here = dict(_leaves(ours)), dict(_leaves(cfg))
    return {
        name: str(here.get(name))
        for name in sorted(here.keys() | there.keys())
        if here.get(name) != there.get(name) and name not in _FREE
    }


def _leaves(node: CfgNode, before: str = ""):
    for name, value in node.items():
        if isinstance(value, CfgNode):
            yield from _leaves(value, f"{before}{name}.")
        else:
            yield before + name, value


def record(cfg: CfgNode, config: str, results: Mapping[str, Mapping[str, float]]) -> None:
    """Appends box and mask AP to OUTPUT_DIR/results.jsonl."""
    import detectron2

    (tested,) = cfg.DATASETS.TEST
    changed = changes(cfg, config)
    protocol = {
        "name": "detect-changed" if changed else "detect",
        "engine": f"detectron2 {detectron2.__version__}",
        "config": os.path.basename(config),
        "dataset": _DATASETS.get(tested, tested),
        "train_split": ",".join(cfg.DATASETS.TRAIN),
        "test_split": tested,
        "lr": cfg.SOLVER.BASE_LR,
        "steps": cfg.SOLVER.MAX_ITER,
        "batch_size": cfg.SOLVER.IMS_PER_BATCH,
        **({"changed": changed} if changed else {}),
    }
    form = " 11-point" if tested.startswith("voc_2007") else ""  # Detectron2's choice for 2007
    path = os.path.join(cfg.OUTPUT_DIR, "results.jsonl")
    weights = cfg.MODEL.WEIGHTS
    for kind, called in (("bbox", "box"), ("segm", "mask")):
        for part in ("AP", "AP50", "AP75") if kind in results else ():
            append_result(
                path,
                metric=f"{called} {part}{form} %",
                value=results[kind][part],
                protocol=protocol,
                encoder=None,
                run=os.path.basename(os.path.abspath(cfg.OUTPUT_DIR)),
                details={"weights": weights, "sha256": sha256_of(weights)},
            )
    print(f"Appended to {path}", flush=True)


def main(arguments) -> None:
    """One process of a training."""
    cfg = get_cfg()
    cfg.merge_from_file(arguments.config)
    cfg.merge_from_list(arguments.opts)
    cfg.freeze()
    default_setup(cfg, arguments)
    if not os.path.isfile(cfg.MODEL.WEIGHTS):
        raise RunFailedError(f"MODEL.WEIGHTS {cfg.MODEL.WEIGHTS}: no such file. Correct the path.")
    if arguments.eval_only:
        model = Trainer.build_model(cfg)
        DetectionCheckpointer(model, save_dir=cfg.OUTPUT_DIR).resume_or_load(cfg.MODEL.WEIGHTS)
        results = Trainer.test(cfg, model)
    else:
        trainer = Trainer(cfg)
        trainer.resume_or_load(resume=arguments.resume)
        if trainer.start_iter == 0:
            check_loaded(trainer.model, cfg.MODEL.WEIGHTS)
        results = trainer.train()
    if comm.is_main_process() and results:
        record(cfg, arguments.config, results)


if __name__ == "__main__":
    parser = default_argument_parser(__doc__)
    parser.add_argument("--config", required=True, metavar="FILE", help="of detection/configs/")
    given = parser.parse_args()
    processes = (given.num_gpus, given.num_machines, given.machine_rank, given.dist_url)
    try:
        launch(main, *processes, args=(given,))
    except RunFailedError as error:
        sys.exit(f"error: {error}")
