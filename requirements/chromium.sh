#!/usr/bin/env bash
# Debian's Chromium with its driver and a font, installed where the machine lacks them and apt-get may (as root): tests open
# MLflow's pages in it, and `make pictures` takes the documents' pictures with it.
#
# Where that can't be had, one line says why and those tests are skipped. REQUIRE_CHROMIUM=1 makes it an error instead.
set -euo pipefail

PACKAGES=(chromium chromium-driver fonts-liberation)

present() { command -v chromium >/dev/null && command -v chromedriver >/dev/null; }

give_up() {
  if [ "${REQUIRE_CHROMIUM:-}" = 1 ]; then
    echo "error: no chromium and chromedriver on the PATH, and REQUIRE_CHROMIUM=1: $1" >&2
    exit 1
  fi
  echo "No chromium and chromedriver on the PATH, so tests in a browser are skipped: $1"
  exit 0
}

# Its output is told only when it fails.
install() {
  DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet=2 --no-install-recommends "${PACKAGES[@]}" >/dev/null
}

if present; then
  exit 0
fi
command -v apt-get >/dev/null || give_up "there is no apt-get; install your system's packages of them"
[ "$(id --user)" = 0 ] || give_up "not root; sudo apt-get install ${PACKAGES[*]}"
echo "Installing Debian's packages: ${PACKAGES[*]} (100 MB to load)"
# The system's lists of packages may be absent or old.
failed=$(install 2>&1) || failed=$( (apt-get update --quiet=2 && install) 2>&1) ||
  give_up "$(grep '^[EW]:' <<<"$failed" | head -1 || true)"
present || give_up "the packages ${PACKAGES[*]} bring no program of these names"
