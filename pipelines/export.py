"""Stage `export`: the base as one ONNX graph, or one species' adapter as a bundle that answers as torch does."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from episome import composition, dataset, export, params
from episome.bundle import Lineage
from episome.classifier import TRAINING
from episome.params import Params
from episome.provenance import BaseModel, Provenance, Rows
from episome.split import SPLITS
from episome.types import EpisomeError, Task
from pipelines import paths


def main(name: str) -> None:
    """Write bundle/base, or bundle/<species>."""
    chosen = params.read()
    digest = _base(chosen) if name == "base" else _species(chosen, name)
    print(f"{name}: bundle {digest[:12]}", file=sys.stderr)


def _base(chosen: Params) -> str:
    return export.write_base(
        paths.base(),
        paths.bundle("base"),
        targets=chosen.lora.targets,
        rank=chosen.export.bank_rank,
        heads=composition.asked(chosen.head),
        max_tokens=chosen.export.max_tokens,
    )


def _species(chosen: Params, name: str) -> str:
    about = chosen.of(name)
    table = paths.windows(name) / "rows.parquet"
    rows = dataset.read(table)
    subject = export.Subject(
        species=name,
        scientific_name=about.scientific_name,
        taxon_id=about.taxon_id,
        simulated=about.simulated,
        adapter=paths.adapter(name),
        rows=rows,
        corpus=(paths.windows(name) / "corpus.txt").read_text(encoding="ascii").split(),
        evaluation=_evaluation(name),
        lineage=_lineage(chosen, name, table),
        made=_made(chosen, name, rows),
    )
    return export.write_species(
        subject,
        model_folder=paths.base(),
        base=paths.bundle("base"),
        folder=paths.bundle(name),
        golden=chosen.export.golden,
        tolerance=chosen.export.tolerance,
    )


def _evaluation(name: str) -> dict[str, Any]:
    path = paths.evaluation(name)
    if not path.is_file():
        raise EpisomeError(f"{path}: no such file; run `dvc repro evaluate@{name}` first")
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return report


def _lineage(chosen: Params, name: str, table: Path) -> Lineage:
    about = chosen.of(name)
    training = json.loads((paths.adapter(name) / TRAINING).read_text(encoding="utf-8"))
    numbers = chosen.model_dump(
        mode="json", include={"seed", "lora", "head", "train", "transfer", "tasks", "base", "windows"}
    )
    return Lineage(
        donor=about.donor,
        prior=about.prior,
        release=about.release,
        releases=tuple(training["releases"]),
        data=hashlib.sha256(table.read_bytes()).hexdigest(),
        params=export.params_digest(numbers | {"species": about.model_dump(mode="json")}),
        seed=chosen.seed,
        transfer=training["transfer"],
    )


def _made(chosen: Params, name: str, rows: pd.DataFrame) -> Provenance:
    source, base = chosen.of(name).source, chosen.base
    published = base.published if base.size == "dnabert2" else None
    return Provenance(
        source=source.kind,
        licence=source.licence,
        citation=source.citation,
        base=BaseModel(
            size=base.size,
            hub=published.hub if published else None,
            revision=published.revision if published else None,
        ),
        rows={task.name: {split: _counted(rows, task, split) for split in SPLITS} for task in chosen.tasks_of(name)},
        confidence=chosen.evaluate.confidence,
        bootstrap=chosen.evaluate.bootstrap,
    )


def _counted(rows: pd.DataFrame, task: Task, split: str) -> Rows:
    asked = dataset.labelled(rows[rows["split"] == split], task.name)
    positives = int((asked[dataset.label_column(task.name)] == 1).sum())
    return Rows(positives=positives, negatives=len(asked) - positives, groups=int(asked["group"].nunique()))


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except EpisomeError as error:
        sys.exit(f"export: {error}")
