#!/bin/sh
# Makes .venv-bench, the environment of the libraries that `make bench` compares with.
set -eu

echo "Making .venv-bench and installing benchmarks/requirements.txt (some GB; PyTorch is among them)."
.venv/bin/python -m venv --clear .venv-bench
.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
touch .venv-bench/ready
