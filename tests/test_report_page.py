"""The report's files: pages that ask for nothing, pictures of always the same bytes, templates that DVC fills."""

import base64
import csv
import io
import json
import re
from itertools import permutations
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from dvc_render.vega import VegaRenderer
from matplotlib.figure import Figure

from episome.report import book, matrices, trainings, values, vega
from episome.report import page as page_of
from episome.report.cells import Grid
from episome.report.drawing import dots, png, svg
from tests import invented
from tests.invented import Study
from tests.monitoring.browser import browser, installed

SHEETS = (
    "transfer_matrix",
    "distance_performance_correlation",
    "learning_dynamics",
    "convergence_analysis",
    "performance_metrics",
)


def small() -> Grid:
    """Two of four species in one direction of zero-shot, two seeds, a world that drifted twice as far."""
    made = invented.full(seeds=(1, 2), species=("human", "mouse"), tasks=("donor",))
    made.runs = [run for run in made.runs if (run.method, run.target) != ("zero_shot", "human")]
    return made.grid(species=invented.SPECIES, motif_divergence=2.0, left_out={"fly": "no <rows> & none"})


@pytest.fixture(scope="module")
def grid() -> Grid:
    return small()


@pytest.fixture(scope="module")
def files(grid: Grid) -> dict[str, bytes]:
    return book.files(grid)


@pytest.fixture(scope="module")
def page(files: dict[str, bytes]) -> str:
    return files["dashboard.html"].decode()


def test_every_file_is_there(files: dict[str, bytes]) -> None:
    wanted = {f"{name}{end}" for name in SHEETS for end in (".png", ".csv", ".json", ".vl.json")}
    assert set(files) == wanted | {"table.csv", "table.md", "dashboard.html"}
    assert all(content[:4] == b"\x89PNG" for name, content in files.items() if name.endswith(".png"))


def test_a_second_report_has_the_same_bytes(files: dict[str, bytes]) -> None:
    again = small()
    sheet = matrices.matrix(again)
    assert png(sheet, again.marks) == files["transfer_matrix.png"]
    assert svg(sheet.panels[0], again.marks).svg in files["dashboard.html"].decode()
    assert page_of.csv(sheet.data).encode() == files["transfer_matrix.csv"]


def test_the_page_asks_for_nothing_from_outside(page: str) -> None:
    sources = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]*)""", page)
    assert {source.split(":")[0] if source[0] != "#" else "#" for source in sources} == {"data", "#"}
    assert "<script" not in page
    assert "default-src 'none'" in page


def test_every_id_is_there_once_every_drawing_is_sound_and_has_words(page: str) -> None:
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    used = re.findall(r'(?:url\(#|href="#)([^")]*)', page)
    assert set(used) <= set(ids)
    drawings = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(drawings) == len(re.findall(r'<div role="img" aria-label="[^"]{40,}"', page)) > 15
    for drawing in drawings:
        assert ElementTree.fromstring(drawing).tag.endswith("svg")


def test_what_must_be_said_is_said_on_the_page_and_every_picture(page: str, files: dict[str, bytes]) -> None:
    figures = re.findall(r"<figure.*?</figure>", page, flags=re.DOTALL)
    for mark in ("Simulated", "reduced grid", "motif_divergence 2, not 1"):
        assert all(mark in re.sub(r"&#x27;", "'", figure.split("<figcaption>")[0]) for figure in figures)
    for said in (page, files["table.md"].decode()):
        assert "Simulated sequences. No living thing has them." in said
        assert "Reduced grid:" in said
        assert "motif_divergence is 2; 1 is the published drift" in said
    assert "no &lt;rows&gt; &amp; none" in page


def test_a_full_grid_of_real_data_carries_no_mark() -> None:
    made = Study(species=("human", "mouse"), tasks=("donor",))
    for target, donor in (("human", "mouse"), ("mouse", "human")):
        for seed in (1, 2, 3):
            made.add(2.0, target=target, donor=donor, task="donor", method="adapted", policy="fixed", seed=seed)
    assert made.grid(simulated=False).marks == ()
    panel = matrices.matrix(made.grid(simulated=False)).panels[1]
    assert "Simulated" not in svg(panel, ()).svg


def test_the_numbers_behind_each_picture_can_be_taken_away(page: str, files: dict[str, bytes]) -> None:
    (data,) = re.findall(r'download="transfer_matrix.csv" href="data:text/csv;base64,([^"]*)"', page)
    assert base64.b64decode(data) == files["transfer_matrix.csv"]
    (own,) = re.findall(r'download="donor-adapted.csv" href="data:text/csv;base64,([^"]*)"', page)
    lines = list(csv.DictReader(io.StringIO(base64.b64decode(own).decode())))
    assert {line["panel"] for line in lines} == {"adapted"}
    whole = list(csv.DictReader(io.StringIO(files["transfer_matrix.csv"].decode())))
    assert all(line in whole for line in lines)
    for line in lines:
        if line["value"]:
            assert f">{float(line['value']):.3f}<" in page


@pytest.mark.parametrize("name", SHEETS)
def test_dvc_fills_each_template_with_the_csv_beside_it(name: str, files: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / f"{name}.json"
    path.write_bytes(files[path.name])
    lines = list(csv.DictReader(io.StringIO(files[f"{name}.csv"].decode())))
    spec = VegaRenderer([*lines], name, template=str(path)).get_filled_template()
    assert spec["data"]["values"] == lines
    drawn = json.dumps(vega.template(name, ()))
    fields = set(re.findall(r'"field": "(\w+)"', drawn)) - set(re.findall(r'"as": "(\w+)"', drawn))
    assert fields - {"low", "high", "n", "seeds"} <= set(lines[0])
    assert "Simulated · reduced grid" in spec["title"]["subtitle"]
    alone = json.loads(files[f"{name}.vl.json"])
    assert len(alone["data"]["values"]) == len(lines)
    assert {k: v for k, v in alone.items() if k != "data"} == {k: v for k, v in spec.items() if k != "data"}


def test_the_table_says_what_did_not_hold_and_defines_its_letters(files: dict[str, bytes]) -> None:
    text = files["table.md"].decode()
    assert "## What did not hold" in text
    assert re.search(r"\| k-mer logistic regression \| – \| 0\.\d{3} \[0\.\d{3}, 0\.\d{3}\] \|", text)
    assert "- **U**: ceiling of a target" in text
    assert "| zero-shot (Z) | not measured |" in text
    assert "No correlation: 2 species" in text


def test_what_is_missing_or_sent_back_is_drawn_and_said() -> None:
    made = Study(species=invented.SPECIES, tasks=("donor",))
    for donor in ("human", "zebrafish"):
        about = {"target": "mouse", "donor": donor, "task": "donor", "method": "adapted", "policy": "interpolated"}
        made.add(2.0, **about, start="nothing", curve=())
    grid = made.grid()
    drawn = {panel.name: panel for panel in matrices.matrix(grid).panels}
    assert "2 of 2 runs began from nothing, as their check said." in drawn["donor-adapted"].caption
    assert "Missing: fly → mouse: not run." in drawn["donor-adapted"].caption
    assert "pattern" in svg(drawn["donor-adapted"], grid.marks).svg
    (loss, *_) = trainings.dynamics(grid).panels
    assert "No training was recorded by epoch." in loss.caption
    assert ">missing<" in svg(loss, ()).svg
    (efficiency, *_) = values.performance(grid).panels
    assert ">missing<" in svg(efficiency, ()).svg
    assert "fly → mouse missing (not run)" in efficiency.words


def test_bounds_are_arrows() -> None:
    figure = Figure()
    data = pd.DataFrame({"value": [np.nan, np.nan], "at_least": [2.0, np.nan], "at_most": [np.nan, 3.0]})
    axes = dots(figure, data, ["a", "b"], "times")
    assert [(line.get_marker(), np.asarray(line.get_xdata()).tolist()) for line in axes.get_lines()] == [
        (">", [2.0]),
        ("<", [3.0]),
    ]


def test_a_correlation_is_written_on_its_picture_with_the_least_possible_p() -> None:
    made = Study(species=("human", "mouse", "fly"), tasks=("donor",))
    for target, donor in permutations(made.species, 2):
        made.add(1 + 2 * invented.setting().distance((target, donor)), target=target, donor=donor,
                 task="donor", method="zero_shot")  # fmt: skip
    grid = made.grid()
    zero, adapted = matrices.distance(grid).panels
    assert "Spearman -0." in zero.caption
    assert "Underpowered: 3 species, whose relabelling cannot give a p below 0.05." in zero.caption
    assert "least possible p 0.333; underpowered" in svg(zero, ()).svg
    assert adapted.caption == "No run."
    assert "distance of donor and target" in svg(adapted, ()).svg


@pytest.mark.slow
@pytest.mark.skipif(installed() is None, reason="no Chromium is installed (Debian package chromium)")
@pytest.mark.parametrize("width", [360, 1280])
def test_a_browser_shows_it_without_an_error(width: int, files: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "dashboard.html"
    path.write_bytes(files[path.name])
    program = installed()
    assert program
    with browser(program, tmp_path / "profile") as shown:
        for scheme in ("light", "dark"):
            shown.size(width, 900)
            shown.scheme(scheme)
            shown.open(path.as_uri())
            shown.wait("document.readyState == 'complete' && document.querySelectorAll('figure').length > 15")
            assert shown.evaluate("document.documentElement.scrollWidth") == width
            assert shown.evaluate(
                "[...document.querySelectorAll('figure')].every((f) => f.scrollWidth <= f.clientWidth)"
            )
        assert shown.errors == []
        assert set(shown.requested) == {path.as_uri()}
