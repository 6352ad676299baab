# minicode: the commands of the README and of CI. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export DAGSTER_HOME ?= $(CURDIR)/dagster_home
export MINICODE_DATA ?= $(CURDIR)/data
# A backfill waits while the code server is away; without this Dagster gives it up for good.
export DAGSTER_BACKFILL_RETRY_DEFINITION_CHANGED_ERROR := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Rewritten assertions are kept for the next run, also where the environment forbids other bytecode.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/pytest --dist loadfile --no-loadscope-reorder
INSTALL := $(BIN)/pip install --quiet --constraint constraints.txt

# Programs of an environment name its folder: in a copied or moved checkout they would run the old one's code, or nothing.
MADE_IN := $(shell cat $(VENV)/.created 2>/dev/null)
ifneq ($(MADE_IN),)
ifneq ($(MADE_IN),$(CURDIR))
$(shell echo "$(VENV) was made in $(MADE_IN): it is made anew here" >&2; rm -rf $(VENV))
endif
endif

.PHONY: help mathematics scancode run dagster-run test test-fast check format dev bench docs system-deps clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.created:
	@echo "creating $(VENV)" >&2
	@$(PYTHON) -c 'import sys; sys.exit("minicode needs Python 3.11 or newer; found " + sys.version.split()[0] + "; hint: make run PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv $(VENV)
	@echo "$(CURDIR)" > $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml constraints.txt $(wildcard minicode_assets/corpus/csrc/*)
	@echo "installing the pinned dependencies (once; some minutes)" >&2
	@$(INSTALL) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "installing the development tools (once)" >&2
	@$(INSTALL) --editable '.[dev]'
	@touch $@

run: $(VENV)/.installed ## the whole pipeline: from what is installed here to a trained, evaluated model (preset tiny)
	@$(BIN)/minicode materialize
	@$(BIN)/minicode report

dagster-run: $(VENV)/.installed ## the same by Dagster's own command, one call a kind of partition, as in CI
	@$(BIN)/minicode init > /dev/null
	@$(BIN)/python -m minicode_assets.defs.commands | while read -r arguments; do \
	  echo "dagster asset materialize $$arguments" >&2; \
	  $(BIN)/dagster asset materialize -m minicode_assets.definitions $$arguments || exit 1; \
	done
	@$(BIN)/minicode report

test: $(VENV)/.installed-dev ## the whole test suite (some 8 minutes)
	@$(PYTEST) --numprocesses 3

test-fast: $(VENV)/.installed-dev ## the everyday part (under 2 minutes)
	@$(PYTEST) --numprocesses 2 -m "not slow"

check: $(VENV)/.installed-dev ## format, lint, types, architecture
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/pytest -q tests/test_architecture.py

format: $(VENV)/.installed-dev ## format and fix what can be fixed
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

dev: $(VENV)/.installed ## Dagster's web UI and daemon on http://127.0.0.1:3000
	@$(BIN)/minicode init > /dev/null
	@$(BIN)/dagster dev -h 127.0.0.1 -p $${PORT:-3000} -w workspace.yaml

bench: $(VENV)/.installed-dev ## every benchmark, against its peer in the same run (long)
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

docs: $(VENV)/.installed ## write docs/data.md from the code, the tables of docs/concepts/scale.md from the benchmarks
	@$(BIN)/python -m minicode_assets.defs.reference > docs/data.md
	@$(BIN)/python benchmarks/scale.py --write

system-deps: ## Debian packages that some tests use (they skip without them)
	@missing=""; for package in chromium git clamav-daemon libarchive-tools nginx-light postgresql; do dpkg -s $$package > /dev/null 2>&1 || missing="$$missing $$package"; done; \
	if [ -n "$$missing" ]; then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing > /dev/null; fi

mathematics: ## DeepMind's problem maker in an environment of its own: it needs NumPy and SymPy of its time
	@$(PYTHON) -m venv .venv-mathematics
	@.venv-mathematics/bin/pip install --quiet mathematics_dataset==1.0.1 sympy==1.2 numpy==1.23.5 mpmath==1.3.0 absl-py==2.5.1 six==1.17.0

scancode: ## ScanCode in an environment of its own, for the licence files that nothing else recognises
	@$(PYTHON) -m venv .venv-scancode
	@.venv-scancode/bin/pip install --quiet scancode-toolkit==32.5.0 pluggy==1.5.0
	@.venv-scancode/bin/scancode --version

clean: ## remove data/ and Dagster's run data of this checkout (keeps .venv, and a MINICODE_DATA elsewhere)
	@rm -rf data
	@find dagster_home -mindepth 1 ! -name dagster.yaml -delete
