#!/usr/bin/env bash
# What `make test` needs beside .venv: checkov and the MLflow server's packages, each in an environment of its own, a
# MySQL-compatible server and a browser. Written last, as by install.sh: a stamp, so an interrupted run is done again.
set -euo pipefail
cd "$(dirname "$0")/.."

# make_environment FOLDER LOCK: made anew when the lock or the interpreter has changed.
make_environment() {
  local folder=$1 lock=$2 facts
  facts=$(.venv/bin/python -c 'import os, sys; print("#", sys.version, os.path.realpath(sys.executable))' && cat "$lock")
  [ "$facts" = "$(cat "$folder/made-from.txt" 2>/dev/null)" ] && return
  echo "Installing $lock into $folder"
  rm -rf "$folder"
  .venv/bin/python -m uv venv --quiet --python .venv/bin/python "$folder"
  .venv/bin/python -m uv pip sync --quiet --python "$folder/bin/python" --require-hashes --compile-bytecode "$lock"
  cp "$lock" "$folder/lock.txt"
  echo "$facts" >"$folder/made-from.txt"
}

make_environment .venv-checkov requirements/checkov.txt
make_environment .venv-images/mlflow-server requirements/mlflow-server.txt
requirements/mariadb.sh
requirements/chromium.sh
touch .venv/.installed-test
