#!/usr/bin/env bash
# make check: form, lint, types, layers, sizes, spelling. Says all that is wrong, not only the first.
set -uo pipefail
cd "$(dirname "$0")/.."
BIN=.venv/bin
failed=0
run() { echo "-- $1"; shift; "$@" || failed=1; }
run "ruff format" $BIN/ruff format --check --quiet src tests benchmarks
run "ruff" $BIN/ruff check --quiet src tests benchmarks
run "mypy --strict" $BIN/mypy
run "layers (import-linter)" $BIN/lint-imports --no-cache
run "sizes" $BIN/python tests/sizes.py
run "spelling" $BIN/codespell src tests docs README.md CONTRIBUTING.md Makefile
exit $failed
