"""Great Expectations over the rows of one species, and its Data Docs; the only importer of great_expectations.

The suite is built from params, run once in memory and rendered with GX's own page renderer. Nothing is sent anywhere:
usage statistics are off, and what the page would load from content networks is cut out.
"""

import json
import os
import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read when GX is imported

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.expectations.row_conditions import Column
from great_expectations.render.renderer import ValidationResultsPageRenderer
from great_expectations.render.view import DefaultJinjaPageView

from episome import audit, dataset
from episome.contract import MEASURES, SHORTCUT, Kind, Rule
from episome.types import LABEL

EXAMPLES = 5
_NAMES = ("rule", "task", "split")  # what tells one rule from another
PREFIX = 40

_SETTINGS = DataContextConfig(
    store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
    progress_bars=ProgressBarsConfig(globally=False),
    analytics_enabled=False,
)
_OUTSIDE = re.compile(
    r"<(script|noscript|style)\b.*?</\1>|<!--.*?-->|<(?:link|img)\b[^>]*>"
    r"""|\s(?:href|src)=["'](?!#)[^"']*["']""",
    flags=re.DOTALL,
)
_RANDOM = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_STYLE = """<style>
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color:#222;background:#fff}
table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}
td,th{border:1px solid #ccc;padding:.35rem .6rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}
.badge{background:#e8eef5;border-radius:.2rem;padding:0 .3rem}
i.fas{font-style:normal}i.text-success{color:#136c2e}i.text-danger{color:#a3111f;font-weight:bold}
td i.text-success::before{content:"holds"}td i.text-danger::before{content:"FAILED"}
nav,footer,.modal,.collapse,a[data-toggle],.col-lg-2{display:none}
</style>"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the suite found.

    Attributes:
        passed: no rule failed.
        rules: every rule with its verdict and what was observed.
        failures: the failed rules with count and example rows.
        page: Data Docs of this run, one self-contained HTML page.
    """

    passed: bool
    rules: list[dict[str, Any]]
    failures: list[dict[str, Any]]
    page: str


def suite(species: str, rules: Sequence[Rule]) -> gx.ExpectationSuite:
    """The rules as expectations; meta names an expectation's rule, task and split, its description says it in words."""
    return gx.ExpectationSuite(name=species, expectations=[_compiled(rule) for rule in rules])


def _compiled(rule: Rule) -> gxe.Expectation:
    about = _about(rule) | ({} if (asked := _asked(rule)) is None else {"row_condition": asked})
    on = {"column": rule.column, **about}
    between = {"min_value": rule.least, "max_value": rule.most}
    compiled: dict[Kind, Callable[[], gxe.Expectation]] = {
        "lacks": lambda: gxe.ExpectColumnValuesToNotMatchRegex(regex=rule.pattern, **on),
        "matches": lambda: gxe.ExpectColumnValuesToMatchRegex(regex=rule.pattern, **on),
        "among": lambda: gxe.ExpectColumnValuesToBeInSet(value_set=list(rule.values), **on),
        "range": lambda: gxe.ExpectColumnValuesToBeBetween(**between, **on),
        "unique": lambda: gxe.ExpectColumnValuesToBeUnique(**on),
        "rare": lambda: gxe.ExpectColumnValuesToBeInSet(value_set=[False], mostly=1 - (rule.most or 0), **on),
        "count": lambda: gxe.ExpectTableRowCountToBeBetween(min_value=rule.least, **about),
        "mean": lambda: gxe.ExpectColumnMeanToBeBetween(**between, **on),
    }
    return compiled[rule.kind]()


def _about(rule: Rule) -> dict[str, Any]:
    """Name and wording of a rule, as arguments of an expectation."""
    where = " ".join(filter(None, (rule.task, rule.split)))
    description = f"{rule.name}{f' ({where})' if where else ''}: {rule.wanted}"
    meta = {"rule": rule.name, "task": rule.task, "split": rule.split, "wanted": rule.wanted}
    return {"meta": meta, "description": description}


def _asked(rule: Rule) -> Any:
    """Which rows a rule is about; None where the column itself is empty for all others."""
    if rule.split:
        return (Column(LABEL + rule.task) >= 0) & (Column("split") == rule.split)
    return Column(LABEL + rule.task) >= 0 if rule.task and rule.column in MEASURES else None


def validate(audited: pd.DataFrame, species: str, rules: Sequence[Rule]) -> Outcome:
    """Run the rules over rows that carry the columns of `episome.audit`; indices are row numbers."""
    context = gx.get_context(mode="ephemeral", project_config=_SETTINGS)
    asset = context.data_sources.add_pandas("windows").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": audited})
    asked = {"result_format": "SUMMARY", "partial_unexpected_count": EXAMPLES}
    result = batch.validate(suite(species, rules), result_format=asked)
    plain = json.loads(json.dumps(result.to_json_dict()["results"]))
    # Results come in an order of GX's own.
    by_rule = {tuple(one["expectation_config"]["meta"][name] for name in _NAMES): one for one in plain}
    found = [(rule, by_rule[rule.name, rule.task, rule.split]) for rule in rules]
    lines = [_line(audited, rule, one) for rule, one in found]
    failures = [
        {**line, "examples": _examples(audited, rule, one["result"])}
        for line, (rule, one) in zip(lines, found, strict=True)
        if not one["success"]
    ]
    return Outcome(passed=not failures, rules=lines, failures=failures, page=_page(result, plain))


def write_docs(outcome: Outcome, folder: Path) -> None:
    """Write the Data Docs page as ``index.html``; the same rows and rules give the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.html").write_text(outcome.page, encoding="utf-8")


def _line(audited: pd.DataFrame, rule: Rule, one: dict[str, Any]) -> dict[str, Any]:
    """One rule's verdict.

    `count` is the number of offending rows. `observed` is what a rule about a whole split saw, the largest value where
    a largest one is allowed, or the share of exceptions where some are; None where nothing could be judged.
    """
    result = one["result"]
    observed = result.get("observed_value")
    if rule.kind == "range" and rule.least is None:
        observed = float(largest) if pd.notna(largest := audited[rule.column].max()) else None
    elif rule.kind == "rare" and (percent := result.get("unexpected_percent_nonmissing")) is not None:
        observed = round(percent / 100, 6)
    return {
        **one["expectation_config"]["meta"],
        "passed": one["success"],
        "count": result.get("unexpected_count"),
        "observed": observed,
        "error": one["exception_info"].get("exception_message"),
    }


def _examples(audited: pd.DataFrame, rule: Rule, result: dict[str, Any]) -> list[dict[str, Any]]:
    """The first offending rows; of a whole split the first of the larger class; of a shortcut the most extreme ones."""
    if rule.split:
        labels = audited[dataset.label_column(rule.task)]
        labels = labels[(labels >= 0) & (audited["split"] == rule.split)]
        rows = list(labels.index[labels.isin(labels.mode()[:1])][:EXAMPLES])
    elif rule.name.startswith(SHORTCUT):
        rows = audit.most_telling(audited, rule, EXAMPLES)
    else:
        rows = result.get("partial_unexpected_index_list", [])[:EXAMPLES]
    return [_example(audited, rule, int(row)) for row in rows]


def _example(audited: pd.DataFrame, rule: Rule, row: int) -> dict[str, Any]:
    given: dict[Hashable, Any] = audited.loc[[row]].to_dict("records")[0]
    labels = {task: int(given[dataset.label_column(task)]) for task in dataset.tasks(audited)}
    return {
        "row": row,
        "sequence": given["sequence"][:PREFIX],
        "labels": {task: label for task, label in labels.items() if label != -1},
        "split": given["split"],
        "kind": given["negative_kind"],
        "origin": given["origin"],
        "place": f"{given['contig']}:{given['start']}-{given['end']}" if given["contig"] else "",
        **({rule.shown.rpartition(":")[2]: _short(given[rule.shown])} if rule.shown else {}),
    }


def _short(value: str | float) -> str | float:
    return value if isinstance(value, str) else round(float(value), 4)


def _page(result: ExpectationSuiteValidationResult, plain: list[dict[str, Any]]) -> str:
    """GX's page of a validation result, without its clock, random ids, scripts and outside addresses."""
    result.meta.pop("batch_markers", None)  # the time of loading
    for one, as_json in zip(result.results, plain, strict=True):
        one.result = as_json["result"]  # GX's renderer cannot print numpy scalars, which its own dump leaves in place
    page = DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(result))
    page = _OUTSIDE.sub("", page)
    for number, random in enumerate(dict.fromkeys(_RANDOM.findall(page))):
        page = page.replace(random, f"id-{number}")
    title = f"Data check of {result.suite_name}: {'passed' if result.success else 'failed'}"
    return page.replace("</head>", f"{_STYLE}</head>", 1).replace("<body>", f"<body><h1>{title}</h1>", 1)
