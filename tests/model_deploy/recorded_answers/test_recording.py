"""Planted models answer their own cases, with MLflow, in this Python's own packages."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

from model_deploy.endpoint_test_plan import Case
from model_deploy.errors import ConfigError, ModelNotDeployable
from model_deploy.recorded_answers import recording
from model_deploy.recorded_answers.environment import ModelEnvironment
from model_deploy.recorded_answers.recording import (
    Limits,
    PlanParts,
    Recording,
    make_plan_parts,
    parse_strictly,
    record_answers,
)
from model_deploy.request_limits import RequestLimit

# So that no test waits for packages; test_environment makes environments.
ENVIRONMENT = ModelEnvironment(
    python=Path(sys.executable),
    python_version="3",
    python_wanted="3",
    packages=["mlflow==3"],
    installer="none",
)

# Models from code; `kind` says what each row does.
PLANTED = """\
import os, pathlib, time
import mlflow.pyfunc
from mlflow.models import set_model

class Planted(mlflow.pyfunc.PythonModel):
    calls = 0

    def predict(self, context, model_input, params=None):
        kind = model_input["kind"][0]
        Planted.calls += 1
        if kind == "differ":
            there = os.path.exists("/opt/ml/model/MLmodel")
            return [30.0 + 100 * there]
        if kind == "secret":
            return [os.environ.get("AWS_SECRET_ACCESS_KEY", "none")]
        if kind == "nan":
            return [1.0, float("nan")]
        if kind == "infinity":
            return [float("inf")]
        if kind == "crash":
            raise ZeroDivisionError("planted")
        if kind == "draw":
            return [[1, time.perf_counter()]]
        if kind == "count":
            return [Planted.calls]
        if kind == "jitter":
            return [0.1 + 1e-12 * Planted.calls]
        if kind == "odd":
            return {object()}
        if kind == "forge":
            for name in ("answers.json", "progress.txt"):
                pathlib.Path(os.environ["HOME"], "..", name).unlink(missing_ok=True)
            os.mkfifo(pathlib.Path(os.environ["HOME"], "..", "progress.txt"))
            pathlib.Path(os.environ["HOME"], "..", "answers.json").write_text('{"rounds": [[], 1]}')
            os._exit(0)
        if kind == "slow":
            print("about to sleep", flush=True)
            time.sleep(60)
        if kind == "exit":
            print("the last word", flush=True)
            os._exit(0)
        if kind == "write":
            context_file = pathlib.Path(os.environ["HOME"], "note")
            context_file.write_text("x")
            return [context_file.read_text()]
        return []

set_model(Planted())
"""


def body(kind: str) -> str:
    return json.dumps({"dataframe_split": {"columns": ["kind"], "data": [[kind]]}})


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    folder = tmp_path_factory.mktemp("planted")
    code = folder / "planted.py"
    code.write_text(PLANTED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pyfunc.save_model(
            folder / "model",
            python_model=str(code),
            signature=ModelSignature(inputs=Schema([ColSpec("string", "kind")])),
            input_example=pd.DataFrame({"kind": ["differ"]}),
            pip_requirements=["mlflow"],
        )
    return folder / "model"


def record(planted: Path, scratch: Path, kinds: list[str], **more: Any) -> Recording:
    cases = [Case(name=kind, body=body(kind)) for kind in kinds]
    return record_answers(planted, cases, scratch, environment=ENVIRONMENT, **more)


def test_the_answers_are_those_of_the_model_offline(
    planted: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "top-secret")
    cases = [
        *(Case(name=kind, body=body(kind)) for kind in ("differ", "secret", "write", "jitter")),
        Case(name="rows.csv", body="kind\r\ndiffer\r\n", content_type="text/csv"),
        Case(name="wrong.json", body='{"inputs": {"other": ["x"]}}'),
        Case(name="no.json", body='{"predict": 1}'),
    ]
    with caplog.at_level(logging.INFO):
        found = record_answers(planted, cases, tmp_path, environment=ENVIRONMENT)
    answers = {case.name: json.loads(case.answer or "") for case in found.cases}
    # An endpoint, which has /opt/ml/model/MLmodel, answers 130: now that is a difference.
    assert answers["differ"] == {"predictions": [30.0]}
    assert answers["secret"] == {"predictions": ["none"]}
    assert answers["write"] == {"predictions": ["x"]}
    assert answers["rows.csv"] == {"predictions": [30.0]}
    assert [case.status for case in found.cases] == [200, 200, 200, 200, 200, 400, 400]
    assert "Failed to enforce schema" in answers["wrong.json"]["message"]
    assert "The input must be a JSON dictionary" in answers["no.json"]["message"]
    assert found.cases[4].content_type == "text/csv"
    assert found.recorded["packages"] == ["mlflow==3"]
    kept_from = found.recorded["kept_from"]
    assert set(kept_from) == {"credentials", "network", "writes", "processes"}
    assert "7 answers recorded; the model was kept from" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_answers_that_nothing_can_be_compared_with_are_all_refused(
    planted: Path, tmp_path: Path
) -> None:
    kinds = ["crash", "nan", "infinity", "draw", "count", "odd", "nothing"]
    with pytest.raises(ModelNotDeployable) as raised:
        record(planted, tmp_path, kinds, model="version 3 of 'churn'")
    text = str(raised.value)
    assert text.startswith("version 3 of 'churn' can not be deployed:\n")
    problems = raised.value.problems
    assert problems[0].startswith("it answers crash with a crash (HTTP 400): Encountered an unexp")
    assert "ZeroDivisionError: planted" in problems[0]
    assert problems[1].startswith("it answers nan with what is no JSON: it holds NaN, which JSON")
    assert problems[2].startswith("it answers infinity with what is no JSON: it holds Infinity")
    assert problems[3].startswith("it answers draw differently when asked again: the answer.predi")
    assert "the answer.predictions[0][1] is " in problems[3]
    assert problems[4].startswith("it answers count differently when asked again")
    assert '"accept": {"no_offline_comparison": "reason"}' in problems[4]
    assert problems[5].startswith("it answers odd with a crash (HTTP 500): TypeError: Object of t")
    assert problems[6] == "it answers nothing without a prediction"
    assert len(problems) == 7


def test_an_input_example_that_the_model_refuses_is_no_example(
    planted: Path, tmp_path: Path
) -> None:
    wrong = Case(name="the input example", body='{"inputs": {"other": ["x"]}}')
    with pytest.raises(ModelNotDeployable, match=r"the input example with HTTP 400: Failed to pr"):
        record_answers(planted, [wrong], tmp_path, environment=ENVIRONMENT)


def test_a_model_that_does_not_answer_is_ended_and_told(planted: Path, tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(ModelNotDeployable) as raised:
        record(planted, tmp_path, ["differ", "slow"], limits=Limits(answer_seconds=1))
    assert "the model answers slow: not done after 1 s (SageMaker gives" in str(raised.value)
    assert time.monotonic() - started < 50
    with pytest.raises(ModelNotDeployable, match="its MLflow is imported: not done after 0"):
        record(planted, tmp_path, ["differ"], limits=Limits(load_seconds=0.1))


def test_a_process_that_ends_without_answers_is_told_with_its_last_words(
    planted: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelNotDeployable) as raised:
        record(planted, tmp_path, ["differ", "exit"])
    assert "its process ended without answers (0) while the model answers exit" in str(raised.value)
    assert "the last word" in str(raised.value)


def test_a_model_that_writes_into_its_own_record_is_refused(planted: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelNotDeployable, match="it wrote into the file of its answers"):
        record(planted, tmp_path, ["forge"])


def test_a_model_that_can_not_be_loaded_is_told(planted: Path, tmp_path: Path) -> None:
    import shutil

    broken = shutil.copytree(planted, tmp_path / "broken")
    (broken / "planted.py").write_text("import no_such_module\n")
    with pytest.raises(ModelNotDeployable) as raised:
        record(broken, tmp_path, ["differ"])
    assert "it can not be loaded: " in str(raised.value)
    assert "No module named 'no_such_module'" in str(raised.value)
    assert "no_offline_comparison" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"predictions": [NaN]}', "NaN"),
        ("[-Infinity]", "-Infinity"),
        ("[1e999]", "1e999"),
        ('{"predictions": ', "Expecting value"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_only_strict_json_is_an_answer(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_strictly(text)
    assert parse_strictly('{"a": [1, 2.5, null]}') == {"a": [1, 2.5, None]}


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ("[1.0]", "[1.0000001]", ""),
        ("[0.0]", "[1e-10]", ""),
        ("[1.0]", "[1.00001]", "the answer[0] is 1.0, then 1.00001"),
        ("[1]", "[2]", "the answer[0] is 1, then 2"),
        ("[1, 2.0]", "[1, 2]", "the answer[1] is 2.0, then 2"),
        ("[true]", "[1]", "the answer[0] is true, then 1"),
        ("[1]", "[1, 2]", "the answer is [1], then [1, 2]"),
        ('{"a": {"b": "x"}}', '{"a": {"b": "y"}}', 'the answer.a.b is "x", then "y"'),
        ('{"a": 1}', '{"b": 1}', 'the answer is {"a": 1}, then {"b": 1}'),
        (f'"{"x" * 58}"', '"y"', f'the answer is "{"x" * 58}", then "y"'),
        (f'"{"x" * 59}"', '"y"', f'the answer is "{"x" * 56}..., then "y"'),
        ("no", "yes", "two texts"),
        ("same", "same", ""),
    ],
)
def test_the_first_difference_between_two_answers_is_told(
    first: str, second: str, told: str
) -> None:
    one, other = {"status": 200, "body": first}, {"status": 200, "body": second}
    assert recording._difference(one, other) == told
    assert recording._difference({**one, "status": 400}, {**other, "status": 400}) == ""
    assert recording._difference(one, {**one, "status": 400}) == "HTTP 200, then 400"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        *((empty, "without a prediction") for empty in ("{}", "[]", "null")),
        *((f'{{"predictions": {empty}}}', "without a prediction") for empty in ("[]", "null")),
        *((full, "") for full in ('{"predictions": [0]}', "0", '""', "[[]]")),
    ],
)
def test_an_answer_has_a_prediction(body: str, problem: str) -> None:
    answer = {"status": 200, "body": body}
    assert recording._find_problem(answer, is_example=False) == problem
    refused = {"status": 400, "body": '{"message": "no", "stack_trace": "a\\nb\\nc\\nd"}'}
    assert recording._find_problem(refused, is_example=False) == ""
    told = recording._find_problem(refused, is_example=True)
    assert told == "with HTTP 400: no\n    b\n    c\n    d"
    for other in ("x" * 600, "[]", "{}", "5"):
        refused["body"] = other
        told = recording._find_problem(refused, is_example=True)
        assert told == f"with HTTP 400: {other[:500]}"


def test_the_process_starts_with_variables_of_its_own(tmp_path: Path) -> None:
    run = recording._Run(tmp_path / "bin/python", tmp_path, [], tmp_path, Limits(), "the model")
    variables = run._variables()
    threads = [name for name in variables if name.endswith("_NUM_THREADS")]
    assert {variables.pop(name) for name in threads} == {"1"}
    assert len(threads) == 5
    assert variables == {
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.defpath}",
        "HOME": str(tmp_path / "work/home"),
        "TMPDIR": str(tmp_path / "work/tmp"),
        "LANG": "C.UTF-8",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def test_what_the_model_was_kept_from_is_told_in_words() -> None:
    everything = dict.fromkeys(("credentials", "network", "writes", "processes"), True)
    words = "credentials, the network, writing elsewhere, other processes"
    assert recording._told(everything) == f"the model was kept from {words}"
    machine = f"; this machine ({sys.platform}) could not keep it from"
    assert recording._told({}) == f"the model was kept from nothing{machine} {words}"
    some = recording._told({"network": True, "writes": True})
    assert some == (
        f"the model was kept from the network, writing elsewhere{machine} "
        "credentials, other processes"
    )


@pytest.mark.parametrize(
    "forged",
    [
        None,
        {},
        [],
        [[{"status": 200, "body": ""}]],
        [[{"status": 200, "body": ""}]] * 3,
        [[{"status": 200, "body": ""}], []],
        [[{"status": 200, "body": ""}], None],
        [[{"status": 200, "body": ""}], ["x"]],
        [[{"status": 200, "body": ""}], [{"status": "200", "body": ""}]],
        [[{"status": 200, "body": ""}], [{"status": 200}]],
    ],
)
def test_only_what_our_program_writes_is_a_record(forged: Any) -> None:
    assert not recording._are_rounds(forged, 1)
    assert recording._are_rounds([[{"status": 200, "body": ""}]] * 2, 1)


def test_whatever_a_model_leaves_for_a_file_is_read_without_harm(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_bytes(b"one\ntw\xff\n")
    link.symlink_to(file)
    os.mkfifo(tmp_path / "pipe")
    for none in (link, tmp_path / "pipe", tmp_path, tmp_path / "missing"):
        assert recording._read_text(none) == ""
        assert recording._last_line(none) == ""
        assert recording._read_json(none) is None
    assert recording._read_text(file) == "one\ntw\ufffd\n"
    assert recording._read_text(file, 3) == "w\ufffd\n"
    assert recording._last_line(file) == "tw\ufffd"
    file.write_text("[" * 100_000)
    assert recording._read_json(file) is None
    file.write_text("[1]")
    assert recording._read_json(file) == [1]


def make_parts(planted: Path, tmp_path: Path, **more: Any) -> PlanParts:
    given: dict[str, Any] = {
        "cases_folder": tmp_path / "cases" / "churn",
        "limit": RequestLimit.of({}),
        "has_raw_rows": False,
        "accept": {},
        "scratch": tmp_path,
    }
    return make_plan_parts(planted, **{**given, **more})


def test_a_reviewed_waiver_records_nothing_and_is_in_the_plan(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    parts = make_parts(planted, tmp_path, accept={"no_offline_comparison": "it draws"})
    assert parts.waived == {"no_offline_comparison": "it draws"}
    assert [(case.name, case.answer) for case in parts.cases] == [("the input example", None)]
    assert parts.recorded == {}


def test_rows_of_training_need_no_recording(planted: Path, tmp_path: Path) -> None:
    accept = {"no_offline_comparison": "from before"}
    parts = make_parts(planted, tmp_path, has_raw_rows=True, accept=accept)
    assert [case.answer for case in parts.cases] == [None]
    assert (parts.waived, parts.recorded) == ({}, {})
    folder = tmp_path / "cases" / "churn"
    folder.mkdir(parents=True)
    (folder / "mine.json").write_text(body("differ"))
    with pytest.raises(ConfigError, match="cases are for models registered by hand"):
        make_parts(planted, tmp_path, has_raw_rows=True)
