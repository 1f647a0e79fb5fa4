"""The race's own settings. Nothing here imports TensorFlow."""

import dataclasses
from typing import Optional

from benchmarks.race.contenders import OURS, PEERS, SEARCHED, UNTRAINED
from msbreg_tf.settings import Settings, setting

REFERENCE = "simclr"  # whose time everyone gets


@dataclasses.dataclass(frozen=True)
class RaceSettings(Settings):
    """The race. All other settings are those of training, and hold for our run."""

    only: tuple[str, ...] = setting(
        (UNTRAINED, OURS, *PEERS),
        "Who takes part. What others left in --workdir is shown as well.",
        choices=(UNTRAINED, OURS, *PEERS),
    )
    name: str = setting(
        OURS,
        "What our run is called. Runs of ours with other flags, each with a name of its own, stand "
        "in the same table.",
    )
    seeds: tuple[int, ...] = setting((0, 1, 2), "Seeds of the final runs.", low=0)
    budget: float = setting(
        960.0,
        "Compute of a run: how often an image passes a network forward, backward counting as two. "
        "960 is some minutes of one core, 12 epochs of MSBReg with K = 4 on the shipped sample.",
        unit="thousand passes",
        above=0,
    )
    budget_scale: float = setting(
        1.0, "Multiplies every budget, to try the race: 0.1 is a tenth.", above=0
    )
    lengths: tuple[float, ...] = setting(
        (0.25, 0.5),
        "Shorter runs of the first seed, as parts of the budget, for the picture. Each is a whole "
        "run with a schedule of its own.",
        above=0,
        below=1,
    )
    search: bool = setting(
        True,
        f"Try the {SEARCHED} settings of each contender first, on held-out training images. "
        "Without it, what an earlier search chose counts, or else what is usual.",
    )
    search_scale: float = setting(
        0.5, "Compute of a run of the search, as a part of the budget.", above=0
    )
    grid: Optional[str] = setting(
        None,
        "What the search tries for our run: settings of training and their values, at most "
        f"{SEARCHED} combinations, such as base_lr=1,2,4;num_views=4,8. Empty for none: the flags "
        "are then taken as they are. Default: half, once and twice its base_lr by half and once "
        "its lambda_s.",
    )
    seconds: Optional[float] = setting(
        None,
        "Seconds that everyone gets at equal time, augmentation included. Default: what SimCLR "
        "took for the budget, in this folder.",
        above=0,
    )
    peer_view_size: Optional[int] = setting(
        None,
        "Side of the peers' views. Default: that of the images, whatever --view_size says of ours.",
        unit="pixels",
        low=8,
    )
    threads: int = setting(1, "Threads that each process may use.", low=1)
