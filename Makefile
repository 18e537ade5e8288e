# Two commands for a newcomer: `make demo` and `make test`. Every target bootstraps .venv from a bare Python >= 3.11.
PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-slow lint benchmarks notebooks clean

demo: $(VENV)/.installed-datasets
	$(BIN)/photonic-acdc demo

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest

test-slow: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

# aeon's dependencies would downgrade ours, and only the data files in it are read.
benchmarks: $(VENV)/.installed-benchmarks
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'aeon>=1.0'
	$(BIN)/python -m benchmarks --output runs/benchmarks

notebooks: $(VENV)/.installed-test
	$(BIN)/python notebooks/build.py

clean:
	rm -rf $(VENV)

# One stamp an extra: a target installs what it needs and nothing more, and is instant when that stands.
$(VENV)/.installed-%: pyproject.toml $(CONSTRAINTS)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e '.[$*]'
	@touch $@
