"""Every setting of a run: its name, default, unit, allowed values and source, in one place.

Each field becomes one absl flag of the same name (`cli.py`). The dataclasses are frozen; building
one checks it, so a `Config` that exists is valid. Nothing here imports TensorFlow.
"""

import dataclasses
import re
from typing import Any, Optional

_SERVICE_ADDRESS = re.compile(r"grpc://(\[[0-9a-fA-F:.]+\]|[^/:\s\[\]]+):\d{1,5}")


def setting(
    default: Any,
    help: str,
    *,
    choices: Optional[tuple[str, ...]] = None,
    low: Optional[float] = None,
    high: Optional[float] = None,
    above: Optional[float] = None,
    changes_result: bool = True,
) -> Any:
    """Declares a field of a settings dataclass.

    Args:
      default: value when the flag is not given.
      help: what it does, with unit and source.
      choices: allowed strings.
      low: smallest allowed number, itself included.
      high: largest allowed number, itself included.
      above: the number must be larger than this.
      changes_result: False for settings such as paths and devices, which a resumed run may change.
    """
    metadata = {
        "help": help,
        "choices": choices,
        "low": low,
        "high": high,
        "above": above,
        "changes_result": changes_result,
    }
    return dataclasses.field(default=default, metadata=metadata)


def _check_field(field: dataclasses.Field, value: Any) -> None:
    if value is None:
        return
    rules = field.metadata
    if rules["choices"] and value not in rules["choices"]:
        raise ValueError(f"--{field.name}={value}: expected one of {', '.join(rules['choices'])}.")
    for rule, broken, words in (
        ("low", lambda v, limit: not v >= limit, "at least"),
        ("high", lambda v, limit: not v <= limit, "at most"),
        ("above", lambda v, limit: not v > limit, "more than"),
    ):
        if rules[rule] is not None and broken(value, rules[rule]):
            raise ValueError(f"--{field.name}={value}: expected {words} {rules[rule]}.")


class _Checked:
    """Checks every field against its own rules when the dataclass is built."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            _check_field(field, getattr(self, field.name))


@dataclasses.dataclass(frozen=True)
class DataConfig(_Checked):
    """Which images."""

    dataset: str = setting(
        "sample",
        "Images to train on: a TFDS name (cifar10, stl10, imagenet2012, …); 'sample', the CIFAR-10 "
        "images shipped with the project; 'folder', any folder of images given by --data_dir; or "
        "'imagenet100', CMC's 100 classes of imagenet2012.",
    )
    split: str = setting(
        "train",
        "Split to train on, in TFDS notation: 'train', 'train+unlabelled', 'train[:10%]'. "
        "For --dataset=folder it must stay 'train': every image under --data_dir is used.",
    )
    data_dir: Optional[str] = setting(
        None,
        "Where the data lies: the TFDS directory (default: TFDS's own, ~/tensorflow_datasets), or "
        "the folder of images for --dataset=folder.",
        changes_result=False,
    )
    image_size: int = setting(32, "Side of a view, in pixels.", low=8)
    cache_mb: int = setting(
        4096,
        "Hold the encoded images in memory if they need at most this many MiB; else stream them "
        "from disk through a shuffle buffer.",
        low=0,
    )
    shuffle_buffer: int = setting(
        16384, "Images in the shuffle buffer when the data set is streamed.", low=1
    )
    data_service: Optional[str] = setting(
        None,
        "Dispatcher of a tf.data service whose workers read, decode and augment the images: "
        "grpc://HOST:PORT, as `python -m tools.data_service` prints it. Results are the same.",
        changes_result=False,
    )
    service_buffer_mb: int = setting(
        4096,
        "Memory for batches that came from --data_service and wait for their turn, in MiB.",
        low=1,
        changes_result=False,
    )

    def __post_init__(self):
        super().__post_init__()
        if self.data_service is not None and not _SERVICE_ADDRESS.fullmatch(self.data_service):
            raise ValueError(
                f"--data_service={self.data_service}: expected grpc://HOST:PORT, for example "
                "grpc://localhost:5050."
            )


@dataclasses.dataclass(frozen=True)
class AugmentConfig(_Checked):
    """The family of random views (supplement, Table 1). Strengths have torchvision's meaning."""

    crop_area_min: float = setting(
        0.08, "Smallest crop, as a fraction of the image's area (SimCLR).", above=0, high=1
    )
    crop_area_max: float = setting(
        1.0, "Largest crop, as a fraction of the image's area (SimCLR).", above=0, high=1
    )
    crop_ratio_max: float = setting(
        4 / 3, "Crop aspect ratios are log-uniform between 1/this and this (SimCLR).", low=1
    )
    flip_probability: float = setting(
        0.5, "Probability of a horizontal flip (Table 1).", low=0, high=1
    )
    jitter_probability: float = setting(
        0.8, "Probability of colour jitter (Table 1).", low=0, high=1
    )
    brightness: float = setting(
        0.4, "Jitter multiplies brightness by 1 ± this (Table 1).", low=0, high=1
    )
    contrast: float = setting(
        0.4, "Jitter multiplies contrast by 1 ± this (Table 1).", low=0, high=1
    )
    saturation: float = setting(
        0.2, "Jitter multiplies saturation by 1 ± this (Table 1).", low=0, high=1
    )
    hue: float = setting(
        0.1, "Jitter turns the hue by ± this, in turns of the circle (Table 1).", low=0, high=0.5
    )
    grey_probability: float = setting(
        0.2, "Probability of dropping colour to grey (Table 1).", low=0, high=1
    )
    blur_probability: Optional[float] = setting(
        None,
        "Probability of Gaussian blur. Default: 1.0 (Table 1), and 0 for views of 32 px or less, "
        "as is usual on CIFAR.",
        low=0,
        high=1,
    )
    blur_sigma_min: float = setting(
        0.1, "Smallest standard deviation of the blur, in pixels (SimCLR).", above=0
    )
    blur_sigma_max: float = setting(
        2.0, "Largest standard deviation of the blur, in pixels (SimCLR).", above=0
    )
    solarize_probability: float = setting(
        0.2, "Probability of solarisation (Table 1).", low=0, high=1
    )
    solarize_threshold: float = setting(
        0.5, "Solarisation inverts values above this fraction of white (BYOL).", low=0, high=1
    )
    augment_on: str = setting(
        "host",
        "Where views are made: 'host' makes them in the input pipeline; 'device' inside the step, "
        "which frees CPU cores beside a GPU. Images of different sizes are still cropped on the "
        "host. Views are the same up to rounding.",
        choices=("host", "device"),
    )

    def __post_init__(self):
        super().__post_init__()
        for low, high in (
            ("crop_area_min", "crop_area_max"),
            ("blur_sigma_min", "blur_sigma_max"),
        ):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(
                    f"--{low}={getattr(self, low)}: expected at most "
                    f"--{high}={getattr(self, high)}."
                )


@dataclasses.dataclass(frozen=True)
class NetworkConfig(_Checked):
    """Encoder and heads."""

    encoder: str = setting("resnet18", "Encoder network.", choices=("resnet18", "resnet50"))
    encoder_width: int = setting(
        64, "Channels of the encoder's first stage; 64 is the standard ResNet.", low=1
    )
    stem: str = setting(
        "imagenet",
        "First layers: 'imagenet' is 7×7 stride 2 and a max-pool; 'cifar' is 3×3 stride 1 without "
        "max-pool, for images of about 32 px.",
        choices=("imagenet", "cifar"),
    )
    norm: str = setting(
        "batch",
        "Norm layer of encoder and heads: batch (over all replicas), layer, or group_ws (group "
        "norm with weight-standardised kernels).",
        choices=("batch", "layer", "group_ws"),
    )
    hidden_size: Optional[int] = setting(
        None,
        "Units H of the hidden layer of projector and predictor. Default: 512 for resnet18, 2048 "
        "for resnet50 (supplement 1.2; BYOL itself used 4096).",
        low=1,
    )
    projection_size: Optional[int] = setting(
        None,
        "Size D of projections and predictions. Default: 128 for resnet18, 256 for resnet50 "
        "(supplement 1.2).",
        low=2,
    )

    def heads(self) -> tuple[int, int]:
        """Returns (H, D) with the encoder's defaults filled in."""
        hidden, projection = {"resnet18": (512, 128), "resnet50": (2048, 256)}[self.encoder]
        return self.hidden_size or hidden, self.projection_size or projection


@dataclasses.dataclass(frozen=True)
class ObjectiveConfig(_Checked):
    """What is minimised: L = L_c + λ_s L_s + λ_b L_b, or a comparison objective."""

    method: str = setting(
        "msbreg",
        "Objective. msbreg: centroid + λ_s singular value + λ_b Brownian. byol: K = 2, no other "
        "term. byol_uniform: byol + λ_u uniformity (Wang & Isola). batch_repetition: each view "
        "chases the next view only (Hoffer et al.), no other term.",
        choices=("msbreg", "byol", "byol_uniform", "batch_repetition"),
    )
    num_views: int = setting(4, "Augmented views K of each image in a step (Table 5).", low=2)
    centroid: str = setting(
        "others",
        "Target of view k: the mean of the other K − 1 target embeddings, or of all K. 'others' "
        "makes K = 2 exactly BYOL (METHOD.md).",
        choices=("others", "all"),
    )
    lambda_s: float = setting(
        0.004, "Weight of the singular value loss (best of Table 5 at K = 4).", low=0
    )
    lambda_b: float = setting(
        0.5, "Weight of the Brownian diffusive loss (best of Table 5 at K = 4).", low=0
    )
    lambda_u: float = setting(
        1.0, "Weight of the uniformity loss, for --method=byol_uniform only (our choice).", low=0
    )
    singular_value_form: str = setting(
        "values",
        "Distance of the singular values from equal ones: Σ(√D σ − 1)² (values) or Σ(D σ² − 1)² "
        "(squares, the cheaper). Our reading: the supplement prints no equation.",
        choices=("values", "squares"),
    )
    regularize: str = setting(
        "predictor",
        "Output on which the singular value, Brownian and uniformity losses act. Our reading: the "
        "supplement does not say.",
        choices=("predictor", "projector"),
    )
    tau_base: float = setting(
        0.99, "Target decay τ at step 0; it rises to 1 by cosine (BYOL).", low=0, high=1
    )

    def __post_init__(self):
        super().__post_init__()
        if self.method in ("byol", "byol_uniform") and self.num_views != 2:
            raise ValueError(
                f"--num_views={self.num_views}: --method={self.method} compares two views. "
                "Add --num_views=2, or use --method=msbreg."
            )


@dataclasses.dataclass(frozen=True)
class OptimizerConfig(_Checked):
    """LARS on momentum SGD, warm-up and cosine (supplement 1.1)."""

    base_lr: float = setting(
        0.5,
        "Learning rate per 256 images and view: max_lr = base_lr × batch_size/256 × num_views "
        "(supplement 1.1).",
        above=0,
    )
    batch_size: int = setting(512, "Images N in a step, over all replicas (supplement 1.1).", low=1)
    accumulate_steps: int = setting(
        1,
        "Micro-batches M that the N images of a step pass the networks in, one after the other, to "
        "need the memory of N/M; the learning rate stays that of N. Batch norm, the singular value "
        "and the uniformity loss then see N/M images at a time (METHOD.md).",
        low=1,
    )
    epochs: int = setting(320, "Passes over the images (supplement 1.1).", low=1)
    warmup_epochs: float = setting(
        10.0, "Epochs of linear warm-up from 0 (supplement 1.1); fractions are allowed.", low=0
    )
    momentum: float = setting(0.9, "Momentum of SGD (METHOD.md).", low=0, high=1)
    weight_decay: float = setting(
        1e-5, "Weight decay β of kernels; biases and norm layers have none (supplement 1.1).", low=0
    )
    trust_coefficient: float = setting(0.001, "Trust coefficient η of LARS (You et al.).", above=0)

    def __post_init__(self):
        super().__post_init__()
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"--warmup_epochs={self.warmup_epochs:g}: expected less than "
                f"--epochs={self.epochs}. Lower it, for example to {self.epochs / 10:g}."
            )


@dataclasses.dataclass(frozen=True)
class RunConfig(_Checked):
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
    mixed_precision: bool = setting(
        False,
        "Compute in 16 bits, losses and weights in 32: float16 with loss scaling on GPUs, bfloat16 "
        "on CPUs.",
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
    checkpoint_every: int = setting(500, "Steps between checkpoints.", low=1, changes_result=False)
    keep_checkpoints: int = setting(
        3,
        "Newest checkpoints to keep; at least 2, so that a damaged one can fall back.",
        low=2,
        changes_result=False,
    )
    log_every: int = setting(
        10, "Steps between lines of metrics.jsonl and TensorBoard points.", low=1
    )
    knn_every: int = setting(
        0,
        "Epochs between k-NN evaluations of the encoder during training; 0 is never. Needs labels.",
        low=0,
    )
    knn_train_split: str = setting("train", "Labelled split that k-NN looks its neighbours up in.")
    knn_images: int = setting(
        10000,
        "Images of each labelled split that k-NN uses, at most, held in memory.",
        low=1,
    )
    knn_test_split: str = setting("test", "Labelled split that k-NN classifies.")


@dataclasses.dataclass(frozen=True)
class Config:
    """One run."""

    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    network: NetworkConfig = NetworkConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    run: RunConfig = RunConfig()

    def __post_init__(self):
        if self.augment.blur_sigma_max > self.data.image_size:
            raise ValueError(
                f"--blur_sigma_max={self.augment.blur_sigma_max:g}: expected at most "
                f"--image_size={self.data.image_size}."
            )

    def settings(self) -> dict[str, Any]:
        """All settings as one flat {flag name: value}."""
        return {
            field.name: getattr(part, field.name)
            for part in self._parts()
            for field in dataclasses.fields(part)
        }

    def result_settings(self) -> dict[str, Any]:
        """The settings that decide the result of a run; a resumed run must repeat them."""
        return {
            field.name: getattr(part, field.name)
            for part in self._parts()
            for field in dataclasses.fields(part)
            if field.metadata["changes_result"]
        }

    @property
    def max_lr(self) -> float:
        """base_lr × N/256 × K (supplement 1.1)."""
        scale = self.optimizer.batch_size / 256 * self.objective.num_views
        return self.optimizer.base_lr * scale

    def _parts(self):
        return [getattr(self, part.name) for part in dataclasses.fields(self)]


def config_from_settings(settings: dict[str, Any]) -> Config:
    """Builds a `Config` from a flat {flag name: value}; missing names keep their defaults.

    Raises:
      ValueError: an unknown name, or a value that breaks a rule; the message names the flag.
    """
    parts, known = {}, set()
    for part in dataclasses.fields(Config):
        names = [field.name for field in dataclasses.fields(part.type)]
        known.update(names)
        parts[part.name] = part.type(**{n: settings[n] for n in names if n in settings})
    if unknown := sorted(set(settings) - known):
        raise ValueError(f"unknown settings: {', '.join(unknown)}.")
    return Config(**parts)
