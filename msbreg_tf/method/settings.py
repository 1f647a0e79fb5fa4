"""What is minimised and how, as settings; the equations are in METHOD.md.

Nothing here imports TensorFlow.
"""

import dataclasses

from msbreg_tf.settings import Settings, setting

METHODS = ("msbreg", "byol", "byol_uniform", "batch_repetition")


@dataclasses.dataclass(frozen=True)
class ObjectiveSettings(Settings):
    """What is minimised: L = L_c + λ_s L_s + λ_b L_b, or a comparison objective."""

    method: str = setting(
        "msbreg",
        "Objective. msbreg: centroid + λ_s singular value + λ_b Brownian. byol: K = 2, no other "
        "term. byol_uniform: byol + λ_u uniformity (Wang & Isola). batch_repetition: each view "
        "chases the next view only (Hoffer et al.), no other term.",
        choices=METHODS,
    )
    num_views: int = setting(
        4, "Augmented views K of each image in a step.", low=2, source="Table 5"
    )
    centroid: str = setting(
        "others",
        "Target of view k: the mean of the other K − 1 target embeddings (others) or of all K "
        "(all), or these over their norm, back on the sphere (unit_others, unit). 'others' and "
        "'unit_others' make K = 2 exactly BYOL (METHOD.md).",
        choices=("others", "all", "unit", "unit_others"),
    )
    lambda_s: float = setting(
        0.004,
        "Weight of the singular value loss.",
        low=0,
        source="best of Table 5 at K = 4",
    )
    lambda_b: float = setting(
        0.5,
        "Weight of the Brownian diffusive loss.",
        low=0,
        source="best of Table 5 at K = 4",
    )
    lambda_u: float = setting(
        1.0,
        "Weight of the uniformity loss, for --method=byol_uniform only.",
        low=0,
        source="our choice",
    )
    singular_value_form: str = setting(
        "values",
        "Distance of the singular values from equal ones: Σ(√D σ − 1)² (values), Σ(D σ² − 1)² "
        "(squares, the cheapest), or what is missing to the largest coding rate, "
        "½ log det(I + D/(N·K·ε²) PᵀP) (log_det). This is our reading, because the supplement "
        "prints no equation.",
        choices=("values", "squares", "log_det"),
    )
    log_det_epsilon2: float = setting(
        0.2,
        "ε² of --singular_value_form=log_det: the smaller, the more the weakest directions count.",
        above=0,
        source="EMP-SSL",
    )
    regularize: str = setting(
        "predictor",
        "Output on which the singular value, Brownian and uniformity losses act. This is our "
        "reading, because the supplement does not say.",
        choices=("predictor", "projector"),
    )
    tau_base: float = setting(
        0.99,
        "Target decay τ at step 0; it rises to 1 by cosine.",
        low=0,
        high=1,
        source="BYOL",
    )

    def __post_init__(self):
        super().__post_init__()
        if self.method in ("byol", "byol_uniform") and self.num_views != 2:
            raise ValueError(
                f"--num_views={self.num_views}: --method={self.method} compares two views. "
                "Add --num_views=2, or use --method=msbreg."
            )


@dataclasses.dataclass(frozen=True)
class OptimizerSettings(Settings):
    """LARS on momentum SGD, warm-up and cosine (supplement 1.1)."""

    base_lr: float = setting(
        0.5,
        "Learning rate per 256 images and view: max_lr = base_lr × batch_size/256 × num_views.",
        above=0,
        source="supplement 1.1",
    )
    batch_size: int = setting(
        512, "Images N in a step, over all replicas.", low=1, source="supplement 1.1"
    )
    accumulate_steps: int = setting(
        1,
        "Micro-batches M that the N images of a step pass the networks in, one after the other, to "
        "need the memory of N/M; the learning rate stays that of N. Batch norm, the singular value "
        "and the uniformity loss then see N/M images at a time (METHOD.md).",
        low=1,
    )
    epochs: int = setting(320, "Passes over the images.", low=1, source="supplement 1.1")
    warmup_epochs: float = setting(
        10.0,
        "Epochs of linear warm-up from 0; fractions are allowed.",
        low=0,
        source="supplement 1.1",
    )
    momentum: float = setting(0.9, "Momentum of SGD.", low=0, below=1, source="METHOD.md")
    momentum_form: str = setting(
        "keras",
        "Where the learning rate stands: inside the velocity, v ← m v − lr g, w ← w + v (keras; "
        "LARS's own algorithm), or outside, v ← m v + g, w ← w − lr v (torch; BYOL's code). They "
        "differ while the rate changes: in a warm-up keras's steps are the smaller ones.",
        choices=("keras", "torch"),
    )
    weight_decay: float = setting(
        1e-5,
        "Weight decay β of kernels; biases and norm layers have none.",
        low=0,
        source="supplement 1.1",
    )
    trust_coefficient: float = setting(
        0.001, "Trust coefficient η of LARS.", above=0, source="You et al."
    )

    def __post_init__(self):
        super().__post_init__()
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"--warmup_epochs={self.warmup_epochs:g}: expected less than "
                f"--epochs={self.epochs}. Lower it, for example to {self.epochs / 10:g}."
            )
