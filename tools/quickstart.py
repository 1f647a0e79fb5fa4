"""Train on the shipped images, export, and compare three encoders of the held-out images.

    python -m tools.quickstart --flagfile=flags/quickstart.cfg --workdir=runs/quickstart

Prints the accuracy of 20 nearest neighbours for raw pixels, for the untrained and for the trained
encoder, and of a linear classifier for the two encoders.
"""

from msbreg_tf.commands import cli, quickstart

if __name__ == "__main__":
    cli.run(quickstart.COMMAND, __doc__)
