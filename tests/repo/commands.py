"""Reads commands as the tools that they name would: nothing of them is carried out.

`read_shell` takes a piece of shell apart into simple commands; `problem_of` gives one to the parser
of its tool. awscli is the installed one, which requirements/dev.txt pins.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import itertools
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import jmespath
import pytest

PROJECT_DIR = Path(__file__).parents[2]
# What stands for a value that only the reader knows; a number too, as some values are.
VALUE = "1"

# Program, or `python -m` module -> the module whose build_parser() has its flags.
_OURS = {
    "mlops": "mlops.cli",
    "local-aws": "local_aws.cli",
    "run-pipeline": "model_build.run_pipeline",
    "get-pipeline-definition": "model_build.get_pipeline_definition",
    "build-deployment": "model_deploy.build",
    "test-endpoint": "model_deploy.test.test",
    "model_deploy.custody": "model_deploy.custody",
    "model_deploy.reconcile": "model_deploy.reconcile",
    "mlops.seed_repositories": "mlops.seed_repositories",
}
# Of the shell and of any Unix; the reader has them, and they aren't ours to parse.
_UNIX = frozenset(
    (
        *(
            ".",
            "apt",
            "base64",
            "bash",
            "cat",
            "cd",
            "chmod",
            "cp",
            "curl",
            "cut",
            "date",
            "docker",
            "echo",
        ),
        *("env", "eval", "exit", "export", "grep", "head", "jq", "kill", "ln", "ls", "mkdir"),
        *("mv", "openssl", "printf", "read", "rm", "sed", "set", "sleep", "sort", "sudo", "tail"),
        *("tar", "tee", "test", "touch", "unset", "unzip", "wc", "xargs", "zip"),
    )
)
_KEYWORDS = frozenset(
    (
        *("if", "then", "elif", "else", "fi", "for", "do", "done", "while", "until", "case"),
        *("esac", "{", "}", "!", ":"),
    )
)


class Problem(Exception):
    """Why a tool would refuse the command."""

    def __init__(self, command: str, reason: str) -> None:
        super().__init__(f"{command}: {reason}")


# --- shell -------------------------------------------------------------------


def read_shell(text: str) -> list[list[str]]:
    """The simple commands of a piece of shell, also those in `$(...)`; values filled in.

    Raises Problem where bash would not read it.
    """
    checked = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True)
    if checked.returncode:
        raise Problem(text, checked.stderr.strip())
    found: list[list[str]] = []
    _take_apart(_without_heredocs(text.replace("\\\n", " ")), found)
    functions = set(re.findall(r"^(\w+)\(\) \{", text, re.MULTILINE))
    return [words for words in found if words[0] not in functions]


def _without_heredocs(text: str) -> str:
    return re.sub(r"<<-?\s*['\"]?(\w+)['\"]?([^\n]*)\n.*?^\s*\1$", r"\2", text, flags=re.M | re.S)


def _take_apart(text: str, found: list[list[str]]) -> None:
    outer, inner = _without_substitutions(text)
    for each in inner:
        _take_apart(each, found)
    outer = re.sub(r"\$\{[^}]*\}|\$\w+|\$[?#@]", VALUE, outer)
    for line in _lines(outer):
        lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
        lexer.whitespace_split = True
        lexer.commenters = ""
        words: list[str] = []
        skip = False
        for word in lexer:
            if skip:
                skip = False
            elif re.fullmatch(r"[<>]+&?|&>|>&", word):
                skip = True
                if words and words[-1] in ("1", "2"):
                    words.pop()
            elif word and not word.strip("();<>|&"):
                _add(words, found)
                words = []
            else:
                words.append(word)
        _add(words, found)


def _lines(text: str) -> list[str]:
    """Lines, but not within quotes; comments are gone."""
    lines, line, quote, escaped = [], "", "", False
    comment = False
    for at, letter in enumerate(text):
        if comment:
            comment = letter != "\n"
            if comment:
                continue
        if escaped:
            escaped = False
        elif letter == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "#" and (at == 0 or text[at - 1].isspace()):
            comment = True
            continue
        elif letter == "\n":
            lines.append(line)
            line = ""
            continue
        line += letter
    return [each for each in [*lines, line] if each.strip()]


def _without_substitutions(text: str) -> tuple[str, list[str]]:
    """The text with VALUE for each `$(...)` outside single quotes, and what stood in them."""
    text = re.sub(r"\$\(\((?:[^()]|\([^()]*\))*\)\)", VALUE, text)
    result, inner, at, quoted = "", [], 0, False
    single = False
    while at < len(text):
        letter = text[at]
        if letter == "'" and not quoted:
            single = not single
        elif letter == '"' and not single:
            quoted = not quoted
        if not single and text.startswith("$(", at):
            end = _closing(text, at + 2)
            inner.append(text[at + 2 : end])
            result += VALUE
            at = end + 1
            continue
        result += letter
        at += 1
    return result, inner


def _closing(text: str, at: int) -> int:
    depth, quote = 1, ""
    while at < len(text):
        letter = text[at]
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "(":
            depth += 1
        elif letter == ")":
            depth -= 1
            if not depth:
                return at
        at += 1
    raise Problem(text, "$( is not closed")


def _add(words: list[str], found: list[list[str]]) -> None:
    while words and (words[0] in _KEYWORDS or re.fullmatch(r"\w+\+?=.*", words[0], re.S)):
        if words[0] == "for":  # `for NAME in WORDS`
            return
        words = words[1:]
    if words:
        found.append(words)


# --- tools -------------------------------------------------------------------


def problem_of(words: Sequence[str]) -> str | None:
    """Why the tool would refuse these words; None if it would take them."""
    program, *rest = words
    command = shlex.join(words)
    name = program.rpartition("/")[2] if program.startswith((".venv", "/")) else program
    try:
        _tool(name)(rest)
    except Problem as err:
        return str(err)
    except (Exception, SystemExit) as err:  # noqa: BLE001 - whatever a tool raises is its answer
        return f"{command}: {type(err).__name__}: {err}"
    return None


def is_known(program: str) -> bool:
    """Whether it is a tool whose commands are parsed."""
    return program in _TOOLS or program in _OURS


def _tool(name: str) -> Callable[[Sequence[str]], None]:
    if name in _TOOLS:
        return _TOOLS[name]
    if name in _OURS:
        return functools.partial(_parse_ours, name)
    if name in _UNIX or name.endswith(".sh"):
        return lambda _: None
    raise Problem(name, "nobody knows how to read this program's commands")


def _parse_ours(name: str, words: Sequence[str]) -> None:
    parser = _parser(name)
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
            parser.parse_args(list(words))
    except SystemExit as err:
        if err.code:
            line = told.getvalue().strip().splitlines()[-1]
            raise Problem(shlex.join([name, *words]), line) from None


@functools.cache
def _parser(name: str) -> argparse.ArgumentParser:
    module = import_module(_OURS[name])
    parser: argparse.ArgumentParser = module.build_parser()
    return parser


def _parse_python(words: Sequence[str]) -> None:
    if list(words[:1]) != ["-m"]:
        own = words and "/" not in words[0]  # the reader's: the document shows it
        if not words or words[0].startswith("-") or own or (PROJECT_DIR / words[0]).exists():
            return
        raise Problem(shlex.join(["python", *words]), "there is no such file")
    module, *rest = words[1:]
    if module in _OURS:
        _parse_ours(module, rest)
    elif is_known(module):
        _tool(module)(rest)
    elif module not in ("venv", "json.tool", "benchmarks") and not _is_module(module):
        raise Problem(f"python -m {module}", "there is no such module")


def _is_module(name: str) -> bool:
    path = PROJECT_DIR / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


def _parse_make(words: Sequence[str]) -> None:
    makefile = (PROJECT_DIR / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for word in words:
        if "=" not in word and word not in targets:
            raise Problem(shlex.join(["make", *words]), "there is no such target")


# The subcommands and flags of tools whose parsers can't be asked without carrying them out.
_HELP: dict[str, tuple[str, ...]] = {"git": (), "uv": (), "pip": (), "ruff": (), "tox": ()}


def _parse_by_help(program: str, words: Sequence[str]) -> None:
    """The long flags must stand in the help of the subcommand, which must exist."""
    options = [word for word in words if word.startswith("--") and word != "--"]
    subcommands = []
    for word in words:
        if not re.fullmatch(r"[a-z][a-z-]*", word) or len(subcommands) == 2:
            break
        subcommands.append(word)
    if program != "uv":
        subcommands = subcommands[:1]
    text = _help_of(program, *subcommands)
    for option in options:
        flag = option.partition("=")[0]
        if flag not in text:
            raise Problem(shlex.join([program, *words]), f"its help has no {flag}")


@functools.cache
def _help_of(program: str, *subcommands: str) -> str:
    path = PROJECT_DIR / ".venv" / "bin" / program
    command = [str(path) if path.is_file() else program, *subcommands]
    asked = subprocess.run([*command, "--help"], capture_output=True, text=True, timeout=60)
    if program == "git":  # whose --help is a manual page, which need not be installed
        asked = subprocess.run([*command, "-h"], capture_output=True, text=True, timeout=60)
        if "is not a git command" in asked.stderr:
            raise Problem(shlex.join(command), asked.stderr.strip().splitlines()[0])
    elif asked.returncode:
        raise Problem(shlex.join(command), asked.stderr.strip()[-300:])
    return asked.stdout + asked.stderr


def _parse_git(words: Sequence[str]) -> None:
    rest = list(words)
    while rest and rest[0] in ("-C", "-c"):
        rest = rest[2:]
    if not rest:
        return
    try:
        text = _help_of("git", rest[0])
    except Problem:
        raise Problem(shlex.join(["git", *words]), f"git has no {rest[0]}") from None
    for flag in (word.partition("=")[0] for word in rest[1:] if word.startswith("--")):
        name = flag.removeprefix("--").removeprefix("no-")
        if name and name not in text:
            raise Problem(shlex.join(["git", *words]), f"its help has no {flag}")


def _parse_mlflow(words: Sequence[str]) -> None:
    from mlflow.cli import cli

    command: click.Command = cli
    rest = list(words)
    parent: click.Context | None = None
    while isinstance(command, click.Group) and rest:
        name, *rest = rest
        parent = click.Context(command, parent=parent, info_name=name)
        found = command.get_command(parent, name)
        if found is None:
            raise Problem(shlex.join(["mlflow", *words]), f"there is no {name}")
        command = found
    with contextlib.suppress(click.exceptions.Exit):
        command.make_context(command.name, rest, parent=parent)


def _parse_pytest(words: Sequence[str]) -> None:
    for word in words:
        path = word.partition("::")[0]
        if not path.startswith("-") and "/" in path and not (PROJECT_DIR / path).exists():
            raise Problem(shlex.join(["pytest", *words]), f"there is no {path}")


_TOOLS: dict[str, Callable[[Sequence[str]], None]] = {
    "aws": lambda words: AWS.parse(words),
    "cfn-lint": lambda _: None,
    "git": _parse_git,
    "make": _parse_make,
    "mlflow": _parse_mlflow,
    "pip": functools.partial(_parse_by_help, "pip"),
    "pytest": _parse_pytest,
    "python": _parse_python,
    "python3": _parse_python,
    "register-python-argcomplete": lambda _: None,
    "ruff": functools.partial(_parse_by_help, "ruff"),
    "tox": lambda _: None,
    "uv": functools.partial(_parse_by_help, "uv"),
}


# --- awscli ------------------------------------------------------------------


class _Aws:
    """awscli's own parsers; what they would call is left out."""

    @functools.cached_property
    def _driver(self) -> Any:
        from awscli import clidriver, paramfile
        from awscli.customizations.sessionmanager import StartSessionCaller
        from awscli.customizations.waiters import WaiterCaller
        from botocore.validate import ParamValidator

        def check(_self: Any, service: str, operation: str, parameters: Any, _: Any) -> int:
            model = driver.session.get_service_model(service).operation_model(operation)
            report = ParamValidator().validate(parameters, model.input_shape)
            wrong = [error for error in report._errors if _is_the_command_s(error)]
            if wrong and not self._from_file:
                raise ValueError(report.generate_report())
            return 0

        def read(_prefix: str, _path: str, **_: Any) -> str:
            self._from_file = True
            return "{}"

        driver = clidriver.create_clidriver()
        patch = pytest.MonkeyPatch()
        patch.setattr(clidriver.CLIOperationCaller, "invoke", check)
        for kind in (WaiterCaller, StartSessionCaller):
            patch.setattr(kind, "invoke", lambda *_: 0)
        for prefix, (_, arguments) in list(paramfile.LOCAL_PREFIX_MAP.items()):
            patch.setitem(paramfile.LOCAL_PREFIX_MAP, prefix, (read, arguments))
        return driver

    def parse(self, words: Sequence[str]) -> None:
        """Raise Problem with what the CLI says against the words."""
        from awscli.customizations.commands import BasicCommand

        driver = self._driver
        self._from_file = False
        told = io.StringIO()
        self._check_query(words)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
            # Loaded with the tables of their commands, so later than the driver.
            _load(driver)
            for kind in _below(BasicCommand):
                if "_run_main" in vars(kind):
                    patch.setattr(kind, "_run_main", lambda *_: 0)
            try:
                with contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
                    code = driver.main(_without_profile(words))
            except SystemExit as err:
                code = err.code
        if code and not (self._from_file and "Invalid JSON" in told.getvalue()):
            lines = [line for line in told.getvalue().splitlines() if line.strip()]
            errors = [line for line in lines if "error" in line.lower()] or lines[-1:]
            raise Problem(shlex.join(["aws", *words]), " ".join(errors)[:300])

    def _check_query(self, words: Sequence[str]) -> None:
        for flag, value in itertools.pairwise(words):
            if flag == "--query":
                jmespath.compile(value)

    @functools.cached_property
    def services(self) -> frozenset[str]:
        """The first words that it knows."""
        return frozenset(self._driver._get_command_table())


def _is_the_command_s(error: tuple[str, str, dict[str, Any]]) -> bool:
    """VALUE may be too short; what else is required or added, the CLI sees to itself."""
    reason, name, said = error
    unknown = said.get("unknown_param")
    return reason not in ("invalid length", "invalid range") and not (
        (reason == "missing required field" and not name) or unknown == "PaginationConfig"
    )


def _without_profile(words: Sequence[str]) -> list[str]:
    """A profile would be looked up, and stay."""
    kept = list(words)
    if "--profile" in kept:
        at = kept.index("--profile")
        del kept[at : at + 2]
    return kept


def _load(driver: Any) -> None:
    """Import the commands that are no plain operations; the CLI does so when they are called."""
    for name in ("cloudformation", "codecommit", "configure", "ecr", "s3", "ssm"):
        command = driver._get_command_table()[name]
        if hasattr(command, "_get_command_table"):
            command._get_command_table()
        else:
            _ = command.subcommand_table


def _below(kind: type) -> Iterator[type]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


AWS = _Aws()
