#!/usr/bin/env bash
# Resolves requirements/*.in (and the training step's requirements) for Python 3.11 and 3.12 and writes the locked files.
set -euo pipefail
cd "$(dirname "$0")/.."

compile() {
  .venv/bin/python -m uv pip compile --quiet --universal --python-version 3.11 --upgrade \
    --custom-compile-command "make lock" "$@"
}

for name in uv sagemaker-sklearn model-build model-deploy dev; do
  echo "requirements/$name.txt"
  compile --generate-hashes "requirements/$name.in" --output-file "requirements/$name.txt"
done

# What the training job installs on top of AWS's image: everything its requirements.txt brings, at versions that
# agree with the image, as constraints; requirements.txt itself stays short and is edited by people.
step=model_build/steps/train_evaluate_register
echo "$step/constraints.txt"
grep -v '^-c ' "$step/requirements.txt" |
  compile - --constraints requirements/sagemaker-sklearn.txt --no-annotate --output-file "$step/constraints.txt"
