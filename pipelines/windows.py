"""Stage `windows`: a species' genome or labelled sets, and its release, become rows with labels, origin and split."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from episome import corpus, dataset, genome, intervals, labelled, multilabel, params, release
from episome.params import Params
from episome.sources import GenomeSource, IntervalSource, LabelledSource, MultilabelSource
from episome.types import EpisomeError, Task
from pipelines import paths


def main(species: str) -> None:
    """Write ``rows.parquet``, ``report.json`` and ``corpus.txt`` of one species."""
    settings = params.read()
    rows, report, texts = _source(settings, species)
    name = settings.of(species).release
    if name != "none":
        added, report["release"] = release.load(
            paths.release(name),
            rows,
            settings.tasks_of(species),
            species=species,
            windows=settings.windows,
            seed=settings.seed,
        )
        rows = pd.concat([rows, added], ignore_index=True)
    bases = sum(map(len, texts))
    report |= {"species": species, "rows": _counts(rows), "corpus": {"sequences": len(texts), "bases": bases}}
    _write(paths.windows(species), rows, report, texts)
    print(f"{species}: {len(rows)} rows, {len(texts)} sequences for the corpus")


def _source(settings: Params, species: str) -> tuple[pd.DataFrame, dict[str, Any], list[str]]:
    entry = settings.of(species)
    tasks, windows, source = settings.tasks_of(species), settings.windows, entry.source
    if isinstance(source, GenomeSource):
        origin = f"simulated:{source.folder.parent.name}" if entry.simulated else f"genome:{source.folder.name}"
        return genome.load(source.folder, tasks, species=species, origin=origin, windows=windows, seed=settings.seed)
    rows, report = _labelled(source, tasks, species, settings)
    return rows, report, corpus.from_rows(rows, windows.corpus_share, settings.seed)


def _labelled(
    source: LabelledSource | IntervalSource | MultilabelSource, tasks: Sequence[Task], species: str, settings: Params
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Rows of labels that a lab brings, whichever layout they have."""
    if isinstance(source, LabelledSource):
        return labelled.load(source, tasks, species=species, windows=settings.windows)
    if isinstance(source, MultilabelSource):
        return multilabel.load(source, tasks, species=species, windows=settings.windows)
    return intervals.load(source, tasks, species=species, windows=settings.windows, seed=settings.seed)


def _counts(rows: pd.DataFrame) -> dict[str, Any]:
    return {
        task: {
            side: rows.loc[rows["split"] == side, dataset.label_column(task)].value_counts().sort_index().to_dict()
            for side in ("train", "val", "test")
        }
        for task in dataset.tasks(rows)
    }


def _write(folder: Path, rows: pd.DataFrame, report: dict[str, Any], texts: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    dataset.write(folder / "rows.parquet", rows)
    (folder / "report.json").write_text(json.dumps(report, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    (folder / "corpus.txt").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except EpisomeError as error:
        sys.exit(f"windows: {error}")
