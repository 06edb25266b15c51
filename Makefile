# make demo | test | smoke | test-all | lint | bench | clean.  Each sets up .venv with what it needs, once.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=
BENCH_ARGS ?=

.PHONY: demo test smoke test-all lint bench clean

demo: $(VENV)/.demo
	$(BIN)/python docs/demo.py

test: $(VENV)/.test
	$(BIN)/python -m pytest -n auto -m "not slow" $(PYTEST_ARGS)

smoke: $(VENV)/.test
	$(BIN)/python -m pytest -m smoke $(PYTEST_ARGS)

test-all: $(VENV)/.test
	$(BIN)/python -m pytest -n auto $(PYTEST_ARGS)

# mypy sees the package as it is installed: compiler/ and runtime/ inside graphflow/
lint: $(VENV)/.test
	$(BIN)/ruff check .
	rm -rf .typecheck
	$(BIN)/python -m pip install --quiet --no-deps --target .typecheck .
	cd .typecheck && $(abspath $(BIN))/mypy --strict --config-file ../pyproject.toml -p graphflow

# BENCH_ARGS: see `python -m benchmarks --help`; --python PATH adds an interpreter that has further peers
bench: $(VENV)/.test
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

clean:
	rm -rf $(VENV) .typecheck .mypy_cache .ruff_cache .pytest_cache .hypothesis demo-output build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# .venv/.EXTRA: this checkout and the libraries of that extra are installed
$(VENV)/.%: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	touch $@

# a Python without ensurepip makes the environment too, with a pip from outside
$(BIN)/python:
	$(PYTHON) -m venv $(VENV) || { $(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; }
