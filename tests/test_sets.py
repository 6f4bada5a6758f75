from pathlib import Path

import pytest

from episome import sets
from episome.contigs import ContigError
from episome.sources import IntervalSource, LabelledSource, MultilabelSource
from episome.types import Task
from tests import table_rows

TASK = Task(name="orf", scope="sequence", labels=("noncoding", "coding"))
SIDES = {"train": "AACCGTAC,1", "dev": "GGGGATAT,1", "test": "TTCACACA,0"}


def files(folder: Path, header: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, row in SIDES.items():
        (folder / f"{name}.csv").write_text(f"{header}\n{row}\n")


def load(source: LabelledSource | IntervalSource | MultilabelSource) -> tuple[list[str], str]:
    rows, report = sets.load(source, [TASK], species="human", windows=table_rows.windows(), seed=3)
    return rows["sequence"].tolist(), report["kind"]


def test_each_layout_is_read_as_what_it_is(tmp_path: Path) -> None:
    files(tmp_path / "orf", "sequence,label")
    files(tmp_path, "sequence,orf")
    texts = [row.split(",")[0] for row in SIDES.values()]
    terms = {"folder": tmp_path, "licence": "CC0-1.0", "citation": "nobody"}
    assert load(LabelledSource(kind="labelled", sets={"orf": "orf"}, **terms)) == (texts, "labelled")
    assert load(MultilabelSource(kind="multilabel", tasks=("orf",), **terms)) == (texts, "multilabel")
    with pytest.raises(ContigError, match=r"reference\.fa: cannot be opened"):
        load(IntervalSource(kind="intervals", sets={"orf": "orf"}, reference="reference.fa", **terms))
