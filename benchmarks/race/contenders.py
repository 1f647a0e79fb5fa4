"""Who takes part: what a step of each costs, and which settings are tried for it.

Compute is counted in *passes*: one image through one network forward is one pass, and backward is
two more. K views of an image through the online network are 3·K passes, through a target network,
which has no backward, K. So an image costs MSBReg with K = 4 and its target 3·4 + 4 = 16 passes in
an epoch, BYOL 3·2 + 2 = 8, SimCLR 3·2 = 6. Heads are not counted, but they take time, which is
measured.

Settings are lightly's own for small images (its CIFAR-10 benchmark) or, where that benchmark
lacks a method, for ImageNet (`benchmarks/imagenet/resnet50`), brought to a batch of 256, features
of size 128 and a run of minutes. For each peer a grid of learning rates and of one setting of its
own is tried, `SEARCHED` points for everyone. Nothing here imports TensorFlow or PyTorch.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

BATCH = 256  # images in a step of every peer
SEARCHED = 6  # points of every contender's grid
OURS, UNTRAINED = "ours", "untrained"


@dataclasses.dataclass(frozen=True)
class Peer:
    """A row of `PEERS`.

    Attributes:
      title: as a table shows it.
      module: of `benchmarks/race/peers/`, with the method itself.
      num_views: K, all of the same distribution.
      target_views: of these, how many a target network sees.
      optimizer: 'lars', 'sgd' or 'adamw'; the first two with momentum 0.9.
      weight_decay: of kernels; biases and norm layers have none.
      rates: learning rates that are tried at a batch of 256.
      own: name of the method's own setting that is tried.
      values: of it.
      fixed: {setting: value} of the method that are not.
      usual: rate and value that count without a search: where RESULTS.md has one on the sample,
        what that chose.
    """

    title: str
    module: str
    num_views: int
    target_views: int
    optimizer: str
    weight_decay: float
    rates: Sequence[float]
    own: str
    values: Sequence[Any]
    usual: tuple[float, Any]
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def passes(self) -> int:
        """Of one image in one epoch."""
        return passes_per_image(self.num_views, self.target_views)

    def points(self) -> list[dict[str, Any]]:
        """The grid: {"rate": …, own setting: …} of every point."""
        pairs = itertools.product(self.rates, self.values)
        return [{"rate": rate, self.own: value} for rate, value in pairs]

    def usual_point(self) -> dict[str, Any]:
        """The point that counts without a search."""
        return {"rate": self.usual[0], self.own: self.usual[1]}


PEERS = {
    "simclr": Peer(
        *("SimCLR", "simclr", 2, 0, "lars", 1e-6),
        rates=(2.0, 4.0, 8.0),
        own="temperature",
        values=(0.2, 0.5),  # that of most papers on CIFAR-10; lightly's default
        usual=(4.0, 0.2),
        fixed={"hidden": 512, "size": 128},
    ),
    "vicreg": Peer(
        *("VICReg", "vicreg", 2, 0, "lars", 1e-6),
        rates=(2.0, 4.0, 8.0),
        own="size",
        values=(512, 1024),  # of hidden layer and output; lightly's is 8192 for features of 2048
        usual=(2.0, 1024),
    ),
    "byol": Peer(
        *("BYOL", "byol", 2, 2, "sgd", 5e-4),
        rates=(0.2, 0.4, 0.8),
        own="tau",
        values=(0.9, 0.99),  # a short run's; lightly's
        usual=(0.4, 0.99),
        fixed={"hidden": 512, "size": 128},
    ),
    "barlow": Peer(
        *("Barlow Twins", "barlow", 2, 0, "lars", 1.5e-6),
        rates=(2.0, 4.0, 8.0),
        own="redundancy",
        values=(0.005, 0.02),  # the paper's, for 8192 dimensions; more for fewer
        usual=(4.0, 0.005),
        fixed={"hidden": 1024, "size": 1024},
    ),
    "fastsiam": Peer(
        *("FastSiam, K = 4", "fastsiam", 4, 0, "sgd", 5e-4),
        rates=(0.12, 0.25, 0.5),  # 0.12 is lightly's for a batch of 256
        own="size",
        values=(512, 1024),  # of the heads; lightly's is 2048 for features of 512
        usual=(0.5, 512),
    ),
    "wmse": Peer(
        *("W-MSE, K = 4", "wmse", 4, 0, "adamw", 1e-6),
        rates=(0.001, 0.002, 0.004),
        own="whitened",
        values=(128, 256),  # images that are whitened together: the paper's on CIFAR-10; all
        usual=(0.002, 256),
        fixed={"hidden": 1024, "size": 64},
    ),
}


def passes_per_image(num_views: int, target_views: int) -> int:
    """Passes that an image costs in an epoch: forward and backward are 3, a target's forward 1."""
    return 3 * num_views + target_views


def steps_for(passes: float, batch: int, per_image: int) -> int:
    """The steps that come closest to a budget of passes; at least one."""
    return max(1, round(passes / (batch * per_image)))


def point_name(point: Mapping[str, Any]) -> str:
    """'rate=4,temperature=0.2', for folders and tables."""
    texts = (f"{v:g}" if isinstance(v, float) else str(v) for v in point.values())
    return ",".join(f"{name}={text}" for name, text in zip(point, texts))
