"""Pretrain an image encoder with MSBReg, and export it.

    python -m msbreg_tf.train --flagfile=flags/quickstart.cfg --workdir=runs/quickstart

Prints a plan, trains, and writes checkpoints, metrics.jsonl, TensorBoard logs and export/<step>/
into --workdir. Start the same command again after an interruption: it continues exactly.
"""

import os
import sys

from msbreg_tf.commands import cli
from msbreg_tf.commands.paths import check_images, check_start
from msbreg_tf.distributed.cluster import read_cluster
from msbreg_tf.files.workdir import checked_path
from msbreg_tf.run.config import PARTS, Config
from msbreg_tf.settings import Settings


def _run(*parts: Settings) -> None:
    config = Config(*parts)
    if len(read_cluster(config.run.strategy, os.environ).addresses) == 1:
        # One of several workers would leave the others waiting for it; it says so after they met.
        checked_path(config.run.workdir)
        check_images(config.data.dataset, config.data.data_dir)
        if config.run.init_from:
            check_start(config.run.init_from, "init_from")

    from msbreg_tf.run.pretraining import train

    train(config)


COMMAND = cli.Command(PARTS, _run)


if __name__ == "__main__":
    try:
        cli.run(COMMAND, __doc__)
    except SystemExit as end:
        if "msbreg_tf.distributed.workers" in sys.modules:  # not if the flags were wrong
            sys.modules["msbreg_tf.distributed.workers"].leave_at_once(end)
        raise
