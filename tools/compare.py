r"""Puts the results of several runs side by side, with what the paper reports beside them.

    python -m tools.compare --runs=runs/byol,runs/msbreg
    python -m tools.compare --runs='runs/*' --metric='top-1 %' --where=name=knn,k=20
    python -m tools.compare --runs='runs/methods/*' --over_seeds

A run is a row; metric and protocol make a column. Values that were measured by different protocols
are in different columns: what is different is in the heading, or below the table.
"""

from msbreg_tf.commands import cli, compare

if __name__ == "__main__":
    cli.run(compare.COMMAND, __doc__)
