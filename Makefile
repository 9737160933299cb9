# Needs python3.11, pip and make; everything else is set up in .venv at the first call and again when
# pyproject.toml, constraints.txt or the compiled core change. On Linux the default torch wheel brings CUDA; for the small CPU wheel:
#   PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make test

PYTHON ?= python3.11
PYTEST_ARGS ?=
BENCH_ARGS ?=
FUZZ_SECONDS ?= 3600

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt
READY := $(VENV)/.ready
READY_BENCH := $(VENV)/.ready-bench
READY_DOCS := $(VENV)/.ready-docs
CORE := src/manynets/core/core.cpp hatch_build.py

.DEFAULT_GOAL := help
.PHONY: help demo test mutations test-all coverage lint format docs bench gpu-check fuzz release-check clean

help:  ## show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 20

$(READY): pyproject.toml constraints.txt $(CORE)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) pip
	$(PIP) --group dev
	$(PIP) --no-build-isolation --editable ".[all]"
	@touch $@

$(READY_BENCH): $(READY)
	$(PIP) --group bench
	@touch $@

$(READY_DOCS): $(READY)
	$(PIP) --group docs --group browser
	@touch $@

demo: $(READY)  ## train a network on the digits that come with scikit-learn, and look at it
	$(BIN)/manynets train digits --seed 0 --out runs/demo --overwrite
	$(BIN)/manynets show runs/demo
	$(BIN)/manynets predict runs/demo digits -o runs/demo-predictions.csv --overwrite
	@echo
	@echo "MNIST next: set MANYNETS_DATA to a folder that holds mnist/, or let this command download it:"
	@echo "  $(BIN)/manynets train mnist --seed 0 --out runs/mnist"

test: $(READY)  ## the tests, without the slow ones and those for a GPU
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow and not gpu" $(PYTEST_ARGS)

mutations: $(READY)  ## plant faults one by one, and see that the tests notice (a quarter of an hour; WORDS="optim tables" for some)
	$(BIN)/python -m tools.mutations $(WORDS)

test-all: $(READY)  ## all tests; those for a GPU skip themselves where there is none
	$(BIN)/python -m pytest $(PYTEST_ARGS)

coverage: $(READY)  ## the tests of `make test` with coverage: a list of what they miss, and htmlcov/index.html
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow and not gpu" --cov --cov-report=term --cov-report=html $(PYTEST_ARGS)

lint: $(READY)  ## style, format, types, direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)  ## rewrite the code in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY_DOCS)  ## build the site into site/: draw its pictures, check spelling and links, run its code, look at it in Chromium
	$(BIN)/python docs/make_options.py
	$(BIN)/python docs/make_studies.py
	$(BIN)/python docs/make_architecture.py
	$(BIN)/python docs/make_gallery.py
	$(BIN)/codespell README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md docs src examples
	$(BIN)/sphinx-build -W --keep-going --fresh-env --builder html docs site
	OMP_NUM_THREADS=1 MANYNETS_SITE=site $(BIN)/python -m pytest -q tests/test_readme.py tests/test_docs.py
	@echo "The site is in site/index.html"

bench: $(READY_BENCH)  ## compare with other libraries (installs them)
	$(BIN)/python -m bench $(BENCH_ARGS)

gpu-check: $(READY)  ## the tests for a GPU and a benchmark on it, in four minutes; writes docs/benchmarks-gpu.md
	$(BIN)/python -m bench.gpu_check

fuzz: $(READY)  ## random command lines, run folders, CSV and Parquet files, for an hour; a minute with FUZZ_SECONDS=60
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.reliability.fuzz_commands --seconds $(FUZZ_SECONDS)

release-check: $(READY)  ## build sdist and wheel, install the wheel into empty environments, run the README there
	$(BIN)/python -m tools.release_check

clean:  ## remove the environment, builds and caches; runs/ stays
	rm -f src/manynets/core/libcore.*
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
