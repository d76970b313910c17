"""What MLflow does with a model's files to serve it: which it reads, and which code it runs.

    MLmodel ─▶ python_function.loader_module ─▶ imported; its _load_pyfunc(<data>) makes the model
                               .code ─────────▶ put before all installed packages
                               .env ──────────▶ installed before that

As `mlflow.pyfunc.load_model` and the loaders of MLflow 3.17.2 are written; what nobody read here is
told as code. A library's flavour beside another loader is refused: MLflow writes no such thing, and
would run the loader, whatever the flavour's files are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

PICKLES = ("pickle", "cloudpickle")
SKOPS = "skops"

_PYFUNC = "python_function"
# Keys of a flavour under which MLflow opens a file or folder of the model; and what holds more.
_PATH_KEYS = frozenset(
    (
        *("data", "model_path", "code", "env", "conda", "virtualenv", "python_model", "path"),
        *("pickled_model", "saved_model_dir", "serialized_explainer", "model_data"),
        *("adapter_weights", "parameters_path"),
    )
)
_HOLD_PATHS = ("env", "artifacts", "extra_files")
_XGBOOST_CLASS = re.compile(r"xgboost\.(core\.Booster|sklearn\.XGB\w+)")
_BOOSTER = "lightgbm.basic.Booster"
# What pip takes from elsewhere than the index: addresses, paths, options.
_ELSEWHERE = re.compile(r"-|\.|/|.*(://|\s@\s|\.whl\b|\.tar\.gz\b|\.zip\b)")

_MLFLOWS_OWN_LINES = ("-r requirements.txt", "-c constraints.txt")
# What MLflow calls the files of environments, by the manager that installs from them.
_ENVIRONMENTS = {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}
# What it writes in the second as build_dependencies.
_BUILD_PACKAGE = re.compile(r"(pip|setuptools|wheel)(\s*[=<>!~]=?\s*[\w.*+!,=<>~ -]+)?", re.ASCII)
_CREDENTIALS = re.compile(r"//[^/@\s]*@")


@dataclass(frozen=True, kw_only=True)
class SkopsFile:
    """A skops file that is loaded, and the types that its flavour lets the server create."""

    name: str
    declared: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Loading:
    """What loading a model means: why it can't be, which code it runs, which skops files it reads.

    `has_code` says that modules of the model's own come before the installed ones.
    """

    problems: list[str] = field(default_factory=list)
    code_on_load: list[str] = field(default_factory=list)
    skops_files: list[SkopsFile] = field(default_factory=list)
    has_code: bool = False


@dataclass(frozen=True, kw_only=True)
class _Case:
    """One model: what python_function says, what the library's flavour says, where the files are.

    Judges add to `loading`.
    """

    pyfunc: Mapping[str, Any]
    own: Mapping[str, Any]
    folder: Path
    loading: Loading

    def find_file(self, said: object) -> str | None:
        """The one file that is loaded, at the model's top; None after a problem.

        A loader that is given a folder reads the MLmodel in there.
        """
        key = "data" if "data" in self.pyfunc else "model_path"
        loaded = self.pyfunc.get(key)
        if loaded != said:
            self.loading.problems.append(
                f"python_function would load {loaded!r} ({key}), its library's flavour says "
                f"{said!r}. No MLflow writes that; log the model again."
            )
        elif not isinstance(loaded, str) or len(PurePosixPath(loaded).parts) != 1:
            self.loading.problems.append(
                f"python_function would load {loaded!r} ({key}), which is no file beside MLmodel. "
                "No MLflow writes that; log the model again."
            )
        elif not (self.folder / loaded).is_file():
            self.loading.problems.append(f"{loaded}, which is the model, is not there as a file.")
        else:
            return loaded
        return None

    def tell(self, sentence: str) -> None:
        self.loading.code_on_load.append(sentence)

    def add_skops(self, name: str) -> None:
        declared = self.own.get("skops_trusted_types") or []
        names = frozenset(each for each in declared if isinstance(each, str))
        self.loading.skops_files.append(SkopsFile(name=name, declared=names))


@dataclass(frozen=True, kw_only=True)
class _Loader:
    """One of MLflow's loaders: the flavours that it serves, and what it does.

    `runs` is told as code; where it depends on the model, `judge` says.
    """

    flavors: tuple[str, ...] = ()
    runs: str = ""
    judge: Callable[[_Case], None] | None = None


def read_loading(flavors: Mapping[str, Any], model_folder: Path) -> Loading:
    """What loading the model of these flavours means."""
    odd = [name for name, conf in flavors.items() if not isinstance(conf, Mapping)]
    if odd:
        listed = ", ".join(sorted(str(name) for name in odd))
        return Loading(problems=[f"what its MLmodel says of {listed} is no mapping"])
    pyfunc = flavors.get(_PYFUNC, {})
    loading = Loading(has_code=bool(pyfunc.get("code")))
    loading.problems.extend(_find_escapes(flavors, model_folder))
    loading.problems.extend(_find_odd_environments(pyfunc, model_folder))
    if not isinstance(pyfunc.get("code", ""), str | None):
        loading.problems.append(
            f"its MLmodel names {pyfunc['code']!r} (code), which is no folder's name. "
            "No MLflow writes that; log the model again."
        )
    if loading.problems:
        return loading
    if "sklearn" in flavors:
        loading.problems.extend(_find_pickled_sklearn(flavors["sklearn"]))
    if _PYFUNC not in flavors:
        return loading
    loader_module = pyfunc.get("loader_module")
    loading.problems.extend(_find_foreign_loader(loader_module, flavors))
    if not loading.problems:
        _judge(str(loader_module), flavors, model_folder, loading)
    if loading.has_code:
        loading.code_on_load.append(
            f"its own modules in {pyfunc['code']}/ (code_paths) come before all installed ones, "
            "also in the place of one"
        )
    loading.code_on_load.extend(_find_foreign_installs(model_folder))
    return loading


def _find_escapes(flavors: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """Files outside of the model that MLmodel names: nobody reviews them."""
    inside = folder.resolve()
    for conf in flavors.values():
        held = [each for key in _HOLD_PATHS for each in _list_pairs(conf.get(key))]
        for key, value in [*conf.items(), *held]:
            is_listed = key in _HOLD_PATHS and isinstance(value, Mapping)
            for path in _list_texts(value) if key in _PATH_KEYS and not is_listed else ():
                if path and not is_inside(path, inside):
                    yield (
                        f"its MLmodel names {path!r} ({key}), which is outside of the model. "
                        "No MLflow writes that; log the model again."
                    )


def _find_odd_environments(pyfunc: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """Environment files that MLflow does not write, from which the container would install."""
    advice = "No MLflow writes that; log the model again."
    said = pyfunc.get("env", {})
    named = {"conda": said} if isinstance(said, str) else said  # MLflow 1 named conda.yaml alone
    if not isinstance(named, Mapping):
        yield f"python_function.env is {said!r}, which names no environment's file. {advice}"
        return
    for manager, name in named.items():
        if isinstance(name, str) and not is_inside(name, folder):
            continue  # which is told before
        if name != _ENVIRONMENTS.get(manager):
            yield (
                f"python_function.env has {name!r} for {manager}, and the server would install "
                f"what it lists; only {' and '.join(_ENVIRONMENTS.values())} are reviewed. {advice}"
            )
    yield from _find_odd_python_env(folder / _ENVIRONMENTS["virtualenv"], advice)


def _find_odd_python_env(path: Path, advice: str) -> Iterator[str]:
    """What the server would install beside requirements.txt, which is all that is recorded."""
    import yaml

    if not path.is_file():
        return
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as err:
        yield f"its {path.name} is not YAML: {err}"
        return
    if not isinstance(said, Mapping):
        yield f"its {path.name} holds no mapping. {advice}"
        return
    for key in ("build_dependencies", "dependencies"):
        listed = said.get(key) or []
        odd = [
            each
            for each in (listed if isinstance(listed, list) else [listed])
            if not isinstance(each, str) or not _is_mlflows_own(key, each.strip())
        ]
        if odd:
            shown = _CREDENTIALS.sub("//", ", ".join(str(each) for each in odd))
            yield (
                f"its {path.name} has {shown} ({key}), which the server would install beside "
                f"requirements.txt. {advice} What it needs belongs into pip_requirements."
            )


def _is_mlflows_own(key: str, line: str) -> bool:
    if key == "build_dependencies":
        return bool(_BUILD_PACKAGE.fullmatch(line))
    return line in _MLFLOWS_OWN_LINES


def is_inside(path: str, folder: Path) -> bool:
    """Whether a path that a model names lies in its folder, also when links are followed."""
    folder = folder.resolve()
    try:
        return (folder / path).resolve().is_relative_to(folder)
    except (OSError, RuntimeError, ValueError):  # links in a circle, a name that no system takes
        return False


def _list_pairs(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield str(key), each
            yield from _list_pairs(each)
    elif isinstance(value, list):
        for each in value:
            yield from _list_pairs(each)


def _find_pickled_sklearn(own: Mapping[str, Any]) -> list[str]:
    # MLflow's own default for a flavour that does not say is pickle.
    form = own.get("serialization_format", "pickle")
    if form == SKOPS:
        return []
    if form in PICKLES:
        return [
            f"scikit-learn saved with {form}, which runs code when it is loaded. Save it with "
            'serialization_format="skops" and skops_trusted_types=[...].'
        ]
    return [f"scikit-learn saved in a format that MLflow has not: {form!r}."]


def _find_foreign_loader(loader_module: object, flavors: Mapping[str, Any]) -> Iterator[str]:
    """A library's flavour without its loader, or a loader without its flavour."""
    if not isinstance(loader_module, str) or not loader_module:
        yield "python_function names no loader_module, so MLflow can not load it. Log it again."
        return
    for flavor in flavors:
        right = [name for name, loader in _LOADERS.items() if flavor in loader.flavors]
        if right and loader_module not in right:
            yield (
                f"it has the flavour {flavor}, but python_function.loader_module is "
                f"{loader_module!r}: the server would import and run that, and not load what "
                f"{flavor} says with {' or '.join(right)}. No MLflow writes that; log the model "
                "again."
            )
    loader = _LOADERS.get(loader_module)
    if loader and loader.flavors and not set(loader.flavors) & set(flavors):
        yield (
            f"python_function.loader_module is {loader_module!r}, but the flavour "
            f"{' or '.join(loader.flavors)} is not there, which tells it what the file is. "
            "No MLflow writes that; log the model again."
        )


def _judge(loader_module: str, flavors: Mapping[str, Any], folder: Path, loading: Loading) -> None:
    loader = _LOADERS.get(loader_module)
    if loader is None:
        whose = (
            "which nobody has read here"
            if loader_module.startswith("mlflow.")
            else "which is none of MLflow's"
        )
        loading.code_on_load.append(
            f"its loader_module {loader_module} is imported and run, {whose}"
        )
        _add_unknown_skops(flavors, folder, loading)
        return
    own: Mapping[str, Any] = next((flavors[name] for name in loader.flavors if name in flavors), {})
    if loader.runs:
        loading.code_on_load.append(f"{loader_module} {loader.runs}")
    if loader.judge:
        loader.judge(_Case(pyfunc=flavors[_PYFUNC], own=own, folder=folder, loading=loading))
    else:
        _add_unknown_skops(flavors, folder, loading)


def _add_unknown_skops(flavors: Mapping[str, Any], folder: Path, loading: Loading) -> None:
    """Skops files that a flavour names as its model, also if we don't know its loader."""
    for name, own in flavors.items():
        if name == _PYFUNC or own.get("serialization_format") != SKOPS:
            continue
        case = _Case(pyfunc={}, own=own, folder=folder, loading=loading)
        for key in ("data", "pickled_model", "model_path"):
            path = own.get(key)
            if isinstance(path, str) and path.endswith(".skops") and (folder / path).is_file():
                case.add_skops(path)


def _judge_sklearn(case: _Case) -> None:
    # Pickles were refused before.
    name = case.find_file(case.own.get("pickled_model"))
    if name:
        case.add_skops(name)


def _judge_lightgbm(case: _Case) -> None:
    name = case.find_file(case.own.get("data"))
    if not name or case.own.get("model_class", _BOOSTER) == _BOOSTER:
        return  # a Booster is text, which LightGBM's own parser reads
    form = case.own.get("serialization_format", "cloudpickle")
    if form == SKOPS:
        case.add_skops(name)
    else:
        case.tell(f"{name} is a {form} of a LightGBM estimator, which runs what is in it")


def _judge_xgboost(case: _Case) -> None:
    case.find_file(case.own.get("data"))
    model_class = case.own.get("model_class", "xgboost.core.Booster")
    if not isinstance(model_class, str) or not _XGBOOST_CLASS.fullmatch(model_class):
        case.tell(f"mlflow.xgboost imports and calls {model_class}, which is none of XGBoost's own")


def _judge_onnx(case: _Case) -> None:
    case.find_file(case.own.get("data"))
    providers, options = case.own.get("providers"), case.own.get("onnx_session_options")
    listed = providers if isinstance(providers, list) else []
    configured = isinstance(options, Mapping) and bool(options.get("extra_session_config"))
    if configured or any(not isinstance(each, str) for each in listed):
        case.tell("its settings go to ONNX Runtime as they are, whose providers load libraries")


def _judge_one_file(case: _Case) -> None:
    """Data that the library's own reader takes as such."""
    case.find_file(case.own.get("data"))


def _judge_python_model(case: _Case) -> None:
    source = case.pyfunc.get("model_code_path")
    if source is not None:
        # MLflow takes the file of that name in the model, wherever it was logged from.
        case.tell(f"{PurePosixPath(str(source)).name} is run as the model (models from code)")
    elif case.pyfunc.get("python_model"):
        name = case.pyfunc["python_model"]
        case.tell(f"{name} is a PythonModel by cloudpickle, which runs what is in it")
    else:
        case.loading.problems.append(
            "python_function has neither python_model nor model_code_path, so MLflow can not load "
            "it. Log it again."
        )


def _find_foreign_installs(folder: Path) -> Iterator[str]:
    for name, asked in _list_requirements(folder):
        if _ELSEWHERE.match(asked) and asked not in _MLFLOWS_OWN_LINES:
            shown = _CREDENTIALS.sub("//", asked)
            yield f"{name} installs from elsewhere than the index, which runs code: {shown}"


def _list_requirements(folder: Path) -> Iterator[tuple[str, str]]:
    """The files that say what the server installs, with what each asks pip for."""
    import yaml

    path = folder / "requirements.txt"
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            asked = line.partition(" #")[0].strip()
            if asked and not asked.startswith("#"):
                yield path.name, asked
    for path in (folder / "python_env.yaml", folder / "conda.yaml"):
        if not path.is_file():
            continue
        try:
            said = yaml.safe_load(path.read_text(encoding="utf-8", errors="replace"))
        except yaml.YAMLError:
            continue  # MLflow can't read it either
        for key in ("build_dependencies", "dependencies"):
            for asked in _list_texts(said.get(key) if isinstance(said, Mapping) else None):
                yield path.name, asked.strip()


def _list_texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _list_texts(each)
    elif isinstance(value, Mapping):
        yield from _list_texts(list(value.values()))


_UNPICKLES = "unpickles the model, which runs what is in it"
_PYTHON_MODEL = _Loader(judge=_judge_python_model)
# How each loader was found to load; none that only starts with such a name is one.
_LOADERS: Mapping[str, _Loader] = {
    # Run no code of the model's: estimators by reviewed types, trees as text, JSON or UBJSON ...
    "mlflow.sklearn": _Loader(flavors=("sklearn",), judge=_judge_sklearn),
    "mlflow.lightgbm": _Loader(flavors=("lightgbm",), judge=_judge_lightgbm),
    "mlflow.xgboost": _Loader(flavors=("xgboost",), judge=_judge_xgboost),
    # ... its own binary form or JSON, by one of four classes of CatBoost's ...
    "mlflow.catboost": _Loader(flavors=("catboost",), judge=_judge_one_file),
    # ... a graph of ONNX Runtime's operators ...
    "mlflow.onnx": _Loader(flavors=("onnx",), judge=_judge_onnx),
    # ... JSON (prophet.serialize), and YAML by its safe loader.
    "mlflow.prophet": _Loader(flavors=("prophet",), judge=_judge_one_file),
    "mlflow.openai": _Loader(flavors=("openai",), judge=_judge_one_file),
    "mlflow.prompt.promptlab_model": _Loader(),
    # A PythonModel, a chat model, an agent: a class or a file of the model's own.
    "mlflow.pyfunc.model": _PYTHON_MODEL,
    "mlflow.pyfunc.loaders.chat_agent": _PYTHON_MODEL,
    "mlflow.pyfunc.loaders.chat_model": _PYTHON_MODEL,
    "mlflow.pyfunc.loaders.code_model": _PYTHON_MODEL,
    "mlflow.pyfunc.loaders.responses_agent": _PYTHON_MODEL,
    # Pickles.
    "mlflow.statsmodels": _Loader(flavors=("statsmodels",), runs=_UNPICKLES),
    "mlflow.pmdarima": _Loader(flavors=("pmdarima",), runs=_UNPICKLES),
    "mlflow.shap": _Loader(flavors=("shap",), runs=_UNPICKLES),
    "mlflow.paddle": _Loader(flavors=("paddle",), runs=_UNPICKLES),
    "mlflow.pytorch": _Loader(
        flavors=("pytorch",),
        runs="calls torch.load with the pickle module that the model names, or torch.export.load",
    ),
    "mlflow.dspy": _Loader(flavors=("dspy",), runs=_UNPICKLES),
    # Files that name what is imported, or hold code beside the weights.
    "mlflow.keras": _Loader(
        flavors=("keras",), runs="makes the layers that the model's file names, or runs its graph"
    ),
    "mlflow.tensorflow": _Loader(
        flavors=("tensorflow", "keras"),
        runs="imports the module that the model names and unpickles its custom objects",
    ),
    "mlflow.transformers": _Loader(
        flavors=("transformers",), runs="trusts code that lies beside the weights"
    ),
    "mlflow.sentence_transformers": _Loader(
        flavors=("sentence_transformers",), runs="trusts code that lies beside the weights"
    ),
    "mlflow.spark": _Loader(
        flavors=("spark",), runs="makes the classes that the pipeline's stages name"
    ),
    "mlflow.johnsnowlabs": _Loader(
        flavors=("johnsnowlabs",), runs="starts Spark with the libraries of the model"
    ),
    "mlflow.langchain": _Loader(
        flavors=("langchain",), runs="runs the model's code, or unpickles what it kept"
    ),
    "mlflow.llama_index": _Loader(
        flavors=("llama_index",), runs="runs the model's code, or imports what its files name"
    ),
    # Loaded by libraries that nobody has read here.
    "mlflow.h2o": _Loader(flavors=("h2o",), runs="gives the file to H2O's Java server"),
    "mlflow.spacy": _Loader(
        flavors=("spacy",), runs="makes the components that the pipeline's files name"
    ),
    "mlflow.diffusers": _Loader(
        flavors=("diffusers",), runs="loads weights and settings by a library that nobody read here"
    ),
}
