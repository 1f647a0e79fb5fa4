r"""Checks whether this machine can train, how fast, and what is amiss.

    python -m tools.doctor
    python -m tools.doctor --flagfile=flags/stl10.cfg --workdir=runs/stl10
    python -m tools.doctor --steps=0

One line for each check: what was found and, if something is amiss, what to do. Then a few real
steps of the recipe that the flags name, with its views made by the host and by the device: images
per second, memory, the largest batch that fits, and how long the whole recipe would take. Settings
are those of training; without any, the recipe is the quickstart's. Ends with exit code 1 if
training can't run.
"""

from msbreg_tf.commands import cli, doctor

if __name__ == "__main__":
    cli.run(doctor.COMMAND, __doc__)
