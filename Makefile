# make quickstart   own environment, train on real images, export, evaluate (5 to 8 minutes, 2 cores)
# make test         own environment, all tests (about 14 minutes, 2 cores)
# make bench        measurements beside other libraries, into benchmarks/RESULTS.md
# make lint         ruff, as .ci/run has it

PYTHON := .venv/bin/python
RUFF := .venv/bin/ruff

.PHONY: quickstart test bench lint format lock clean

quickstart: .venv/ready
	$(PYTHON) -m tools.quickstart --flagfile=flags/quickstart.cfg --workdir=runs/quickstart

test: .venv/ready
	$(PYTHON) -m pytest -n auto --maxprocesses 4 --dist worksteal

bench: .venv/ready .venv-bench/ready
	$(PYTHON) -m benchmarks.bench --output=benchmarks/RESULTS.md

lint: .venv/ready
	$(RUFF) check .
	$(RUFF) format --check .

format: .venv/ready
	$(RUFF) check --fix .
	$(RUFF) format .

.venv/ready: requirements.txt scripts/make_venv.sh
	sh scripts/make_venv.sh

.venv-bench/ready: benchmarks/requirements.txt scripts/make_bench_venv.sh .venv/ready
	sh scripts/make_bench_venv.sh

# Needs uv (https://docs.astral.sh/uv).
lock:
	uv pip compile --universal --python-version 3.9 --no-header --no-annotate requirements.in -o requirements.txt

clean:
	rm -rf .venv .pytest_cache .ruff_cache
