# Everything runs in .venv, which is made when it is missing and brought up to date when pyproject.toml or
# constraints.txt changes. `make` alone lists the targets.

PYTHON ?= python3
PYTEST_FLAGS ?= -n 2 --dist worksteal

VENV := .venv
BIN := $(VENV)/bin

# Extras are installed as one set each; the stamp says that the set is there.
EXTRAS_demo := tensorflow
EXTRAS_test := tensorflow,jax,parquet,ray,tune,tensorboard,mlflow,test
EXTRAS_lint := dev
EXTRAS_bench := tensorflow,jax,bench

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export TF_CPP_MIN_LOG_LEVEL ?= 2

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help venv demo test lint bench clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1 \2/p' $(MAKEFILE_LIST) | awk '{printf "  %s %-6s", $$1, $$2; $$1 = $$2 = ""; print}'

demo: $(VENV)/.installed-demo  ## compare the paper's ten arms on scikit-learn's digits, in a few minutes
	@$(BIN)/reglab demo

test: $(VENV)/.installed-test  ## run the fast tests on TensorFlow and JAX, and on PyTorch where it is installed
	@echo "== TensorFlow: all tests =="
	@KERAS_BACKEND=tensorflow $(BIN)/python -m pytest -m 'not slow' $(PYTEST_FLAGS)
	@echo "== JAX: the tests that depend on the backend =="
	@KERAS_BACKEND=jax $(BIN)/python -m pytest -m 'backend and not slow' $(PYTEST_FLAGS)
	@if $(BIN)/python -c 'import torch' 2>/dev/null; then \
		echo "== PyTorch: the tests that depend on the backend =="; \
		KERAS_BACKEND=torch $(BIN)/python -m pytest -m 'backend and not slow' $(PYTEST_FLAGS) && \
		echo "Covered: TensorFlow, JAX, PyTorch."; \
	else \
		echo "Covered: TensorFlow, JAX. PyTorch is not installed; to cover it, first run" \
			"$(BIN)/python -m pip install -c constraints.txt torch"; \
	fi

lint: $(VENV)/.installed-lint  ## check style and types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

bench: $(VENV)/.installed-bench  ## measure speed beside what people use otherwise, in an hour (BENCH=--write: into its page)
	@$(BIN)/python benchmarks/bench.py $(BENCH)

clean:  ## remove the environment, build outputs and caches; study folders stay
	@rm -rf $(VENV) build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

venv: $(VENV)/.made  ## make the empty environment

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "reglab needs Python 3.11 or newer; $(PYTHON) is not. Choose one: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed-%: pyproject.toml constraints.txt | $(VENV)/.made
	@echo "Installing reglab[$(EXTRAS_$*)] into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[$(EXTRAS_$*)]'
	@touch $@
