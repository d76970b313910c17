#!/usr/bin/env bash
# Removes what make made. A running local_aws is ended first, so that nothing is left behind. Its cache of images and layers
# stays: other checkouts use it too.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -x .venv/bin/local-aws ] && [ -d .local ]; then
  .venv/bin/local-aws down --quiet || true
fi
rm -rf .venv .venv-uv .venv-benchmarks .venv-checkov .venv-images .venv-mariadb .venv-mutants .local .tox .mypy_cache .pytest_cache .ruff_cache .import_linter_cache build dist local_aws/build ./*.egg-info local_aws/src/*.egg-info
find . -name __pycache__ -type d -prune -exec rm -rf {} +
cache=${LOCAL_AWS_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/local-aws}
[ ! -d "$cache" ] || echo "kept $cache: images and layers, for all checkouts"
