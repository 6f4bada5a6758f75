"""``dashboard.html``: the whole report as one page that loads nothing from anywhere."""

import base64
from collections.abc import Sequence
from html import escape
from itertools import groupby

import pandas as pd

from episome import datapage
from episome.pictures import Picture
from episome.report import resources, vega, words
from episome.report.cells import Grid
from episome.report.checks import Check
from episome.report.drawing import Panel, Sheet, headed, svg

_STYLE = """
h4{font-size:1rem;margin:0 0 .25rem}.pictures{grid-template-columns:repeat(auto-fill,minmax(min(100%,21rem),1fr))}
.skip{position:absolute;left:-99rem}.skip:focus{position:static}
:focus-visible{outline:3px solid var(--link);outline-offset:2px}
nav{display:flex;flex-wrap:wrap;gap:.25rem 1rem}nav a{margin:0}
.marks{display:flex;flex-wrap:wrap;gap:.5rem;padding:0;list-style:none}
.check{border-left:.35rem solid var(--line);padding:.25rem 0 .25rem .75rem;margin:.75rem 0}
.check.fails{border-color:var(--warn)}.check p{margin:.1rem 0}.check ul{margin:.25rem 0;padding-left:1.25rem}
.state{font-weight:600}.fails .state{color:var(--warn)}
.wide td:first-child,.wide th:first-child{position:sticky;left:0;background:var(--page)}
figcaption a{display:inline-block;padding:.2rem 0}dt{font-weight:600}dd{margin:0 0 .5rem 1rem}
h3.of{margin:1.5rem 0 .25rem;font-size:1.1rem}
@media(max-width:40rem){.wide td:first-child,.wide th:first-child{position:static}}
"""


def page(grid: Grid, sheets: Sequence[Sheet], frame: pd.DataFrame, checks: Sequence[Check]) -> str:
    """The page of a study.

    Args:
        grid: of the study.
        sheets: all pictures.
        frame: `scores.table`.
        checks: what was hoped for.
    """
    title = f"Transfer study: {grid.setting.world}"
    links = "".join(f'<a href="#{escape(each.name)}">{escape(each.title)}</a>' for each in sheets)
    said = "".join(f'<li class="simulated">{escape(note)}</li>' for note in words.notes(grid))
    body = f"""<a class="skip" href="#held">To the content</a>
<header><h1>{escape(title)}</h1>
{f'<ul class="marks">{said}</ul>' if said else ""}
<p>{escape(_extent(grid))}</p>
<nav aria-label="Parts"><a href="#held">What did not hold</a>{links}<a href="#table">Every method</a>
<a href="#definitions">Definitions</a></nav></header>
<main>
{_checks(checks)}
{"".join(_sheet(each, grid, _more(each)) for each in sheets)}
{_table(grid, frame)}
{_definitions()}
</main>"""
    return datapage.whole(title, datapage.STYLE + _STYLE, body)


def _extent(grid: Grid) -> str:
    seeds = sorted({run.seed for cell in grid.cells for run in cell.runs})
    runs = sum(len(cell.runs) for cell in grid.cells)
    several = "" if len(seeds) > 1 else " With one seed nothing is said of the spread over seeds."
    return (
        f"{len(grid.setting.species)} species ({', '.join(grid.setting.species)}), tasks {', '.join(grid.tasks)}, "
        f"{runs} runs, seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}. "
        f"Intervals: {grid.setting.confidence:.0%}, {grid.setting.bootstrap} draws of whole homology groups.{several}"
    )


def _checks(checks: Sequence[Check]) -> str:
    parts = []
    for check in checks:
        listed = "".join(f"<li>{escape(failure)}</li>" for failure in check.failures)
        style = "check fails" if check.held is False else "check"
        parts.append(
            f'<div class="{style}"><p><span class="state">{words.state(check)}:</span> {escape(check.claim)} '
            f"({escape(check.words)}).</p>{f'<ul>{listed}</ul>' if listed else ''}</div>"
        )
    head = '<h2 id="held-head">What did not hold</h2>'
    return f'<section id="held" aria-labelledby="held-head">{head}{"".join(parts)}</section>'


def _sheet(sheet: Sheet, grid: Grid, more: str = "") -> str:
    drawn = ""
    for group, panels in groupby(sheet.panels, key=lambda panel: panel.group):
        figures = "".join(_figure(panel, svg(panel, grid.marks), grid.marks) for panel in panels)
        head = f'<h3 class="of">Task {escape(group)}</h3>' if group else '<h3 class="of">All tasks</h3>'
        drawn += f'{head}<div class="pictures">{figures}</div>'
    said = "".join(f"<p>{escape(each)}</p>" for each in sheet.said)
    whole = _download(f"{sheet.name}.csv", "text/csv", csv(sheet.data))
    spec = _download(f"{sheet.name}.vl.json", "application/json", vega.filled(sheet.name, sheet.data, grid.marks))
    return f"""
<section id="{sheet.name}" aria-labelledby="{sheet.name}-head">
<h2 id="{sheet.name}-head">{escape(sheet.title)}</h2>
{said}<p>All numbers of this part: {whole}, as Vega-Lite: {spec}</p>
{drawn}
{more}</section>"""


def _more(sheet: Sheet) -> str:
    """The table of resources, where the sheet holds them."""
    if "metric" not in sheet.data or not sheet.data["metric"].isin(resources.RESOURCES).any():
        return ""
    inner = datapage.table(*words.resources(sheet.data))
    return f'<div class="wide" tabindex="0" role="region" aria-label="Resources">{inner}</div>'


def csv(data: pd.DataFrame) -> str:
    """A table as text, six digits."""
    return str(data.to_csv(index=False, lineterminator="\n", float_format="%.6g"))


def _download(name: str, kind: str, text: str) -> str:
    data = base64.b64encode(text.encode("utf-8")).decode("ascii")
    return f'<a download="{escape(name)}" href="data:{kind};base64,{data}">{escape(name)}</a>'


def _figure(panel: Panel, drawn: Picture, marks: Sequence[str]) -> str:
    name, title = escape(panel.name), escape(panel.title)
    said = f" ({', '.join(marks)})" if marks else ""
    return f"""<figure id="{name}">
<h4>{title}</h4>
<div role="img" aria-label="{escape(f"{headed(panel)}{said}. {panel.caption} {panel.words}")}">{drawn.svg}</div>
<figcaption>{escape(panel.caption)}<br>{_download(f"{panel.name}.csv", "text/csv", csv(panel.data))}</figcaption>
</figure>
"""


def _table(grid: Grid, frame: pd.DataFrame) -> str:
    parts = []
    for task in grid.tasks:
        for target in grid.targets(task):
            name = escape(f"Task {task} on {target}")
            inner = datapage.table(words.HEAD, words.table(frame, task, target))
            place = f'class="wide" tabindex="0" role="region" aria-label="{name}"'
            parts.append(f'<h3 class="of">{name}</h3><div {place}>{inner}</div>')
    whole = _download("table.csv", "text/csv", csv(frame))
    return (
        '<section id="table" aria-labelledby="table-head"><h2 id="table-head">Every method</h2>'
        f"<p>All lines: {whole}</p>{''.join(parts)}</section>"
    )


def _definitions() -> str:
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(said)}</dd>" for name, said in words.DEFINITIONS)
    inner = f"<summary>Definitions of c, Z, M, S, U and the rest</summary><dl>{listed}</dl>"
    return f'<section id="definitions"><details>{inner}</details></section>'
