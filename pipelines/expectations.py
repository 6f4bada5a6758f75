"""Great Expectations over the rows of one species, and its Data Docs; the only importer of great_expectations.

The suite is built from params, run once in memory and rendered with GX's own page renderer. Nothing is sent anywhere:
usage statistics are off, and what the page would load from content networks is cut out.
"""

import json
import os
import re
from collections.abc import Hashable, Sequence
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

from episome import dataset
from episome.params import Check
from episome.types import Split, Task

EXAMPLES = 5
PREFIX = 40
SPLITS: tuple[Split, ...] = ("train", "val", "test")

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


def suite(species: str, tasks: Sequence[Task], limits: Check) -> gx.ExpectationSuite:
    """The rules, from params; meta names an expectation's rule, task and split, its description says it in words."""
    most_n = _about("n_share", f"at most {limits.max_n_share:.1%} of a row is N")
    expectations: list[gxe.Expectation] = [
        gxe.ExpectColumnValuesToMatchRegex(
            column="sequence", regex="^[ACGTN]+$", **_about("alphabet", "every base is A, C, G, T or N")
        ),
        gxe.ExpectColumnValuesToBeBetween(column="n_share", max_value=limits.max_n_share, **most_n),
        gxe.ExpectColumnValuesToBeInSet(
            column="species", value_set=[species], **_about("species", f"every row is of {species}")
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="split", value_set=list(SPLITS), **_about("split", "every row is in train, val or test")
        ),
    ]
    for task in tasks:
        expectations += [*_row_rules(task, limits), *_split_rules(task, limits)]
    return gx.ExpectationSuite(name=species, expectations=expectations)


def _about(rule: str, words: str, task: str = "", split: str = "") -> dict[str, Any]:
    """Name and wording of a rule, as arguments of an expectation."""
    where = " ".join(filter(None, (task, split)))
    description = f"{rule}{f' ({where})' if where else ''}: {words}"
    return {"meta": {"rule": rule, "task": task, "split": split, "wanted": words}, "description": description}


def _row_rules(task: Task, limits: Check) -> list[gxe.Expectation]:
    """Rules about single rows of one task, over the columns of `episome.audit`."""
    name, sequence = task.name, f"{task.name}_sequence"
    overlap = limits.max_split_overlap

    def rarely(column: str, rule: str, share: float, words: str) -> gxe.Expectation:
        about = _about(rule, f"at most {share:.1%} of the {words}", name)
        return gxe.ExpectColumnValuesToBeInSet(column=f"{name}_{column}", value_set=[False], mostly=1 - share, **about)

    rules: list[gxe.Expectation] = [
        gxe.ExpectColumnValuesToBeInSet(
            column=dataset.label_column(name),
            value_set=[dataset.MISSING, 0, 1],
            **_about("label", "every label is 0, 1 or missing (-1)", name),
        ),
        gxe.ExpectColumnValuesToBeUnique(
            column=f"{name}_place",
            **_about("duplicates", "no locus, or sequence where there is none, twice in a split of a release", name),
        ),
        rarely("contradicts", "contradictions", limits.max_contradictions, "sequences carry both labels"),
        rarely("test_in_train", "split_overlap", overlap, "test rows are in train too, on either strand"),
        rarely("group_in_train", "group_overlap", overlap, "test rows have a homology group that is in train too"),
    ]
    if task.window is not None:
        about = _about("length", f"every sequence has {task.window} bases", name)
        rules.append(gxe.ExpectColumnValueLengthsToEqual(column=sequence, value=task.window, **about))
    if task.window is not None and task.motif is not None:
        centre = task.window // 2
        about = _about("motif", f"every sequence has {task.motif} at base {centre}, counted from 0", name)
        regex = f"^.{{{centre}}}{task.motif}"
        rules.append(gxe.ExpectColumnValuesToMatchRegex(column=sequence, regex=regex, **about))
    return rules


def _split_rules(task: Task, limits: Check) -> list[gxe.Expectation]:
    """Fewest rows and class balance of one task in each split."""
    low, high = limits.class_share
    label = dataset.label_column(task.name)
    rules: list[gxe.Expectation] = []
    for split in SPLITS:
        where = (Column(label) >= 0) & (Column("split") == split)
        fewest: int = getattr(limits.min_rows, split)
        enough = _about("min_rows", f"at least {fewest} rows", task.name, split)
        balanced = _about("class_share", f"{low:.0%} to {high:.0%} of the rows are positive", task.name, split)
        rules += [
            gxe.ExpectTableRowCountToBeBetween(min_value=fewest, row_condition=where, **enough),
            gxe.ExpectColumnMeanToBeBetween(
                column=label, min_value=low, max_value=high, row_condition=where, **balanced
            ),
        ]
    return rules


def validate(audited: pd.DataFrame, rules: gx.ExpectationSuite) -> Outcome:
    """Run the suite over rows that carry the columns of `episome.audit`; indices are row numbers."""
    context = gx.get_context(mode="ephemeral", project_config=_SETTINGS)
    asset = context.data_sources.add_pandas("windows").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": audited})
    asked = {"result_format": "SUMMARY", "partial_unexpected_count": EXAMPLES}
    result = batch.validate(rules, result_format=asked)
    plain = json.loads(json.dumps(result.to_json_dict()["results"]))
    lines = [_line(one) for one in plain]
    failures = [{**_line(one), "examples": _examples(audited, one)} for one in plain if not one["success"]]
    return Outcome(passed=not failures, rules=lines, failures=failures, page=_page(result, plain))


def write_docs(outcome: Outcome, folder: Path) -> None:
    """Write the Data Docs page as ``index.html``; the same rows and rules give the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.html").write_text(outcome.page, encoding="utf-8")


def _line(one: dict[str, Any]) -> dict[str, Any]:
    """One rule's verdict; `count` is the number of offending rows, or of the rows that a whole-split rule saw."""
    result = one["result"]
    return {
        **one["expectation_config"]["meta"],
        "passed": one["success"],
        "count": result.get("unexpected_count"),
        "observed": result.get("observed_value"),
        "error": one["exception_info"].get("exception_message"),
    }


def _examples(audited: pd.DataFrame, one: dict[str, Any]) -> list[dict[str, Any]]:
    """The first offending rows; for a rule about a whole split its first rows, the larger class first."""
    meta = one["expectation_config"]["meta"]
    if meta["split"]:
        labels = audited[dataset.label_column(meta["task"])]
        labels = labels[(labels >= 0) & (audited["split"] == meta["split"])]
        rows = list(labels.index[labels.isin(labels.mode()[:1])][:EXAMPLES])
    else:
        rows = one["result"].get("partial_unexpected_index_list", [])[:EXAMPLES]
    return [_example(audited, int(row)) for row in rows]


def _example(audited: pd.DataFrame, row: int) -> dict[str, Any]:
    given: dict[Hashable, Any] = audited.loc[[row]].to_dict("records")[0]
    labels = {task: int(given[dataset.label_column(task)]) for task in dataset.tasks(audited)}
    return {
        "row": row,
        "sequence": given["sequence"][:PREFIX],
        "labels": {task: label for task, label in labels.items() if label != -1},
        "split": given["split"],
        "origin": given["origin"],
        "place": f"{given['contig']}:{given['start']}-{given['end']}" if given["contig"] else "",
    }


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
