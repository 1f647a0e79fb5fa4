"""Where and how a run works, as settings. Nothing here imports TensorFlow."""

import dataclasses
from typing import Optional, Union

from msbreg_tf.settings import Settings, setting

LOGGING = (
    *("log_every", "knn_every", "knn_train_split", "knn_test_split", "knn_images"),
    *("quality_every", "quality_images"),
)


@dataclasses.dataclass(frozen=True)
class RunSettings(Settings):
    """Where and how a run works; most of it does not change the result."""

    workdir: Optional[str] = setting(
        None,
        "Folder of this run: checkpoints, logs and exports. Start the same command again and it "
        "continues from the last checkpoint.",
        changes_result=False,
    )
    seed: int = setting(
        0, "Seed of initial weights, order, views and noise.", low=0, high=2**31 - 1
    )
    init_from: Optional[str] = setting(
        None,
        "What the encoder starts from, instead of random weights: export/<step> of a run of the "
        "same encoder, or a file of weights: .safetensors, .pth or .pt of torchvision's or timm's "
        "ResNet-18 or 50, .keras or .npz of ours. The heads start anew; the target starts equal to "
        "the online network.",
        changes_result=False,
    )
    mixed_precision: Union[bool, str] = setting(
        False,
        "Compute in 16 bits, losses and weights in 32: float16 with loss scaling on GPUs, bfloat16 "
        "on CPUs. 'auto' takes what this machine has instructions for: bfloat16 on GPUs from "
        "compute capability 8 on and on CPUs with AMX or AVX512-BF16, float16 on GPUs of 7, "
        "float32 elsewhere; a run that is continued keeps what it began with.",
        also=("auto",),
    )
    strategy: str = setting(
        "auto",
        "Devices: 'one' uses the first; 'mirrored' all visible GPUs, or CPU devices where there is "
        "none; 'auto' is mirrored where there are several GPUs or --cpu_devices. 'multi_worker' "
        "trains on several machines: start the same command on each, with TF_CONFIG set or under "
        "Slurm's srun, and a --workdir that all see; 'auto' does so too if TF_CONFIG names several "
        "workers. Results are the same up to rounding, except for --accumulate_steps.",
        choices=("auto", "one", "mirrored", "multi_worker"),
        changes_result=False,
    )
    cpu_devices: int = setting(
        1,
        "Devices to split the CPU into, to try several replicas without GPUs, which are then "
        "hidden. For --strategy=mirrored and auto.",
        low=1,
        changes_result=False,
    )
    checkpoint_every: int = setting(
        500, "How often a checkpoint is saved.", unit="steps", low=1, changes_result=False
    )
    keep_checkpoints: int = setting(
        3,
        "Newest checkpoints to keep; at least 2, so that a damaged one can fall back.",
        low=2,
        changes_result=False,
    )
    log_every: int = setting(
        10,
        "How often metrics.jsonl gets a line and TensorBoard a point; the first and the last step "
        "always have one.",
        unit="steps",
        low=1,
        changes_result=False,
    )
    knn_every: int = setting(
        0,
        "How often k-NN evaluates the encoder during training; 0 is never. It needs labels.",
        unit="epochs",
        low=0,
        changes_result=False,
    )
    knn_train_split: str = setting(
        "train", "Labelled split that k-NN looks its neighbours up in.", changes_result=False
    )
    knn_images: int = setting(
        10000,
        "Images of each labelled split that k-NN uses, at most, held in memory.",
        low=1,
        changes_result=False,
    )
    knn_test_split: str = setting(
        "test", "Labelled split that k-NN classifies.", changes_result=False
    )
    quality_every: int = setting(
        0,
        "How often label-free measures of quality are taken during training, of views of the first "
        "training images: RankMe, LiDAR and others (docs/watching.md); 0 is never.",
        unit="epochs",
        low=0,
        changes_result=False,
    )
    quality_images: int = setting(
        1024,
        "Training images that the label-free measures are taken of, at most; their views are held "
        "in memory.",
        low=8,
        changes_result=False,
    )
