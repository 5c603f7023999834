# Everything a person needs; `make` alone lists it.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast check format bench shows docs clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: install Python 3.11 or newer, or say PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; this is $$($(PYTHON) -V). Say PYTHON=python3.11, for example"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing jobflow-remote and what it needs into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[demo,dev,docs,gui]'
	@touch $@

$(VENV)/.demo: pyproject.toml
	@test -f $(STAMP) || { command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: install Python 3.11 or newer"; exit 1; }; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -f $(STAMP) || { echo "installing jobflow-remote and what the demo needs into $(VENV) ..."; $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[demo]'; }
	@touch $@

demo: $(VENV)/.demo ## install, make a project, start the runner, run a real calculation, show the results
	@$(BIN)/jf quickstart

test: $(STAMP) ## the whole test suite, with real services
	@bash tests/run.sh

test-fast: $(STAMP) ## tests that need no daemon
	@$(BIN)/python -m pytest -q -n 2 tests --ignore=tests/acceptance

check: $(STAMP) ## format, lint, types, layers, sizes, spelling
	@bash tests/check.sh

format: $(STAMP) ## put the code into shape
	@$(BIN)/ruff format src tests benchmarks && $(BIN)/ruff check --fix src tests benchmarks

bench: $(STAMP) ## measure; REFERENCE=venv-of-1.0.1 compares
	@$(BIN)/python -m benchmarks $(if $(REFERENCE),--reference $(REFERENCE))

shows: $(STAMP) ## what is promised, at full size: make shows PART=main-job
	@$(BIN)/python -m tests.shows $(or $(PART),main-job)

docs: $(STAMP) ## write the generated pages of docs/ anew, and build the documentation into site/
	@$(BIN)/python docs/generate.py
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet && echo "site/index.html; with a search box: $(BIN)/python -m http.server -d site"

clean: ## remove what make made
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
