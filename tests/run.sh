#!/usr/bin/env bash
# make test: checks first, then all tests, with counts at the end. An empty home, so that nothing of the user's matters.
set -uo pipefail
cd "$(dirname "$0")/.."
BIN=$PWD/.venv/bin
HOME=$(mktemp -d); export HOME
export JFREMOTE_PROJECTS_FOLDER=$HOME/.jfremote PATH=$BIN:$PATH
unset JFREMOTE_PROJECT jfremote_project JFREMOTE_CONFIG_FILE
trap 'rm -rf "$HOME"' EXIT
failed=0
echo "== checks"; bash tests/check.sh || failed=1
echo "== services"; "$BIN/python" -m tests.services.mongod || echo "without MongoDB"
echo "== unit, contract, property, compatibility, docs"
"$BIN/python" -m pytest -q -n 2 --durations=15 --cov=jobflow_remote.model --cov-branch --cov-report=term-missing:skip-covered --cov-fail-under=100 \
  tests --ignore=tests/acceptance | tee "$HOME/first.log" || failed=1
echo "== acceptance, with real daemons"
"$BIN/python" -m pytest -q -n 2 --dist loadgroup --durations=15 tests/acceptance || failed=1
echo "== contracts"; grep -h " contracts passed$" "$HOME/first.log"
if [ $failed = 0 ]; then echo "all green"; else echo "NOT green"; fi
exit $failed
