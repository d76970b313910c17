"""What was made of the table, for people: the same as JSON and as one page."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from column_profile import MOST_DISTINCT

if TYPE_CHECKING:
    from preparation import Prepared

_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem; max-width: 75rem }
table { border-collapse: collapse; margin: 0 0 1.5rem }
th, td { padding: .2rem .7rem; border-bottom: 1px solid #ccc; text-align: left }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
li.warning { font-weight: 600 }
"""


def build_report(described: Mapping[str, Any], prepared: "Prepared") -> dict[str, Any]:
    """dataset.json's facts, and for each column what it holds in either part."""
    formats = {row["name"]: row.get("format") for row in described["columns"]}
    kinds = {row["name"]: row["kind"] for row in described["columns"]}
    kinds[prepared.target] = prepared.target_kind
    rows = []
    for name, kind in kinds.items():
        train, test = (prepared.profiles[part][name] for part in ("train", "test"))
        odd = prepared.odd_values.get(name)
        rows.append(
            {
                "name": name,
                "kind": kind,
                "format": formats.get(name),
                "is_target": name == prepared.target,
                "missing": train.missing + test.missing,
                "missing_in_training": train.missing,
                "distinct_in_training": train.distinct,
                "least": _ends(train.least, test.least, min),
                "most": _ends(train.most, test.most, max),
                "odd_values": odd.count if odd else 0,
                "first_odd_value": str(odd) if odd else None,
            }
        )
    findings = [
        {"column": finding.column, "message": finding.message, "warning": finding.warning}
        for finding in prepared.findings
    ]
    # The features stand in "columns" in full; dataset.json has them for the training step.
    facts = {
        name: value for name, value in described.items() if name not in ("columns", "warnings")
    }
    return {**facts, "findings": findings, "columns": rows, "target_values": prepared.targets}


def render_page(report: Mapping[str, Any]) -> str:
    """The report as an HTML page that needs nothing else."""
    target = report["target"]
    facts = [
        ("source", report["source"]),
        ("target", target),
        ("task", report["task"]),
        ("rows", f"{report['train_rows']} to train, {report['test_rows']} to test"),
        ("split", f"{report['split_by']}, seed {report['random_seed']}"),
        ("exact copies of other rows", str(report["duplicate_rows"])),
        ("rows left out without a target", str(report["rows_without_target"])),
        ("digest", report["digest"]),
    ]
    findings = "".join(_render_finding(finding) for finding in report["findings"])
    dropped = [(row["name"], row["reason"]) for row in report["dropped_columns"]]
    objects = [(row["uri"], row["etag"], row["size_bytes"]) for row in report["objects"][:100]]
    return "\n".join(
        [
            '<!doctype html><html lang="en"><meta charset="utf-8">',
            f"<title>Data of {_text(report['source'])}</title><style>{_STYLE}</style>",
            "<h1>Data report</h1>",
            _render_table((), facts),
            f"<h2>Worth knowing</h2><ul>{findings or '<li>nothing odd was found</li>'}</ul>",
            "<h2>Columns</h2>",
            _render_columns(report["columns"]),
            f"<h2>Values of the target, {_text(target)}</h2>",
            _render_targets(report["target_values"], report["task"]),
            "<h2>Columns left out</h2>" + _render_table(("column", "because"), dropped)
            if dropped
            else "",
            "<h2>Objects</h2>" + _render_table(("object", "ETag", "bytes"), objects)
            if objects
            else "",
            "</html>\n",
        ]
    )


def _ends(one: Any, other: Any, choose: Any) -> Any:
    known = [value for value in (one, other) if value is not None]
    if not known:
        return None
    end = choose(known)
    return end if isinstance(end, float) else end.isoformat().removesuffix("T00:00:00")


def _render_finding(finding: Mapping[str, Any]) -> str:
    about = f"<code>{_text(finding['column'])}</code>: " if finding["column"] else ""
    kind = ' class="warning"' if finding["warning"] else ""
    return f"<li{kind}>{about}{_text(finding['message'])}</li>"


def _render_columns(columns: Sequence[Mapping[str, Any]]) -> str:
    heads = ("column", "kind", "missing", "distinct in training", "least", "most", "odd values")
    return _render_table(
        heads,
        [
            (
                row["name"] + (" (target)" if row["is_target"] else ""),
                row["kind"] + _tell_format(row["format"]),
                row["missing"],
                _tell_distinct(row["distinct_in_training"]),
                row["least"],
                row["most"],
                f"{row['odd_values']}: {row['first_odd_value']}" if row["odd_values"] else "",
            )
            for row in columns
        ],
    )


def _render_targets(targets: Mapping[str, Mapping[str, Any]], task: str) -> str:
    if task == "classification":
        return _render_classes(targets)
    shares = list(targets["train"]["quantiles"])
    heads = ("part", "mean", *(f"{float(share):.0%}" for share in shares))
    return _render_table(
        heads,
        [
            (part, values["mean"], *(values["quantiles"][share] for share in shares))
            for part, values in targets.items()
        ],
    )


def _render_classes(targets: Mapping[str, Mapping[str, Any]]) -> str:
    rows = {
        part: {item["class"]: item["rows"] for item in values["classes"]}
        for part, values in targets.items()
    }
    heads = ["class"]
    for part in rows:
        heads += [f"{part} rows", "share"]
    return _render_table(
        heads,
        [
            (
                str(name),
                *(
                    cell
                    for counts in rows.values()
                    for cell in (counts.get(name, 0), counts.get(name, 0) / sum(counts.values()))
                ),
            )
            for name in sorted(set().union(*rows.values()))
        ],
    )


def _tell_format(written: Mapping[str, Any] | None) -> str:
    if not written:
        return ""
    told = [f"{name} {value}" for name, value in written.items() if value]
    return f" ({', '.join(told)})"


def _tell_distinct(count: int) -> str:
    return str(count) if count <= MOST_DISTINCT else f"over {MOST_DISTINCT}"


def _render_table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(_render_cell(value) for value in row) + "</tr>" for row in rows)
    return f"<table>{f'<tr>{head}</tr>' if heads else ''}{body}</table>"


def _render_cell(value: Any) -> str:
    if isinstance(value, float):
        return f'<td class="number">{value:.6g}</td>'
    if isinstance(value, int):
        return f'<td class="number">{value}</td>'
    return f"<td>{_text('' if value is None else value)}</td>"


def _text(value: Any) -> str:
    return html.escape(str(value))
