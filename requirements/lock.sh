#!/usr/bin/env bash
# Resolves requirements/*.in (and the training step's requirements) for Python 3.11 to 3.13 and writes the locked files.
# A unit's own repository has some of them.
set -euo pipefail
cd "$(dirname "$0")/.."

compile() {
  .venv/bin/python -m uv pip compile --quiet --universal --python-version 3.11 --upgrade \
    --custom-compile-command "make lock" "$@"
}

for name in uv sagemaker-sklearn dev model-build model-deploy mlflow-server checkov; do
  [ -f "requirements/$name.in" ] || continue
  echo "requirements/$name.txt"
  tested=()
  case "$name" in
    # What CodeBuild and the server's image run is what was tested here: the versions of dev.txt.
    model-* | mlflow-server) tested=(--constraints requirements/dev.txt) ;;
  esac
  # The job image's lock is the emulator's; here lies a link to it, and in a unit's repository a copy.
  compile --generate-hashes "requirements/$name.in" "${tested[@]}" --output-file "$(realpath "requirements/$name.txt")"
done

# What benchmarks read: only the packages' files, so what they depend on isn't installed.
for name in tables mutants; do
  [ -f "benchmarks/$name.in" ] || continue
  echo "benchmarks/$name.txt"
  compile --no-deps --generate-hashes "benchmarks/$name.in" --output-file "benchmarks/$name.txt"
done

# What the training job installs on top of AWS's image, as constraints; requirements.txt itself stays short and is
# edited by people. Packages that the image holds are left out: whatever version AWS ships there stays.
step=model_build/steps/train_evaluate_register
[ -d "$step" ] || exit 0
echo "$step/constraints.txt"
in_image=()
while read -r name; do in_image+=(--no-emit-package "$name"); done \
  < <(sed -n 's/^\([a-z0-9._-]*\)==.*/\1/p' requirements/sagemaker-sklearn.txt | sort -u)
grep -v '^-c ' "$step/requirements.txt" |
  compile - --constraints requirements/sagemaker-sklearn.txt --no-annotate "${in_image[@]}" \
    --output-file "$step/constraints.txt"
