"""Curated labels as a release: a folder with ``labels.csv`` and ``manifest.json``, which `episome retrain` takes.

The same labels give the same bytes. What a release cannot hold, both labels of one sequence on either strand, is left
out and counted, or settled by the newest.
"""

import hashlib
import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from episome import contract, feedback
from episome.feedback import FeedbackError, Label, Row
from episome.params import Params
from episome.sequence import canonical
from episome.types import Task

DATA: Final = "labels.csv"
MANIFEST: Final = "manifest.json"
FORMAT: Final = 1

Contradictions = Literal["exclude", "newest"]

_FATES: Final = ("written", "unfit", "contradictory", "superseded", "exported_before", "repeated")


def export(
    species: str,
    folder: Path,
    settings: Params,
    store: Path,
    *,
    after: int = 0,
    contradictions: Contradictions = "exclude",
) -> dict[str, Any]:
    """Write what was said about a species since a row, whole or not at all, and give the manifest.

    Args:
        species: short id.
        folder: made by this; one that holds these very bytes already is left as it is.
        settings: params.yaml, whose tasks and limits the rows must still fit.
        store: the file of labels.
        after: id of the last row of the export before; 0 begins with the first. Rows up to it are not written, but
            later ones that contradict or repeat them are known by them.
        contradictions: rows of a sequence that carries both labels are left out, or the newest of them is taken.

    Raises:
        FeedbackError: no such file, nothing to write (what became of the rows is said), or the folder holds
            something else.
        EpisomeError: no such species.
    """
    tasks = {task.name: task for task in settings.tasks_of(species)}
    rows = feedback.read(store, species)
    fates, groups = _judge(rows, tasks, settings, after, contradictions)
    counts = Counter(fates[row.id] for row in rows if row.id > after)
    read = f"{counts.total()} labels of {species} after id {after} in {store}"
    if not counts["written"]:
        raise FeedbackError(f"{read}: none to write; {_words(counts)}")
    written = [row for row in rows if fates[row.id] == "written"]
    data = "".join(("sequence,label,task\n", *(_line(row.said) for row in written))).encode("ascii")
    manifest = {
        "format": FORMAT,
        "species": species,
        "after": after,
        "last_id": max(row.id for row in rows),
        "data": {"file": DATA, "rows": len(written), "sha256": hashlib.sha256(data).hexdigest()},
        "labels": _by_task(written),
        "rows": {"read": counts.total()} | {fate: counts[fate] for fate in _FATES},
        "curators": dict(sorted(Counter(row.said.curator for row in rows if row.id > after).items())),
        "contradictions": {"policy": contradictions, "ids": _contradictory(groups, after)},
    }
    _publish(folder, {DATA: data, MANIFEST: _json(manifest)})
    return manifest


def dataset(folder: Path, species: str) -> Path:
    """The table in a folder that `export` wrote, held to its manifest.

    Raises:
        FeedbackError: no export, one of another species, or its table is not what the manifest says.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        came, file, wanted = manifest["species"], manifest["data"]["file"], manifest["data"]["sha256"]
        found = hashlib.sha256((folder / DATA).read_bytes()).hexdigest()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FeedbackError(
            f"{folder}: no export of feedback ({error}); wanted a CSV file, or what `episome feedback export` wrote"
        ) from error
    if (manifest.get("format"), file) != (FORMAT, DATA):
        raise FeedbackError(f"{folder}: an export of another format; run `episome feedback export` again")
    if came != species:
        raise FeedbackError(f"{folder}: labels of {came!r} came, wanted those of {species!r}")
    if found != wanted:
        raise FeedbackError(f"{folder / DATA}: sha256 is {found}, the manifest says {wanted}; it was changed since")
    return folder / DATA


def _judge(
    rows: Sequence[Row], tasks: Mapping[str, Task], settings: Params, after: int, contradictions: Contradictions
) -> tuple[dict[int, str], list[list[Row]]]:
    """What becomes of each row, by id, and the rows of each sequence of a task."""
    fates: dict[int, str] = {}
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if _fits(row.said, tasks, settings):
            groups[row.said.task, canonical(row.said.sequence)].append(row)
        else:
            fates[row.id] = "unfit"
    for group in groups.values():
        fates |= _of_group(group, after, contradictions)
    return fates, list(groups.values())


def _fits(said: Label, tasks: Mapping[str, Task], settings: Params) -> bool:
    """Whether a label is still one of its task, and its sequence a row of it."""
    task = tasks.get(said.task)
    if task is None or task.labels[said.label] != said.name:
        return False
    return not contract.broken(said.sequence, contract.sequence_rules(task, settings.check, settings.export.max_tokens))


def _of_group(group: Sequence[Row], after: int, contradictions: Contradictions) -> dict[int, str]:
    """What becomes of the rows of one sequence: of those with the label that counts, the first new one is written."""
    if contradictions == "exclude" and _disagree(group):
        return {row.id: "contradictory" for row in group}
    label = group[-1].said.label
    earlier = [row.said.label for row in group if row.id <= after]
    fates = {row.id: "repeated" if row.said.label == label else "superseded" for row in group}
    first = next((row.id for row in group if row.id > after and row.said.label == label), None)
    if first is not None:
        fates[first] = "exported_before" if earlier[-1:] == [label] else "written"
    return fates


def _disagree(group: Sequence[Row]) -> bool:
    return len({row.said.label for row in group}) > 1


def _contradictory(groups: Sequence[Sequence[Row]], after: int) -> list[list[int]]:
    """Ids of the rows of each sequence with both labels, of which something is new."""
    found = [[row.id for row in group] for group in groups if _disagree(group)]
    return sorted(ids for ids in found if ids[-1] > after)


def _line(said: Label) -> str:
    return f"{said.sequence},{said.label},{said.task}\n"


def _by_task(rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        found[row.said.task][row.said.name] += 1
    return {task: dict(names) for task, names in found.items()}


def _words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{counts[fate]} {fate.replace('_', ' ')}" for fate in _FATES[1:] if counts[fate]) or "no rows"


def _json(manifest: Mapping[str, Any]) -> bytes:
    return (json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _publish(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make a folder that holds these files, at once."""
    if folder.exists():
        if folder.is_dir() and {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == files:
            return
        raise FeedbackError(f"{folder}: is there and holds something else; name a folder that is not there yet")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder.parent) as scratch:
        fresh = Path(scratch) / "fresh"
        fresh.mkdir()
        for name, content in files.items():
            (fresh / name).write_bytes(content)
        fresh.rename(folder)
