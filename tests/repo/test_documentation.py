"""What the documents say is there, is there."""

from __future__ import annotations

import re
import subprocess
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.repo.commands import VALUE, Problem, is_known, problem_of, read_shell

PROJECT_DIR = Path(__file__).parents[2]
TRACKED = [
    PROJECT_DIR / name
    for name in subprocess.run(
        ["git", "ls-files"], cwd=PROJECT_DIR, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    if (PROJECT_DIR / name).is_file()
]
DOCUMENTS = [path for path in TRACKED if path.suffix == ".md"]
# What was true then.
HISTORIES = ("CHANGELOG.md",)
DRAWINGS = [path for path in TRACKED if path.suffix == ".svg"]
SOURCES = [path for path in TRACKED if path.suffix in (".py", ".sh", ".yml", ".ini", ".toml")]

# Whose commands a test types as they stand there; every other one is parsed, as these are too.
TYPED = {
    "README.md": "tests/end_to_end/test_readme.py",
    "docs/tutorial-data-scientist.md": "tests/end_to_end/test_tutorials.py",
    "docs/tutorial-platform-engineer.md": "tests/end_to_end/test_tutorials.py",
    "local_aws/README.md": "tests/end_to_end/test_emulator_apart.py",
}

# Named because a document has its reader write it; test_your_estimator.py and test_tutorials.py of
# tests/end_to_end do so.
FOR_THE_READER_TO_WRITE = {
    "model_build/steps/train_evaluate_register/estimators/ridge.py",
    "model_build/steps/train_evaluate_register/estimators/lightgbm.py",
    "model_deploy/preprod-config.json",
}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT_DIR)))
def test_relative_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT_DIR)))
def test_anchors_lead_to_a_heading(path):
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", path.read_text()):
        if "://" not in target:
            document = path.parent / target if target else path
            assert anchor in _anchors(document.read_text()), f"{target}#{anchor}"


def test_a_heading_s_anchor_is_made_as_on_github():
    text = "# A `b`: c, d's\n## 1. E-f\n## E-f\n## E-f\n```\n# no heading\n```\n"

    assert _anchors(text) == {"a-b-c-ds", "1-e-f", "e-f", "e-f-1"}


def _anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    found: list[str] = []
    for heading in re.findall(r"^#+ (.+)$", _without_code(text), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        times = len([each for each in found if re.fullmatch(rf"{re.escape(slug)}(-\d+)?", each)])
        found.append(f"{slug}-{times}" if times else slug)
    return set(found)


def _without_code(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT_DIR)))
def test_lines_have_at_most_120_characters(path):
    """Longer may be a table's row, what can't be broken, and what the demo prints."""
    text = path.read_text()
    if path == PROJECT_DIR / "README.md":
        text = re.sub(r"^```\n 1\. up: .*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    long = [line for line in text.splitlines() if len(line) > 120 and not line.startswith("|")]
    assert not [line for line in long if not _is_unbreakable(line)]


def test_a_long_line_that_could_be_broken_is_found():
    assert not _is_unbreakable("word " * 30)
    assert not _is_unbreakable("see https://example.com/a for " + "words " * 20)
    assert _is_unbreakable(f'  "Resource": "arn:aws:codepipeline:{"x" * 100}"')
    assert _is_unbreakable("  --policy '{" + '"Effect": "Allow", ' * 6 + "}'")


def _is_unbreakable(line: str) -> bool:
    """Whether all but 40 characters are one word or one quoted argument: a URL, an ARN, JSON."""
    pieces = re.findall(r"(?:'[^']*'|\"[^\"]*\"|[^\s'\"])+|['\"]", line)
    return len(line) - max(map(len, pieces)) <= 40


@pytest.mark.parametrize("path", DRAWINGS, ids=lambda path: path.name)
def test_drawings_are_well_formed_readable_anywhere_and_embedded(path):
    root = ElementTree.parse(path).getroot()
    svg = "{http://www.w3.org/2000/svg}"

    assert root.tag == f"{svg}svg"
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    assert root.findtext(f"{svg}title")
    assert root.findtext(f"{svg}desc")
    # A background of its own: black text on a dark page is none.
    background = root.find(f"{svg}rect")
    assert float(background.attrib["width"]) >= width - 1
    assert float(background.attrib["height"]) >= height - 1
    # Nothing from elsewhere, which no browser loads into an image.
    assert not re.search(r"href=|@import|url\((?!#)", path.read_text())
    for text in root.iter(f"{svg}text"):
        assert 0 < float(text.attrib["x"]) < width
        assert 0 < float(text.attrib["y"]) < height
    assert [
        document.name
        for document in DOCUMENTS
        for target in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", document.read_text())
        if (document.parent / target).resolve() == path.resolve()
    ]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT_DIR)))
def test_named_files_exist(path):
    for name in re.findall(
        r"`((?:model_build|model_deploy|serving|infra|mlops|local_aws|tests|docs)/[\w./-]+)`",
        path.read_text(),
    ):
        # The emulator's own documents name what is in its folder.
        root = PROJECT_DIR / "local_aws" if path.parent.name == "local_aws" else PROJECT_DIR
        assert (root / name).exists() or name in FOR_THE_READER_TO_WRITE, name


@dataclass(frozen=True)
class Code:
    """A fenced block or a piece of inline code that is shell."""

    path: Path
    text: str
    inline: bool = False

    def problems(self) -> list[str]:
        name = self.path.relative_to(PROJECT_DIR)
        try:
            words = read_shell(self.text)
        except Problem as err:
            return [f"{name}: {err}"]
        problems = [problem for each in words if (problem := problem_of(each))]
        # In prose a command is named without what it needs.
        named = re.compile("arguments are required|Missing parameter")
        return [f"{name}: {each}" for each in problems if not (self.inline and named.search(each))]


def _fenced(path: Path) -> list[Code]:
    """The blocks that begin with a program, as it would be typed."""
    found = []
    for language, block in re.findall(
        r"^ *```(\w*)\n(.*?)^ *```$", path.read_text(), re.MULTILINE | re.DOTALL
    ):
        lines = [line.split() for line in block.splitlines() if not line.startswith("#")]
        first = next((words[0] for words in lines if words), "")
        if language in ("sh", "bash") or (not language and _begins_a_command(first)):
            found.append(Code(path, block))
    return found


def _begins_a_command(word: str) -> bool:
    program = word.removeprefix(".venv/bin/")
    return is_known(program) or bool(re.match(r"(export|eval|cd|curl|[A-Z_]+=.*)$", program))


def _inline(path: Path) -> list[Code]:
    """What stands in backticks and is more than a program's name.

    `{a,b}` and `<name>` are fillings, `[...]` may be left out.
    """
    found = []
    for text in re.findall(r"`([^`]+)`", _without_code(path.read_text())):
        words = text.split()
        ours = re.match(r'eval "\$\(', text)
        if len(words) > 1 and (is_known(words[0].removeprefix(".venv/bin/")) or ours):
            filled = re.sub(r" \[[^\]]*\]", "", re.sub(r"<[\w -]+>", VALUE, " ".join(words)))
            found.append(Code(path, filled.replace("...", VALUE), inline=True))
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT_DIR)))
def test_each_command_is_one_that_its_tool_takes(path):
    found = [] if path.name in HISTORIES else _fenced(path) + _inline(path)
    problems = [problem for code in found for problem in code.problems()]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(("document", "test"), TYPED.items())
def test_what_runs_on_a_laptop_is_typed_by_a_test(document, test):
    """That test reads its commands from the document itself."""
    text = (PROJECT_DIR / test).read_text()
    assert re.search(rf'"{re.escape(document)}"\).read_text\(\)', text)
    assert _fenced(PROJECT_DIR / document)


def test_the_commands_are_seen():
    fenced = [code for path in DOCUMENTS for code in _fenced(path)]
    commands = [words for code in fenced for words in read_shell(code.text)]
    inline = [code for path in DOCUMENTS for code in _inline(path)]
    assert len(fenced) >= 50
    assert len(commands) >= 180
    assert len(inline) >= 120
    assert {path.name for path in DOCUMENTS} >= {"README.md", "aws.md", "mlflow-server.md"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```\naws logs tail /x --since 1h\n```", "choice"),
        ("```\nexport A=1\nmlops pusch build   # why\n```", "pusch"),
        ("```\nX=$(aws ecs describe-services --foo\n  --bar) # a\n```", "--foo"),
        ("```\nlocal-aws up &\nfrobnicate --now\n```", "nobody knows"),
        ("- look with `local-aws\n  state`", "state"),
        ("try `make frob` now", "no such target"),
        ("see `mlops platform doctor --onyl mlflow`", "--onyl"),
    ],
)
def test_a_command_that_its_tool_refuses_is_found(tmp_path, monkeypatch, text, said):
    monkeypatch.setitem(globals(), "PROJECT_DIR", tmp_path)
    path = tmp_path / "planted.md"
    path.write_text(f"# Planted\n\n{text}\n")
    problems = [problem for code in _fenced(path) + _inline(path) for problem in code.problems()]
    assert any(said in problem for problem in problems), problems


def test_decision_records_have_at_most_40_lines():
    for path in (PROJECT_DIR / "docs/decisions").glob("0*.md"):
        assert len(path.read_text().splitlines()) <= 40, path.name


def test_no_placeholder_is_left_in_the_sources():
    placeholder = re.compile(
        r"\b(TODO|FIXME|XXX|lorem ipsum|(DEMO|TEST) OUTPUT|RESULTS)\b|raise NotImplementedError"
    )
    found = [
        f"{path.relative_to(PROJECT_DIR)}: {match[0]}"
        for path in [*SOURCES, *DOCUMENTS]
        if path != Path(__file__)
        for match in placeholder.finditer(path.read_text())
    ]

    assert not found


def test_nothing_is_named_like_a_test_outside_tests():
    for path in SOURCES:
        if path.suffix == ".py" and "tests" not in path.relative_to(PROJECT_DIR).parts:
            assert not re.search(r"^\s*def test_", path.read_text(), re.MULTILINE), path


def test_no_machine_path_or_registry_host_is_committed():
    unwanted = re.compile(r"/(?:root|work|home/\w+)/|files\.pythonhosted|pypi\.org/simple")
    found = [
        f"{path.relative_to(PROJECT_DIR)}: {match[0]}"
        for path in [*SOURCES, *DOCUMENTS]
        if path != Path(__file__)
        for match in unwanted.finditer(path.read_text())
    ]

    assert not found


# A link to a page of MLflow: see model_deploy/mlflow_pages.py.
_PAGE = re.compile(r"#/(?:experiments|models|runs|\{)[^\s\"'`)]*|/#/[^\s\"'`)]*")


def _page_links(text: str) -> list[str]:
    """Those that would open in the mode that has no models."""
    return [link for link in _PAGE.findall(text) if "workflowType=machine_learning" not in link]


def test_links_to_mlflow_s_pages_are_built_in_one_place():
    builders = {
        path.relative_to(PROJECT_DIR).as_posix()
        for path in SOURCES
        if "tests" not in path.relative_to(PROJECT_DIR).parts and _page_links(path.read_text())
    }

    assert builders == {
        "model_build/steps/train_evaluate_register/mlflow_pages.py",
        "model_deploy/mlflow_pages.py",
    }


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT_DIR)))
def test_links_to_mlflow_s_pages_open_where_the_thing_is(path):
    assert not _page_links(path.read_text())


def test_a_link_without_its_mode_is_found():
    assert _page_links('f"{uri}/#/models/{name}"') == ["/#/models/{name}"]
    assert _page_links('base + "#/experiments/" + run') == ["#/experiments/"]
    assert _page_links("see http://m/#/runs/1, and") == ["/#/runs/1,"]
    assert not _page_links("http://m/#/models/a?workflowType=machine_learning")


def test_ci_calls_the_readme_s_test_command():
    script = PROJECT_DIR / ".ci/run"

    assert script.stat().st_mode & 0o111
    assert "make test" in script.read_text()
    assert "make test" in (PROJECT_DIR / "README.md").read_text()
