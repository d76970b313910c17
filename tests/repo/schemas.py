"""The JSON schemas of the files that people edit, made from what their readers go by.

`UPDATE_GOLDEN=1 .venv/bin/python -m pytest tests/repo/test_schemas.py` writes them anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlops.platform.stacks import PLATFORM
from mlops.platform.templates import as_text, read_template
from model_deploy import deploy_request, stage_config
from model_deploy.model_name import LONGEST

PROJECT_DIR = Path(__file__).parents[2]
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_NAMED = {"type": "string", "description": "The schema that editors check this file by."}
# Unlike `$` alone, in Python's expressions too nothing may follow.
_END = r"$(?!\n)"
_NO_PLACEHOLDER = "What stands where nobody wrote a reason (tbd, a reason, n/a) is none."


def schemas() -> dict[Path, dict[str, Any]]:
    """Each schema by its file."""
    return {
        PROJECT_DIR / "model_deploy/deploy.schema.json": _deploy(),
        PROJECT_DIR / "model_deploy/stage-config.schema.json": _stage(),
        PROJECT_DIR / "infra/platform/settings.schema.json": _settings(),
    }


def _object(properties: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties, **more}


def _document(title: str, description: str, content: dict[str, Any]) -> dict[str, Any]:
    content["properties"] = {"$schema": _NAMED, **content["properties"]}
    return {"$schema": _DRAFT, "title": title, "description": description, **content}


def _deploy() -> dict[str, Any]:
    unseen = r"\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
    seen = rf"[^/:{unseen}]"
    reasons = {"$ref": "#/$defs/reason"}
    content = _object(
        {
            "model_name": {
                "type": "string",
                "minLength": 1,
                "maxLength": LONGEST,
                "pattern": rf"^(?!\s)(?!\.$|\.\.){seen}*(?<!\s){_END}",
                "description": "The registered model in MLflow: no / and no :, no spaces around it",
            },
            "model_version": {
                "anyOf": [
                    {"type": "integer", "minimum": 1, "maximum": 999_999_999},
                    {
                        "type": "string",
                        "pattern": f"^({deploy_request._VERSION.pattern}){_END}",
                    },
                ],
                "examples": ["latest", 3, "@challenger"],
                "description": 'A number, "latest", or an alias such as "@challenger"; looked up '
                "once, when it is built, then the number is used.",
            },
            "trusted_types": {
                "type": "object",
                "propertyNames": {"pattern": f"^{deploy_request._TYPE.pattern}{_END}"},
                "additionalProperties": reasons,
                "description": "Types that the model's skops file may make, besides those "
                "reviewed here, each with the reason: what was read, and where.",
            },
            "accept": {
                "type": "object",
                "propertyNames": {"enum": list(deploy_request._ACCEPTABLE)},
                "additionalProperties": reasons,
                "description": "Checks that the endpoint's test leaves out, each with the reason: "
                "no_offline_comparison, its answers are not compared with the model's own. "
                "Message, results and tags say so.",
            },
            "code_on_load": {
                "enum": [deploy_request.TELL, deploy_request.FORBID],
                "default": deploy_request.TELL,
                "description": "forbid refuses a version that runs code when it is loaded.",
            },
        },
        required=["model_name", "model_version"],
    )
    content["$defs"] = {
        "reason": {"type": "string", "pattern": _reason(), "description": _NO_PLACEHOLDER}
    }
    return _document(
        "What is deployed",
        "deploy.json: which model version, and what of it was reviewed. Flags of build-deployment "
        "win; what was reviewed counts only for the model that it names.",
        content,
    )


def _reason() -> str:
    """No placeholder in any case, whatever punctuation is around it."""

    def any_case(word: str) -> str:
        return "".join(
            f"[{letter}{letter.upper()}]" if letter.isalpha() else letter for letter in word
        )

    words = "|".join(any_case(word) for word in sorted(deploy_request._PLACEHOLDERS) if word)
    around = r"""[ \t\r\n.,:;!?<>\[\](){}"'`_*\-]*"""
    return rf"^(?!{around}({words})?{around}{_END})"


def _stage() -> dict[str, Any]:
    template = read_template("../model_deploy/endpoint-config-template.yml")
    decided = set(stage_config._BUILT_PARAMETERS)
    parameters = {
        # An empty value says nothing.
        name: _parameter(declared, empty=True)
        for name, declared in template.parameters.items()
        if name not in decided
    }
    told = {
        "Requests": "How many requests are sent; 90 notice a failure rate of 5 %.",
        "ConcurrentRequests": "How many at a time; no more than Requests.",
        "MaxP95LatencyInMs": "Above this p95 the test fails; empty: LatencyThresholdInMs.",
    }
    test = {
        name: {
            "anyOf": [{"type": "integer", "minimum": least, "maximum": most}, {"const": ""}],
            "description": told[name],
        }
        for name, (least, most) in stage_config._TEST_RANGES.items()
    }
    tag = {
        "anyOf": [
            {"type": "number"},
            {"type": "array", "items": {"type": "string"}},
            {
                "type": "string",
                "minLength": 1,
                "maxLength": stage_config._MAX_TAG_VALUE,
                "pattern": f"^{stage_config._TAG_TEXT.pattern}{_END}",
            },
        ]
    }
    return _document(
        "A stage of deployment",
        "staging-config.json, prod-config.json: what differs from the flags and the endpoint "
        "template's defaults. The project's name, the archive and the version's tags come from "
        "the build.",
        _object(
            {
                "Parameters": _object(
                    parameters, description="Of endpoint-config-template.yml; empty says nothing."
                ),
                "Tags": {
                    "type": "object",
                    "propertyNames": {
                        "maxLength": stage_config._MAX_TAG_KEY,
                        "pattern": f"^(?![aA][wW][sS]:){stage_config._TAG_TEXT.pattern}{_END}",
                    },
                    "additionalProperties": tag,
                    "description": "Of the stack and what it makes.",
                },
                "Test": _object(test, description="How the stage's endpoint is judged."),
            }
        ),
    )


def _settings() -> dict[str, Any]:
    stacks = {
        kind.key: _object(
            {name: _parameter(each) for name, each in kind.template().parameters.items()},
            description=f"infra/platform/{kind.template_name}",
        )
        for kind in PLATFORM
    }
    return _document(
        "The platform of an account",
        "What `mlops platform deploy --settings FILE` puts up. A parameter that is left out has "
        "the template's default.",
        _object(
            {
                "region": {
                    "type": ["string", "null"],
                    "description": "The AWS region; null: the environment's, or --region.",
                },
                "stacks": _object(
                    stacks,
                    minProperties=1,
                    description="What is put up, with its parameters.",
                )
                # They publish the same parameters.
                | {"not": {"required": ["mlflow", "mlflow-managed"]}},
                "tags": {
                    "type": "object",
                    "description": "Of every stack and what it makes.",
                },
            },
            required=["stacks"],
        ),
    )


def _parameter(declared: Mapping[str, Any], *, empty: bool = False) -> dict[str, Any]:
    """What a file may give for a parameter of a template; with `empty` also nothing.

    Looser than CloudFormation in what the readers turn into text: a number or a list for a text.
    """
    kind = str(declared["Type"])
    described = {
        keyword: " ".join(declared[name].split()) if name == "Description" else declared[name]
        for name, keyword in (("Description", "description"), ("Default", "default"))
        if name in declared
    }
    if "AllowedValues" in declared:
        allowed = [as_text(value) for value in declared["AllowedValues"]]
        values: list[Any] = [*allowed, *(int(value) for value in allowed if value.isdigit())]
        values += [value == "true" for value in allowed if value in ("true", "false")]
        return {**described, "enum": [*values, *([""] if empty and "" not in values else [])]}
    if kind == "Number":
        number = {"type": "number", **_limits(declared, minimum="MinValue", maximum="MaxValue")}
        text = r"(-?\d+(\.\d+)?)?" if empty else r"-?\d+(\.\d+)?"
        return {
            **described,
            "anyOf": [number, {"type": "string", "pattern": f"^{text}{_END}"}],
        }
    string: dict[str, Any] = {"type": "string", **_limits(declared, maxLength="MaxLength")}
    if not empty:
        string |= _limits(declared, minLength="MinLength")
    if "AllowedPattern" in declared and kind == "String":
        inner = str(declared["AllowedPattern"]).removeprefix("^").removesuffix("$")
        string["pattern"] = f"^(?:{inner}){'?' if empty else ''}{_END}"
    others = [{"type": "number"}, {"type": "array", "items": {"type": "string"}}]
    # The stages' reader takes no true and false.
    return {**described, "anyOf": [string, *others, *([] if empty else [{"type": "boolean"}])]}


def _limits(declared: Mapping[str, Any], **keywords: str) -> dict[str, Any]:
    return {name: declared[limit] for name, limit in keywords.items() if limit in declared}
