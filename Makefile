# Everything runs in .venv, which is made when it is missing and brought up to date when pyproject.toml or
# constraints.txt changes. `make` alone lists the targets.

PYTHON ?= python3
# A process per core, four at most, and what took longest at the end of each run. A test that hangs is stopped
# (pyproject.toml, timeout).
PYTEST_FLAGS ?= -n logical --maxprocesses 4 --dist worksteal --durations=20 --durations-min=1
# Which part of the slow tests `make test-slow` runs: 1/1 is all of them. Neighbours, which take alike long, go to
# different parts.
SHARE ?= 1/1

VENV := .venv
BIN := $(VENV)/bin

# Extras are installed as one set each; the stamp says that the set is there.
EXTRAS_demo := tensorflow
EXTRAS_test := tensorflow,jax,parquet,ray,tune,tensorboard,mlflow,test
EXTRAS_torch := torch
EXTRAS_lint := dev
EXTRAS_bench := tensorflow,jax,bench

HAS_TORCH = $(BIN)/python -c 'import importlib.util as u, sys; sys.exit(u.find_spec("torch") is None)'
SPLIT = --splitting-algorithm=least_duration --splits=$(lastword $(subst /, ,$(SHARE))) --group=$(firstword $(subst /, ,$(SHARE)))

# Where the fast tests lie that run on every backend (ON_EVERY_BACKEND in tests/conftest.py): collecting all others would
# take longer than running these.
FAST_ON_BACKENDS := $(addprefix tests/,backends data experiments models regularized strategies study/test_study_checkpoint.py \
	test_keras_internals.py)

# $(call run_tests,backend,title,markers,more flags)
run_tests = echo "== $(2) ==" && KERAS_BACKEND=$(1) $(BIN)/python -m pytest -m '$(3)' $(PYTEST_FLAGS) $(4)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export TF_CPP_MIN_LOG_LEVEL ?= 2

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help venv demo paper test about-test test-slow test-all lint bench clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1 \2/p' $(MAKEFILE_LIST) | awk '{printf "  %s %-10s", $$1, $$2; $$1 = $$2 = ""; print}'

demo: $(VENV)/.installed-demo  ## compare the paper's ten arms on scikit-learn's digits, in a few minutes
	@$(BIN)/reglab demo

paper: $(VENV)/.installed-demo  ## show the study of the paper as recorded in docs/results; DATA=archive trains what is left
	@$(BIN)/python docs/results/paper.py $(if $(DATA),--data "$(DATA)")

test: about-test $(VENV)/.installed-test  ## run the fast tests on TensorFlow and JAX, and on PyTorch where it is installed (7 minutes)
	@$(call run_tests,tensorflow,TensorFlow: every fast test,not slow)
	@$(call run_tests,jax,JAX: the fast tests that depend on the backend,backend and not slow,$(FAST_ON_BACKENDS))
	@if $(HAS_TORCH); then \
		$(call run_tests,torch,PyTorch: the fast tests that depend on the backend,backend and not slow,$(FAST_ON_BACKENDS)) && \
		echo "Covered: the fast tests on TensorFlow, JAX and PyTorch. The slow ones: make test-slow."; \
	else \
		echo "Covered: the fast tests on TensorFlow and JAX. To cover PyTorch too: make test-all, or first" \
			"$(BIN)/python -m pip install -c constraints.txt torch"; \
	fi

about-test:
	@echo "The fast tests: all on TensorFlow, then those that depend on the backend on JAX, and on PyTorch where it is"
	@echo "installed. About 7 minutes on two cores, 20 on slow ones, and 2 more for packages the first time."
	@echo "Slow tests, doctests and the examples of the documents: make test-all."

test-slow: $(VENV)/.installed-test $(VENV)/.installed-torch  ## run the slow tests on all backends (SHARE=2/4: the second quarter of them)
	@$(call run_tests,tensorflow,TensorFlow: slow tests $(SHARE),slow,$(SPLIT))
	@$(call run_tests,jax,JAX: slow tests $(SHARE),backend and slow,$(SPLIT))
	@$(call run_tests,torch,PyTorch: slow tests $(SHARE),backend and slow,$(SPLIT))

test-all: $(VENV)/.installed-test $(VENV)/.installed-torch  ## run every test on every backend, doctests and the documents' examples too
	@$(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory test-slow SHARE=1/1

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
