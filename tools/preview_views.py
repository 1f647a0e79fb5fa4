r"""Draws the views that training makes of its first images, to look at before training.

    python -m tools.preview_views --flagfile=flags/cifar10.cfg --output=views.png --images=8

One row per image: the image itself, resized, then its K views of step 0.
"""

from msbreg_tf.commands import cli, preview_views

if __name__ == "__main__":
    cli.run(preview_views.COMMAND, __doc__)
