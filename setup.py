"""What pyproject.toml can't say: every package by its folder, and two that lie beside it."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["msbreg_tf*"]), "msbreg_tf.tools", "msbreg_tf.recipes"])
