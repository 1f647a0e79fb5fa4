r"""Trains and evaluates a grid of runs, and puts the results into one table.

    python -m tools.sweep --flagfile=flags/tables/table5.cfg --workdir=runs/table5
    python -m tools.sweep --flagfile=flags/quickstart.cfg --workdir=runs/grid \
        --grid="lambda_s=0,0.004;num_views=2,4" --seeds=0,1,2 --jobs=2
    python -m tools.sweep --status --workdir=runs/grid

Every point is an ordinary run in a folder of its own. Start the same command again after an
interruption: what is done is not done again, and what was begun continues. Points that fail are
named with their logs; the others go on. A larger grid adds its points. Several commands on one
folder share the work. At the end stand table.txt, table.csv, table.md and table.png in --workdir:
mean and standard deviation over the seeds, and with --paper_table the paper's values beside them.
"""

from msbreg_tf.commands import cli, sweep

if __name__ == "__main__":
    cli.run(sweep.COMMAND, __doc__)
