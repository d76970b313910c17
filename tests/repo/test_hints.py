"""Each command that the product prints is one that its tool takes.

Where a message has a command: in backticks, or it is the whole text (a remedy, a `next`). What
commands.py reads it with is the tool itself. Commands elsewhere in a text would not get the path
that mlops/hints.py puts before them, so they are found and refused.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from tests.repo.commands import AWS, PROJECT_DIR, VALUE, Problem, is_known, problem_of, read_shell

PYTHON = ("mlops", "model_build", "model_deploy", "serving", "local_aws/src", "infra")
TEXTS = ("requirements/*.sh", "infra/*/*.yml", "infra/*/*/*.yml", "model_deploy/*.yml", "*.yml")
# Subcommands of ours: the words after which `mlops` or `local-aws` is a command, not a name.
OURS = {
    "mlops": "platform project push pipeline approve reject schedule logs invoke status demo",
    "local-aws": "up env status down",
}
# What stands in a message for something that its reader knows, where VALUE would be no value.
FILLED = {
    "unit": "build",
    "size": "single-user",
    "kind.key": "mlflow",
    "keys[0]": "mlflow",
    "key": "mlflow",
    "self.check.name": "credentials",
    "IMAGES.key": "images",
    "flag": "",
}
# No commands to type, though they look so.
PROSE = {
    "answered in mlops demo",
    # Of the AWS CLI 2, as the message says.
    "aws sso login",
}


@dataclass(frozen=True)
class Hint:
    """A command in a message, and where it stands."""

    place: str
    command: str
    misplaced: bool = False

    def problem(self) -> str | None:
        if self.misplaced:
            return f"{self.place}: put the command in backticks: {self.command}"
        try:
            problems = [problem_of(words) for words in read_shell(self.command)]
        except Problem as err:
            problems = [f"not shell, put the command in backticks: {err}"]
        told = "; ".join(filter(None, problems))
        return f"{self.place}: {told}" if told else None


def texts_of(source: str) -> Iterator[tuple[int, str]]:
    """The texts of a Python module but its docstrings, with VALUE or FILLED for what they take."""
    tree = ast.parse(source)
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    skipped = {
        id(node.body[0])
        for node in ast.walk(tree)
        if isinstance(node, documented) and ast.get_docstring(node) is not None
    }

    def text_of(node: ast.AST) -> str | None:
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else None
        if isinstance(node, ast.FormattedValue):
            filled = FILLED.get(ast.unparse(node.value))
            if filled is None and isinstance(node.value, ast.Name):
                constant = constants.get(node.value.id)
                filled = text_of(constant) if constant is not None else None
            return VALUE if filled is None else filled
        if isinstance(node, ast.JoinedStr):
            texts = map(text_of, node.values)
            return "".join(VALUE if text is None else text for text in texts)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            left, right = text_of(node.left), text_of(node.right)
            return None if left is None and right is None else (left or VALUE) + (right or VALUE)
        return None

    def walk(node: ast.AST) -> Iterator[tuple[int, str]]:
        if id(node) in skipped:
            return
        text = None if isinstance(node, ast.FormattedValue) else text_of(node)
        if text is not None:
            yield node.lineno, re.sub(r"\{[\w.]*\}", "mlflow", text)  # for str.format
            return
        for child in ast.iter_child_nodes(node):
            yield from walk(child)

    return walk(tree)


def hints_of(place: str, text: str) -> Iterator[Hint]:
    """The commands in a text."""
    text = re.sub(r"<[\w-]+>", VALUE, text).replace("...", VALUE)
    for quoted in re.findall(r"`([^`\n]+)`", text):
        if _is_command(quoted):
            yield Hint(place, quoted)
    rest = re.sub(r"`[^`\n]+`", "", text)
    for substituted in re.findall(r"\$\((?:local-aws|mlops) [^)]*\)", rest):
        yield Hint(place, substituted[2:-1])
    rest = re.sub(r"\$\((?:local-aws|mlops) [^)]*\)", "", rest)
    if text.lstrip().startswith(tuple(PROSE)) or any(each in rest for each in PROSE):
        return
    found = re.search(_bare(), rest)
    if found and rest.strip().startswith(found[0]):
        yield Hint(place, rest.strip())
    elif found:
        yield Hint(place, rest[found.start() :].strip()[:80], misplaced=True)


def _is_command(text: str) -> bool:
    program, *rest = text.split()
    return bool(rest) and is_known(program.removeprefix(".venv/bin/"))


@functools.cache
def _bare() -> str:
    """What begins a command, wherever it stands: `make the same` and `git push:` do not."""
    ours = "|".join(f"{name} (?:{words.replace(' ', '|')})" for name, words in OURS.items())
    scripts = "(?:run-pipeline|get-pipeline-definition|build-deployment|test-endpoint) --"
    services = "|".join(AWS.services)
    return (
        rf"(?<![\w./`-])(?:(?:{ours})\b(?![-:/])|{scripts}|aws (?:{services}) [a-z]"
        r"|(?:uv )?pip install\b|make (?:\w+=\S+ )*(?:install|demo|test|lock)\b)"
    )


def scalars_of(text: str) -> Iterator[str]:
    """Every text of a YAML file, whatever its tags."""
    for token in yaml.scan(text):
        if isinstance(token, yaml.ScalarToken):
            yield token.value


_AFTER_COLON = re.compile(
    r": ((?:aws|make|mlops|pip|uv pip) [^'\"]*?)(?=\. |$|['\"])", re.MULTILINE
)


def all_hints() -> list[Hint]:
    found = []
    for folder in PYTHON:
        for path in sorted((PROJECT_DIR / folder).rglob("*.py")):
            name = path.relative_to(PROJECT_DIR)
            for line, text in texts_of(path.read_text()):
                found += hints_of(f"{name}:{line}", text)
    for pattern in TEXTS:
        for path in sorted(PROJECT_DIR.glob(pattern)):
            name = str(path.relative_to(PROJECT_DIR))
            for text in _texts_of_file(path):
                # A mail or a log: nothing is put before the commands there.
                told = _AFTER_COLON.sub(r": `\1`", text)
                found += [hint for hint in hints_of(name, told) if not hint.misplaced]
    return found


def _texts_of_file(path: Path) -> list[str]:
    text = path.read_text()
    if path.suffix == ".yml":
        return list(scalars_of(text))
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return [said for line in lines for said in re.findall(r'"([^"]*)"', line)]


@pytest.fixture(scope="module")
def hints() -> list[Hint]:
    return all_hints()


def test_each_command_that_is_printed_is_one_that_its_tool_takes(hints: list[Hint]) -> None:
    problems = [problem for hint in hints if (problem := hint.problem())]
    assert not problems, "\n".join(problems)


def test_the_collector_sees(hints: list[Hint]) -> None:
    tools = [hint.command.split()[0] for hint in hints]
    assert len(hints) >= 100
    assert tools.count("mlops") >= 50
    assert tools.count("aws") >= 30
    assert tools.count("local-aws") >= 8
    assert {"make", "pip"} <= set(tools)
    for file in (
        "mlops/platform/doctor/checks/server.py",
        "infra/project/project.yml",
        "requirements/install.sh",
    ):
        assert any(hint.place.startswith(file) for hint in hints), file


def test_aws_commands_are_read_by_the_locked_cli() -> None:
    locked = re.search(r"^awscli==(\S+)", (PROJECT_DIR / "requirements/dev.txt").read_text(), re.M)
    assert locked is not None
    assert metadata.version("awscli") == locked[1]
    assert locked[1].startswith("1.")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("print('look with `mlops pipelines`')", "invalid choice: 'pipelines'"),
        ("print(f'`mlops push {unit} --agian`')", "unrecognized arguments: --agian"),
        ("X = 'aws logs tail'\nprint(f'{X} {group}')", "Invalid choice"),
        ("log.error('%s', 'aws sso login' if x else '`aws configure list-profiles`')", "Invalid"),
        ("say('start one: local-aws up, then go on')", "put the command in backticks"),
        ("say('a'\n  f'b `aws s3 cp --foo {a} s3://b`')", "Unknown options: --foo"),
        ("raise E('aws ecr describe-image-scan-findings')", "--repository-name"),
        ("say('`make demos`')", "there is no such target"),
        ("say('`mlflow gcc --backend-store-uri x`')", "there is no gcc"),
        ("say('`git psuh origin`')", "git has no psuh"),
        ("say('`uv pip instal x`')", "instal"),
        ("say('eval \"$(local-aws environ)\"')", "invalid choice: 'environ'"),
        ("say('`aws ssm get-parameter --name a --query \"Parameter.[\"`')", "jmespath"),
    ],
)
def test_a_wrong_command_is_found(source: str, said: str) -> None:
    found = [hint for _, text in texts_of(source) for hint in hints_of("planted", text)]
    problems = [problem for hint in found if (problem := hint.problem())]
    assert problems, found
    assert said.lower() in problems[0].lower()


@pytest.mark.parametrize(
    "source",
    [
        '"""Docs name `mlops nothing`."""',
        "say('git push: modelbuild, which can not make the same twice')",
        "say('the command mlops of `infra/`, `stacks`, in `make`')",
        "say(f'`mlops pipeline {unit}` or `aws s3 ls s3://{bucket}`')",
    ],
)
def test_prose_is_left_alone(source: str) -> None:
    found = [hint for _, text in texts_of(source) for hint in hints_of("prose", text)]
    assert [hint.problem() for hint in found if hint.problem()] == []
