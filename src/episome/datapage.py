"""One page per species with the cards and pictures of its tasks; it loads nothing from anywhere."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from episome import datacard
from episome.pictures import Picture

STYLE = """
:root{color-scheme:light dark;--ink:#1d2327;--faint:#5a6570;--page:#fff;--card:#f6f7f8;--line:#d5dade;
--warn:#8a3a00;--link:#005a8e}
@media(prefers-color-scheme:dark){
:root{--ink:#e6e9ec;--faint:#a6b0ba;--page:#14181b;--card:#1e2428;--line:#3a444c;--warn:#ffb675;--link:#7cc4f0}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:84rem;padding:1rem clamp(.75rem,3vw,2rem) 3rem;background:var(--page);color:var(--ink);
font:1rem/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;line-height:1.25;margin:.5rem 0}
h2{font-size:1.3rem;margin:2.5rem 0 .75rem;border-top:1px solid var(--line);padding-top:1.25rem}
h3{font-size:1rem;margin:0 0 .25rem}
a{color:var(--link)}nav a{margin-right:1rem}
.simulated{border:2px solid var(--warn);color:var(--warn);border-radius:.4rem;padding:.5rem .75rem;font-weight:600}
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,23rem),1fr));gap:1rem;margin:1rem 0}
figure{margin:0;padding:.75rem;background:var(--card);border:1px solid var(--line);border-radius:.4rem;min-width:0}
figure svg{display:block;width:100%;height:auto;color:var(--ink)}
figcaption{font-size:.85rem;color:var(--faint);overflow-wrap:anywhere}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem;margin:.5rem 0 1rem}
th,td{border-bottom:1px solid var(--line);padding:.25rem .75rem .25rem 0;text-align:left;vertical-align:top}
td{overflow-wrap:anywhere}.wide td,.wide th{white-space:nowrap;overflow-wrap:normal}
details{margin:.5rem 0}summary{cursor:pointer}
"""


def page(cards: Sequence[Mapping[str, Any]], pictures: Mapping[str, Sequence[Picture]]) -> str:
    """The page of a species.

    Args:
        cards: of its tasks (`episome.datacard.card`), at least one.
        pictures: task → its pictures.
    """
    first = cards[0]
    name = f"{escape(first['species'])} · <i>{escape(first['scientific_name'])}</i>"
    links = "".join(f'<a href="#{escape(card["task"])}">{escape(card["task"])}</a>' for card in cards)
    said = '<p class="simulated">Simulated sequences. No living thing has them.</p>' if first["simulated"] else ""
    parts = "".join(_task(card, pictures[card["task"]]) for card in cards)
    body = f"""<header><h1>What went in: {name}</h1>
{said}
<nav aria-label="Tasks">{links}</nav></header>
<main>{parts}</main>"""
    return whole(f"What went in: {first['species']}", STYLE, body)


def whole(title: str, style: str, body: str) -> str:
    """A page that may load nothing from anywhere.

    Args:
        title: as text.
        style: as CSS.
        body: as HTML.
    """
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def _task(card: Mapping[str, Any], pictures: Sequence[Picture]) -> str:
    task = escape(card["task"])
    origin = "".join(f"<tr><th>{escape(a)}</th><td>{escape(b)}</td></tr>" for a, b in datacard.origin(card))
    made = "".join(
        f"<li>{escape(name)}: {escape(words)}</li>"
        for part in ({"homology": card["homology"]} if card["homology"] else {}, card["how_made"], card["task_report"])
        for name, words in datacard.flat(part)
    )
    nowhere = "" if card["contigs"] else "<p>These rows carry no coordinates: there is no picture of places.</p>"
    return f"""
<section id="{task}" aria-labelledby="{task}-head">
<h2 id="{task}-head">{task}</h2>
<table>{origin}</table>
<div class="wide">{table(*datacard.counts(card))}</div>
<div class="pictures">{"".join(map(figure, pictures))}</div>
{nowhere}
<div class="wide">{table(*datacard.contents(card))}</div>
<div class="wide">{table(*datacard.shortcuts(card))}</div>
<details><summary>How the rows were made, and what was dropped</summary><ul>{made}</ul></details>
<p>The whole card: <a href="{task}.md">{task}.md</a>, <a href="card.json">card.json</a>.</p>
</section>"""


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """An HTML table; cells are escaped."""
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in lines)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def figure(picture: Picture) -> str:
    """A picture with its words and its numbers to take away."""
    text = picture.data.to_csv(index=False, lineterminator="\n")
    data = base64.b64encode(text.encode("utf-8")).decode("ascii")
    name, title, alt = (escape(words) for words in (picture.name, picture.title, picture.alt))
    link = f'<a download="{name}.csv" href="data:text/csv;base64,{data}">{name}.csv</a>'
    return f"""<figure id="{name}">
<h3>{title}</h3>
<div role="img" aria-label="{title}. {alt}">{picture.svg}</div>
<figcaption>{alt}<br>{link}</figcaption>
</figure>
"""
