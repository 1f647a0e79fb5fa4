"""What pyproject.toml can't say: every package by its folder, and three that lie beside it."""

from setuptools import find_packages, setup

_BESIDE = ("tools", "recipes", "detection")

setup(packages=[*find_packages(include=["msbreg_tf*"]), *(f"msbreg_tf.{n}" for n in _BESIDE)])
