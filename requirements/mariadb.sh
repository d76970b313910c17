#!/usr/bin/env bash
# Puts MariaDB's server into .venv-mariadb, from Debian's or Ubuntu's packages, without being root and without changing anything
# else on the machine. The tests run the MLflow server against it (docs/mlflow-server.md says what that shows of MySQL).
#
# Where that can't be had, one line says why and the tests of it are skipped. REQUIRE_MARIADB=1 makes it an error instead.
set -euo pipefail
cd "$(dirname "$0")/.."

FOLDER=.venv-mariadb
PACKAGE=mariadb-server-core

# The server with the libraries that lie beside it.
runs() {
  local folder=$1
  [ -x "$folder/usr/sbin/mariadbd" ] || return 1
  LD_LIBRARY_PATH=$(library_path "$folder") "$folder/usr/sbin/mariadbd" --no-defaults --version >/dev/null 2>&1
}

library_path() {
  local folder
  folder=$(realpath "$1")
  find "$folder/usr/lib" "$folder/lib" -name '*.so*' -printf '%h\n' 2>/dev/null | sort -u | paste -sd:
}

give_up() {
  if [ "${REQUIRE_MARIADB:-}" = 1 ]; then
    echo "error: no MariaDB in $FOLDER, and REQUIRE_MARIADB=1: $1" >&2
    exit 1
  fi
  echo "No MariaDB in $FOLDER, so tests of the MLflow server's database are skipped: $1"
  exit 0
}

# The packages that the machine lacks for it; those that it has at another version stay as they are.
missing_packages() {
  apt-get "$@" --simulate --no-install-recommends install "$PACKAGE" 2>/dev/null |
    sed -n 's/^Inst \([^ ]*\) (\([^ ]*\) .*/\1=\2/p'
}

# download TARGET [apt-get's options]: the packages' files.
download() {
  local target=$1 packages
  shift
  packages=$(missing_packages "$@")
  [ -n "$packages" ] || return 1
  # shellcheck disable=SC2086 # one word a package
  (cd "$target" && apt-get "$@" --option APT::Sandbox::User="$(id --user --name)" --quiet=2 download $packages) 2>"$target.errors"
}

if runs "$FOLDER"; then
  exit 0
fi
for tool in apt-get dpkg-deb; do
  command -v "$tool" >/dev/null || give_up "there is no $tool; its packages come from Debian or Ubuntu"
done

temporary=$(mktemp -d "$FOLDER.XXXXXX")
trap 'rm -rf "$temporary"' EXIT
echo "Putting $PACKAGE into $FOLDER"

# First with the system's lists of packages. They may be absent, unreadable, or name files that the archive has no longer:
# then with lists of our own, which need no root.
mkdir "$temporary/packages"
if ! download "$temporary/packages"; then
  mkdir -p "$temporary"/apt/{lists/partial,cache/archives/partial}
  own=(
    --option Dir::State::Lists="$temporary/apt/lists" --option Dir::Cache="$temporary/apt/cache"
    --option APT::Sandbox::User="$(id --user --name)"
  )
  own=("${own[@]/$temporary/$PWD/$temporary}")
  # Its exit code tells of any source that failed; what counts is whether the packages can be had.
  apt-get "${own[@]}" --quiet=2 update >"$temporary/update" 2>&1 || true
  download "$temporary/packages" "${own[@]}" ||
    give_up "$(cat "$temporary/update" "$temporary/packages.errors" 2>/dev/null | grep '^[EW]:' | head -1 || true)"
fi

mkdir "$temporary/tree"
for package in "$temporary"/packages/*.deb; do
  dpkg-deb --extract "$package" "$temporary/tree"
done
runs "$temporary/tree" || give_up "the server in its packages does not run on this machine"
ls "$temporary/packages" >"$temporary/tree/packages.txt"
chmod 755 "$temporary/tree" # mktemp's is private; the server changes to another user
rm -rf "$FOLDER"
mv "$temporary/tree" "$FOLDER"
