r"""Measures the shape of an encoder's features: Table 3's alignment and uniformity, and collapse.

    python -m tools.geometry --saved_model=runs/cifar10/export/STEP --dataset=cifar10

Makes two augmented views of each image (Table 1's augmentation, the same draws for every encoder),
embeds them, and looks at the unit features. No labels are needed: --dataset=folder takes any folder
of images given by --data_dir, or the folder --test_split in it.
"""

from msbreg_tf.commands import cli, evaluate

if __name__ == "__main__":
    cli.run(evaluate.command("geometry"), __doc__)
