# make quickstart   own environment, train on real images, export, evaluate (4 to 8 minutes, 2 cores)
# make test         own environments: all tests, a part of them on the other stack, and the site
#                   STACK=classic or current chooses the stack (scripts/make_venv.sh); auto by the Python it finds
# make test-browser the report in headless Chromium; make test says so where there is none
# make docs         the documentation as a site, into site/; a dead link fails
# make test-convert the tests of conversions to ONNX and OpenVINO, in .venv-convert
# make gpu          .venv-gpu, with TensorFlow's CUDA packages (docs/gpu.md); not yet tried on a GPU
# make detect       .venv-detect, with PyTorch, for tools.detect (docs/detection.md)
# make test-detect  the tests of detection that need PyTorch (a few minutes)
# make bench        measurements beside other libraries, into benchmarks/RESULTS.md
# make lint         ruff, as .ci/run has it

STACK ?= auto
PYTHON := .venv/bin/python
RUFF := .venv/bin/ruff
PYTEST := -m pytest -n auto --maxprocesses 4 --dist worksteal
# What differs between stacks if anything does: losses, model, augmentation, resume, export, whole runs.
ON_BOTH_STACKS := tests/method tests/networks tests/augment tests/files tests/data/images tests/data/pipeline \
	tests/evaluation/test_exporting.py tests/run/test_train.py tests/test_stacks.py \
	tests/test_docs.py::test_the_python_for_keras_3_runs tests/test_docs.py::test_fine_tuning_in_keras_as_the_page_says

.PHONY: quickstart test test-current test-browser test-convert docs gpu detect test-detect bench lint format lock clean

quickstart: .venv/ready
	$(PYTHON) -m tools.quickstart --flagfile=flags/quickstart.cfg --workdir=runs/quickstart

test: .venv/ready
	$(PYTHON) $(PYTEST)
	$(MAKE) test-current
	$(MAKE) docs
	@command -v chromedriver >/dev/null || echo "Not tested: the report in a browser. It needs a browser:" \
		"'apt-get install chromium chromium-driver', then 'make test-browser'."

# The report in headless Chromium (half a minute); part of make test where there is one.
test-browser: .venv/ready
	@command -v chromedriver >/dev/null || { echo "error: no chromedriver: apt-get install chromium chromium-driver"; exit 1; }
	$(PYTHON) -m pytest tests/report/test_browser.py

test-current: .venv-current/ready
	.venv-current/bin/python $(PYTEST) $(ON_BOTH_STACKS)

test-convert: .venv-convert/ready
	.venv-convert/bin/python -m pytest tests/evaluation/conversion

docs: .venv-docs/ready
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/python -m mkdocs build --strict --clean
	@echo "The documentation is in site/index.html."

gpu: .venv-gpu/ready
	.venv-gpu/bin/python -m tools.doctor --steps=0

detect: .venv-detect/ready
	@echo ".venv-detect is ready: python -m tools.detect starts its engine there."

# Without tests/conftest.py, which needs TensorFlow.
test-detect: .venv-detect/ready
	.venv-detect/bin/python -m pytest --noconftest tests/detection tests/evaluation/detection

bench: .venv/ready .venv-bench/ready
	$(PYTHON) -m benchmarks.bench --output=benchmarks/RESULTS.md

lint: .venv/ready
	$(RUFF) check .
	$(RUFF) format --check .

format: .venv/ready
	$(RUFF) check --fix .
	$(RUFF) format .

.venv/ready: requirements.txt requirements-current.txt scripts/make_venv.sh
	sh scripts/make_venv.sh .venv $(STACK)

.venv-current/ready: requirements-current.txt scripts/make_venv.sh
	sh scripts/make_venv.sh .venv-current current

.venv-docs/ready: docs/requirements.txt scripts/make_venv.sh
	sh scripts/make_venv.sh .venv-docs docs

.venv-detect/ready: detection/requirements.txt scripts/make_venv.sh
	sh scripts/make_venv.sh .venv-detect detect

# The version of TensorFlow is that of the environment; only what its extra names comes on top.
.venv-gpu/ready: requirements.txt requirements-current.txt scripts/make_venv.sh
	sh scripts/make_venv.sh .venv-gpu $(STACK)
	rm .venv-gpu/ready
	version=$$(.venv-gpu/bin/python -c "import importlib.metadata as m; print(m.version('tensorflow'))"); \
	.venv-gpu/bin/python -m pip install --quiet --disable-pip-version-check "tensorflow[and-cuda]==$$version"
	touch .venv-gpu/ready

# The classic stack, and what the extras onnx and openvino of pyproject.toml bring.
.venv-convert/ready: requirements.txt pyproject.toml scripts/make_venv.sh
	sh scripts/make_venv.sh .venv-convert classic
	rm .venv-convert/ready
	.venv-convert/bin/python -m pip install --quiet --disable-pip-version-check \
		tf2onnx "onnx<1.19" onnxruntime openvino
	touch .venv-convert/ready

.venv-bench/ready: benchmarks/requirements.txt scripts/make_bench_venv.sh .venv/ready
	sh scripts/make_bench_venv.sh

# Needs uv (https://docs.astral.sh/uv).
lock:
	uv pip compile --universal --python-version 3.9 --no-header --no-annotate requirements.in -o requirements.txt
	uv pip compile --universal --python-version 3.10 --no-header --no-annotate requirements-current.in -o requirements-current.txt
	uv pip compile --universal --python-version 3.9 --no-header --no-annotate docs/requirements.in -o docs/requirements.txt

clean:
	rm -rf .venv .venv-current .venv-convert .venv-docs .venv-gpu .venv-detect .venv-uv site .pytest_cache .ruff_cache
