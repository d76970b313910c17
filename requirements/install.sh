#!/usr/bin/env bash
# Fills .venv from requirements/dev.txt, and local_aws's cache (~/.cache/local-aws, which all checkouts share) with stand-ins of
# AWS's images for jobs and for builds. The stamp is written last, so an interrupted run is done again.
# PYTHON=/path/to/python3.12 chooses another interpreter.
# With --check it installs nothing: the exit code tells whether .venv is whole and made with that interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."

ACCEPTED="3.11 (from 3.11.2), 3.12 or 3.13"
# As `du` measured them after a first installation, with an empty cache.
VENV_MB=1600 CACHE_MB=2200
CANDIDATES=(python3.12 python3.13 python3.11 python3 python)

# Sets `problem` to what is wrong with an interpreter, and `identity` to version and program of the one that really runs: a
# version manager's shim and an environment's python stand for another.
examine() {
  problem="" identity=""
  if [ ! -e "$1" ] && ! command -v "$1" >/dev/null; then
    problem="does not exist"
  elif [ -d "$1" ] || ! command -v "$1" >/dev/null; then
    problem="cannot be executed"
  elif ! identity=$("$1" -c 'import os, platform, sqlite3, ssl, sys
print(platform.python_version() + getattr(sys, "abiflags", ""), os.path.realpath(sys.executable))' 2>&1); then
    problem="does not run, or lacks a part: ${identity##*$'\n'}"
  elif identity=${identity##*$'\n'} && [[ ! $identity =~ ^3\.(11\.([2-9]|[1-9][0-9])|1[23]\.[0-9]+)" " ]]; then
    problem="is ${identity%% *}"
  fi
}

fail() {
  printf '%s\n' "error: $1" "${@:2}" >&2
  exit 2
}

# Whether .venv is whole, and made with the interpreter that PYTHON names, or with any accepted one if it names none.
# .unfinished is there while .venv is filled: what a killed run left half written, uv takes for installed.
is_kept() {
  examine .venv/bin/python
  [ -z "$problem" ] && [ ! -e .venv/.unfinished ] && [ "${wanted:-$identity}" = "$identity" ]
}

refuse_all() {
  fail "no Python $ACCEPTED found, and none could be fetched. Tried:" "${seen[@]}" \
    "Install one, or name it: make PYTHON=/path/to/python3.12 demo"
}

# What pip could not install ends everything, too; without an accepted Python that is the first thing to say.
give_up() {
  [ -n "$program" ] || refuse_all
  exit "$1"
}

# Sets `uv` to the program: the one that uv.txt pins, installed by whichever Python can, or one that is on the PATH.
find_uv() {
  local -x PIP_ROOT_USER_ACTION=ignore
  local python install=(-m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt)
  uv=.venv-uv/bin/uv
  if cmp --silent requirements/uv.txt .venv-uv/lock.txt; then return; fi
  for python in "$program" .venv/bin/python "${CANDIDATES[@]}"; do
    command -v "$python" >/dev/null || continue
    rm -rf .venv-uv
    # Debian's Pythons have no ensurepip, and then no -m venv, unless python3-venv is installed.
    if "$python" -m venv .venv-uv >/dev/null 2>&1; then
      .venv-uv/bin/python "${install[@]}" || give_up $?
    elif "$python" -m pip --version >/dev/null 2>&1; then
      rm -rf .venv-uv
      "$python" "${install[@]}" --target .venv-uv || give_up $?
    else
      continue
    fi
    cp requirements/uv.txt .venv-uv/lock.txt
    return
  done
  rm -rf .venv-uv
  uv=uv
  if ! command -v uv >/dev/null; then
    [ -n "$program" ] || refuse_all
    fail "no Python here can install packages: none has pip, or ensurepip, which brings it; nor is uv on the PATH." \
      "On Debian and Ubuntu: apt install python3-venv"
  fi
}

# Sets `program` to the first accepted interpreter, and `seen` to what is wrong with the others.
find_python() {
  local candidate
  seen=()
  for candidate in "${CANDIDATES[@]}"; do
    examine "$candidate"
    program=${identity#* }
    if [ -z "$problem" ]; then return; fi
    seen+=("  $candidate $problem")
  done
  program=""
}

make_venv() {
  if [ -z "$program" ]; then find_python; fi
  find_uv
  rm -rf .venv/bin .venv # bin first: without it, half a .venv isn't taken for one
  mkdir .venv
  touch .venv/.unfinished
  if [ -z "$program" ]; then
    echo "No Python $ACCEPTED on the PATH: uv takes a 3.12 of its own, which it fetches if need be (30 MB)"
    "$uv" venv --allow-existing --python 3.12 .venv || refuse_all
  else
    echo "Making .venv with Python $program"
    "$uv" venv --quiet --allow-existing --python "$program" .venv
  fi
}

program="" wanted=""
if [ -n "${PYTHON:-}" ]; then
  examine "$PYTHON"
  if [ -n "$problem" ]; then
    fail "PYTHON=$PYTHON $problem. The project runs on Python $ACCEPTED." \
      "Name another, or none: then the first of ${CANDIDATES[*]} that will do is taken."
  fi
  wanted=$identity program=${identity#* }
fi
if [ "${1:-}" = --check ]; then
  is_kept
  exit
fi
if is_kept; then
  program=${identity#* }
  find_uv
else
  make_venv
fi
# What runs in the background ends with this script, also by Ctrl-C, which reaches none of it.
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT

# Of all the folders together: what is linked from one into the other counts once.
megabytes() {
  local size
  size=$(du -smc "$@" 2>/dev/null) || true
  size=${size##*$'\n'}
  size=${size%%[!0-9]*}
  echo "${size:-0}"
}

# tell_growth NAME ABOUT_MB FOLDER...: a line every so often of how much has come, for where no terminal shows uv's own bars.
tell_growth() {
  local name=$1 about=$2 begun=$SECONDS before
  shift 2
  before=$(megabytes "$@")
  while sleep "${INSTALL_TICK_SECONDS:-15}" 2>/dev/null; do
    echo "  $name: $(($(megabytes "$@") - before)) MB of about $about, $((SECONDS - begun)) s"
  done
}

quiet=(--quiet)
if [ -t 2 ]; then quiet=(); fi
touch .venv/.unfinished
echo "1 of 2: the locked packages into .venv (about $VENV_MB MB; two or three minutes the first time, seconds when little changed)"
ticker=""
if [ ! -t 2 ]; then
  # What is downloaded goes into uv's cache first.
  tell_growth .venv "$VENV_MB" .venv "$("$uv" cache dir 2>/dev/null || true)" &
  ticker=$!
fi
"$uv" pip sync "${quiet[@]}" --python .venv/bin/python --require-hashes --compile-bytecode requirements/dev.txt
"$uv" pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable . --editable local_aws
if [ -n "$ticker" ]; then kill "$ticker" 2>/dev/null || true; fi
rm .venv/.unfinished
cache=${LOCAL_AWS_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-}/.cache}/local-aws}
echo "2 of 2: what jobs and builds find in AWS's images, into $cache (about $CACHE_MB MB, once for all checkouts)"
tell_growth "$cache" "$CACHE_MB" "$cache" &
.venv/bin/python -m local_aws.containers.images \
  --requirements model_build/steps/train_evaluate_register/requirements.txt >/dev/null &
images=$!
# Beside it: one downloads while the other copies and compiles.
.venv/bin/python -m local_aws.codebuild.image --lock requirements/model-build.txt --lock requirements/model-deploy.txt &
layers=$!
wait "$images"
wait "$layers"
touch .venv/.installed
