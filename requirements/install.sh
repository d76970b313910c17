#!/usr/bin/env bash
# Fills .venv from requirements/dev.txt, and the local stand-ins of AWS's images for jobs and for builds. The stamp is written
# last, so an interrupted run is done again. PYTHON=/path/to/python3.12 chooses another interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."

# Prints "3.12" for an interpreter that really runs and can make environments (a version manager's shim may not).
version_of() {
  "$1" -c 'import ensurepip, ssl, sys, venv; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true
}

find_python() {
  local candidate found
  for candidate in ${PYTHON:-python3.12 python3.11 python3 python}; do
    found=$(version_of "$candidate")
    case "$found" in
      3.11 | 3.12) command -v "$candidate"; return ;;
    esac
    echo "  $candidate: ${found:-does not run, or lacks venv/ensurepip}" >>"$seen"
  done
}

# Whether .venv is whole, and made with the Python that PYTHON names, or with any that is supported if it names none.
# .unfinished is there while .venv is filled: what a killed run left half written, pip and uv take for installed.
is_kept() {
  local made_with
  made_with=$(version_of .venv/bin/python)
  case "$made_with" in
    3.11 | 3.12) [ ! -e .venv/.unfinished ] && [ "$made_with" = "$(version_of "${PYTHON:-.venv/bin/python}")" ] ;;
    *) false ;;
  esac
}

make_venv() {
  seen=$(mktemp)
  trap 'rm -f "$seen"' EXIT
  python=$(find_python)
  if [ -z "$python" ]; then
    {
      echo "error: no Python 3.12 or 3.11 found; the project supports these two. Tried:"
      cat "$seen"
      echo "Install one (on Debian and Ubuntu with its -venv package), or name it: make PYTHON=/path/to/python3.12 demo"
    } >&2
    exit 2
  fi
  echo "Making .venv with $("$python" --version)"
  rm -rf .venv/bin .venv # bin first: without it, half a .venv isn't taken for one
  mkdir .venv
  touch .venv/.unfinished
  "$python" -m venv .venv
}

is_kept || make_venv
touch .venv/.unfinished
echo "Installing the locked packages into .venv (1.3 GB; two or three minutes the first time, seconds when little changed)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
.venv/bin/python -m uv pip sync --quiet --python .venv/bin/python --require-hashes --compile-bytecode requirements/dev.txt
.venv/bin/python -m uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
rm .venv/.unfinished
.venv/bin/python -m local_aws.containers.images \
  --requirements model_build/steps/train_evaluate_register/requirements.txt >/dev/null &
images=$!
# Beside it: one downloads while the other copies and compiles.
.venv/bin/python -m local_aws.builds.image --lock requirements/model-build.txt --lock requirements/model-deploy.txt &
layers=$!
wait "$images"
wait "$layers"
touch .venv/.installed
