"""Installs whichever of the packages this checkout holds.

A unit's own repository holds only one of them.
"""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
PACKAGES = ("model_build", "model_deploy", "serving", "infra", "mlops")
PRESENT = {name for name in PACKAGES if (HERE / name).is_dir()}

# What each package needs to run; requirements/ holds the locked sets.
NEEDS = {
    "model_build": ["sagemaker>=3.27,<4", "boto3", "mlflow-skinny>=3.17,<4", "rich"],
    "model_deploy": ["boto3", "mlflow-skinny>=3.17,<4", "skops>=0.16", "scikit-learn>=1.9,<2"],
    # It runs in a model's own environment, which has them.
    "serving": [],
    # Templates, images, seeds, settings: files.
    "infra": [],
    "mlops": ["argcomplete", "boto3", "mlflow-skinny>=3.17,<4", "pyyaml", "rich"],
}
EXTRAS = {
    # The emulator is a distribution of its own: pip install ./local_aws[mlflow].
    "test": ["cfn-lint>=1.58", "import-linter", "mypy", "pytest", "pytest-timeout", "ruff", "tox"],
}
SCRIPTS = {
    "model_build": [
        "run-pipeline = model_build.run_pipeline:main",
        "get-pipeline-definition = model_build.get_pipeline_definition:main",
    ],
    "model_deploy": [
        "build-deployment = model_deploy.build:main",
        "test-endpoint = model_deploy.test.test:main",
    ],
    "serving": [],
    "infra": [],
    "mlops": ["mlops = mlops.cli:main"],
}
DATA = {
    "model_build": ["steps/**/*.py", "steps/**/*.txt"],
    "model_deploy": ["*.yml", "*.json", "test/*.yml"],
    "serving": [],
    "infra": [
        *("*.md", "platform/*.yml", "platform/*.json", "platform/settings/*.json", "images/*/*"),
        *("project/*.yml", "project/seeds/*/*.md"),
    ],
    "mlops": [],
}


def of_present(table: dict[str, list[str]]) -> list[str]:
    """The rows of the packages that are here, each once, in order."""
    return sorted({row for name in PRESENT for row in table[name]})


setup(
    name="sagemaker-mlflow-pipeline",
    version="0.1.0",
    description="MLflow as registry, SageMaker Pipelines as engine, CodePipeline to production",
    license="Apache-2.0",
    python_requires=">=3.11.2,<3.14",
    packages=find_packages(include=[f"{name}{rest}" for name in PRESENT for rest in ("", ".*")]),
    package_data={name: DATA[name] for name in PRESENT},
    install_requires=of_present(NEEDS),
    extras_require=EXTRAS,
    entry_points={"console_scripts": of_present(SCRIPTS)},
)
