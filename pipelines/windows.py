"""Stage `windows`: a species' genome or labelled sets, and its release, become rows with labels, origin and split."""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from episome import corpus, dataset, genome, kin, params, release, sets
from episome.params import Params
from episome.sources import GenomeSource
from episome.types import EpisomeError
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
            homology=settings.homology,
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
    families = kin.read_families(paths.families(species))
    if isinstance(source, GenomeSource):
        origin = f"simulated:{source.folder.parent.name}" if entry.simulated else f"genome:{source.folder.name}"
        return genome.load(
            source, tasks, species=species, origin=origin, windows=windows, families=families, seed=settings.seed
        )
    rows, report = sets.load(source, tasks, species=species, windows=windows, seed=settings.seed)
    # A sequence without known relatives keeps the group that it is alone in.
    rows["group"] = rows["group"].map(lambda group: families.get(group, group))
    return rows, report, corpus.from_rows(rows, windows.corpus_share, settings.seed)


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
    with (folder / "corpus.txt").open("w", encoding="utf-8") as stream:
        stream.writelines(f"{text}\n" for text in texts)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except EpisomeError as error:
        sys.exit(f"windows: {error}")
