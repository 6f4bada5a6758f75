"""Pictures: what is drawn is what is in the rows, it is said in words too, and the bytes are always the same."""

import base64
import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from episome import datacard, datapage, pictures
from episome.types import Task
from tests import table_rows
from tests.test_datacard import FACTS

TASK = Task(name="donor", scope="site", window=30, motif="GT", labels=("decoy", "donor"))


def rows(n: int = 120, contigs: int = 3, **changes: Any) -> pd.DataFrame:
    """Alternating negatives and positives of random bases on several contigs, half of them in train."""
    random = np.random.default_rng(0)
    columns = {
        "sequence": ["".join(random.choice(list("ACGT"), 30)) for _ in range(n)],
        "label": [i % 2 for i in range(n)],
        "species": "elf",
        "contig": [f"chr{i % contigs + 1}" for i in range(n)],
        "start": [1000 * i for i in range(n)],
        "end": [1000 * i + 30 for i in range(n)],
        "strand": "+",
        "split": ["train" if i < n // 2 else ("val", "test")[i // 2 % 2] for i in range(n)],
        "group": "g",
        "origin": "toy",
        "negative_kind": ["" if i % 2 else ("exon", "<intron> & $x$")[i // 2 % 2] for i in range(n)],
        "release": "none",
    }
    return table_rows.build({**columns, **changes}, "donor", ["donor"])


def named(found: list[pictures.Picture]) -> dict[str, pictures.Picture]:
    return {picture.name: picture for picture in found}


def test_every_picture_is_there_with_its_numbers() -> None:
    drawn = named(pictures.of_task(rows(), TASK))
    names = ["lengths", "gc", "classes", "kinds", "gc-by-kind", "places"]
    assert list(drawn) == [f"donor-{name}" for name in names]
    assert drawn["donor-lengths"].data["rows"].tolist() == [60, 60]
    assert drawn["donor-gc"].data[["rows_donor", "rows_decoy"]].sum().tolist() == [60, 60]
    assert drawn["donor-classes"].data.set_index("split").loc["train"].to_dict() == {"donor": 30, "decoy": 30}
    assert drawn["donor-kinds"].data.drop(columns="split").to_numpy().sum() == 60
    assert drawn["donor-gc-by-kind"].data["n"].tolist() == [60, 30, 30]
    assert drawn["donor-places"].data["sites"].sum() == 60
    assert "train: 30 donor, 30 decoy" in drawn["donor-classes"].alt


def test_places_are_binned_by_contig_and_split() -> None:
    places = named(pictures.of_task(rows(n=4, contigs=1, start=[0, 10, 0, 7000], end=[30, 40, 30, 7030]), TASK))
    data = places["donor-places"].data
    assert data["from_bp"].tolist() == [0, 6958]
    assert (data["to_bp"] - data["from_bp"]).tolist() == [71, 71]
    assert data["split"].tolist() == ["train", "test"]


def test_contigs_are_in_natural_order_and_the_rest_is_counted() -> None:
    many = named(pictures.of_task(rows(contigs=40, n=400), TASK))["donor-places"]
    assert list(dict.fromkeys(many.data["contig"])) == [f"chr{i}" for i in range(2, 26, 2)]
    assert "8 more contigs with 80 sites are not drawn." in many.alt
    long = named(pictures.of_task(rows(contig="an_unplaced_scaffold_of_elves"), TASK))["donor-places"]
    assert "an_unp…_elves" in long.svg


@pytest.mark.parametrize(("last", "unit"), [(1_900, "bp"), (1_900_000, "kb"), (9_000_000, "Mb")])
def test_positions_have_a_fitting_unit(last: int, unit: str) -> None:
    places = named(pictures.of_task(rows(n=2, start=[0, last - 30], end=[30, last]), TASK))["donor-places"]
    assert f"position, {unit}; one bin" in places.svg


def test_rows_without_contigs_have_no_picture_of_places() -> None:
    assert "donor-places" not in named(pictures.of_task(rows(contig=""), TASK))


def test_lengths_that_differ_are_a_histogram() -> None:
    sequences = ["A" * (20 + i) for i in range(120)]
    data = named(pictures.of_task(rows(sequence=sequences), TASK))["donor-lengths"].data
    assert (data["from_bp"].iloc[0], data["to_bp"].iloc[-1]) == (20, 140)
    assert data[["rows_donor", "rows_decoy"]].sum().tolist() == [60, 60]


def test_one_class_alone_is_drawn() -> None:
    positives = named(pictures.of_task(rows(label=[1] * 120, negative_kind=""), TASK))
    assert positives["donor-kinds"].alt == "There is no negative row."
    assert positives["donor-gc-by-kind"].data["rows_of"].tolist() == ["donor"]
    negatives = named(pictures.of_task(rows(label=[0] * 120, negative_kind=""), TASK))
    assert negatives["donor-gc-by-kind"].data["rows_of"].tolist() == ["unnamed"]


def test_more_kinds_than_colours_are_hatched() -> None:
    kinds = [f"kind{i % 9}" for i in range(120)]
    drawn = named(pictures.of_task(rows(label=[0] * 120, negative_kind=kinds), TASK))
    assert len(drawn["donor-kinds"].data.columns) == 10
    assert "pattern" in drawn["donor-kinds"].svg


def test_without_rows_nothing_is_drawn() -> None:
    assert pictures.of_task(rows(label=[-1] * 120), TASK) == []


def test_a_second_drawing_has_the_same_bytes_and_takes_the_ink_of_the_page() -> None:
    first, second = (pictures.of_task(rows(), TASK) for _ in range(2))
    assert [picture.svg for picture in first] == [picture.svg for picture in second]
    for picture in first:
        assert "currentColor" in picture.svg
        assert pictures.INK not in picture.svg
        assert "dc:date" not in picture.svg


@pytest.fixture(scope="module")
def page() -> str:
    made = datacard.card(rows(), TASK, FACTS)
    return datapage.page([made], {"donor": pictures.of_task(rows(), TASK)})


def test_the_page_is_whole_and_asks_for_nothing_from_outside(page: str) -> None:
    sources = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]*)""", page)
    assert {source.split(":")[0].split("-")[0].split(".")[0] for source in sources} <= {
        "data",
        "#donor",
        "donor",
        "card",
    }
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert "Simulated sequences. No living thing has them." in page


def test_every_id_on_the_page_is_there_once_and_every_drawing_is_sound(page: str) -> None:
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    used = re.findall(r'(?:url\(#|xlink:href="#)([^")]*)', page)
    assert set(used) <= set(ids)
    drawings = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(drawings) == 6
    for drawing in drawings:
        assert ElementTree.fromstring(drawing).tag.endswith("svg")


def test_names_from_data_are_escaped_and_the_drawn_numbers_can_be_taken_away(page: str) -> None:
    assert "<intron>" not in page
    assert "&lt;intron&gt; &amp; $x$" in page
    (data,) = re.findall(r'download="donor-classes.csv" href="data:text/csv;base64,([^"]*)"', page)
    assert base64.b64decode(data).decode().splitlines() == [
        "split,donor,decoy",
        "train,30,30",
        "val,15,15",
        "test,15,15",
    ]


def test_a_page_of_real_rows_without_coordinates_says_so() -> None:
    bare = rows(contig="")
    made = datacard.card(bare, TASK, FACTS) | {"simulated": False, "homology": {"method": "numpy"}}
    page = datapage.page([made], {"donor": pictures.of_task(bare, TASK)})
    assert "These rows carry no coordinates" in page
    assert "Simulated" not in page
    assert "homology · method: numpy" in page
