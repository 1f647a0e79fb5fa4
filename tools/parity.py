r"""Checks on your devices that several replicas train as one does.

    python -m tools.parity
    python -m tools.parity --cpu_devices=4

A few steps on the same global batches of real images, on 1, 2, 4, … of all visible GPUs, or of the
CPU devices that --cpu_devices makes, each in a process of its own. Prints, for every loss term and
for gradients, trust ratios, weights, momenta, target and batch norm's statistics, the largest
deviation from one replica, and ends with exit code 1 if one is more than rounding explains. Other
settings of training may be given too, for example --encoder=resnet50 --norm=layer.
"""

from msbreg_tf.commands import cli, parity

if __name__ == "__main__":
    cli.run(parity.COMMAND, __doc__)
