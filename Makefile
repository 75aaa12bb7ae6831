# Everything runs in .venv, which each target makes by itself from $(PYTHON).
# `make demo` and `make test` are all that a fresh machine needs.

PYTHON ?= python3
DEMO ?= runs/demo
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip
INSTALL := $(PIP) install --quiet --disable-pip-version-check --constraint constraints.txt
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)
TORCH_CPU := https://download.pytorch.org/whl/cpu

# One thread for each test process: more of them only get in each other's way. Each gets
# tests that follow one another, which share what is trained for them, until it has none
# left. What takes longest is told, as all of it has its budget.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --maxprocesses 8 \
  --dist worksteal --durations 15

.PHONY: demo test test-slow lint format types docs clean
.DELETE_ON_ERROR:

demo: $(VENV)/installed
	if [ -e $(DEMO)/config.json ]; then $(BIN)/planet train --resume $(DEMO); \
	else $(BIN)/planet train dmc/cartpole-balance --preset cpu --run $(DEMO) \
	  --train.episodes 100; fi
	$(BIN)/planet evaluate $(DEMO) --episodes 10 --video
	$(BIN)/planet predict $(DEMO)

test: $(VENV)/installed-dev
	$(PYTEST) -m "not slow"

test-slow: $(VENV)/installed-dev
	$(PYTEST) -m slow --timeout 1200

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/installed-dev
	$(BIN)/mypy

docs: $(VENV)/installed-dev
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build/html

clean:
	rm -rf $(VENV) docs/_build build dist .pytest_cache .mypy_cache .ruff_cache

# --group needs pip 25.1.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --upgrade pip

# PyPI's torch brings gigabytes of CUDA on Linux. Where no NVIDIA GPU answers, ask for
# the CPU build first, and take PyPI's only if that cannot be had.
$(VENV)/torch: constraints.txt | $(BIN)/python
	if nvidia-smi -L >/dev/null 2>&1; then $(INSTALL) torch; \
	else $(INSTALL) --no-deps --timeout 15 --retries 0 --index-url $(TORCH_CPU) \
	  torch==$(TORCH)+cpu || $(INSTALL) torch; fi
	touch $@

# The second command brings dm_control where its labmaze cannot be installed (see
# pyproject.toml), and does nothing elsewhere.
$(VENV)/installed: pyproject.toml constraints.txt $(VENV)/torch
	$(INSTALL) --editable '.[dmc,video]'
	$(INSTALL) --no-deps dm_control
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(INSTALL) --editable '.[dmc,gym,tensorboard,video]' --group dev
	touch $@
