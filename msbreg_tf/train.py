"""Pretrain an image encoder with MSBReg, and export it.

    python -m msbreg_tf.train --flagfile=flags/quickstart.cfg --workdir=runs/quickstart

Prints a plan, trains, and writes checkpoints, metrics.jsonl, TensorBoard logs and export/<step>/
into --workdir. Start the same command again after an interruption: it continues exactly.
"""

from msbreg_tf.commands import cli, train

if __name__ == "__main__":
    train.leave_workers_at_exit(lambda: cli.run(train.COMMAND, __doc__))
