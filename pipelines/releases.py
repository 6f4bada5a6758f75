"""Rows a person adds to a species: checked as they come in, then kept under ``releases/`` beside the earlier ones."""

import csv
import hashlib
import io
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from episome import table
from episome.sequence import canonical
from episome.types import EpisomeError, Task
from pipelines import paths

NONE = "none"
_OPTIONAL = ("group", "split")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One added row, as it is written; `place` says where it came from."""

    place: str
    sequence: str
    label: int
    task: str
    group: str
    split: str


def read(
    path: Path, tasks: Sequence[Task], *, ambiguous: Literal["n", "error"], task: str | None = None
) -> tuple[Row, ...]:
    """Read and check added rows: columns ``sequence,label,task`` and perhaps ``group,split``, plain or gzip.

    Args:
        path: the CSV file.
        tasks: the species' tasks.
        ambiguous: policy for IUPAC codes.
        task: task of every row where the file has no such column.

    Raises:
        EpisomeError: a file without rows, an unknown task, a base or label that is none, a length the task does not
            take, or a sequence given with both labels; each names the row.
    """
    known = {one.name: one for one in tasks}
    if task is not None and task not in known:
        raise EpisomeError(f"--task {task}: this species has no such task; known: {', '.join(known)}")
    required = ("sequence", "label") if task else ("sequence", "label", "task")
    rows = tuple(_row(path, line, known, ambiguous, task) for line in table.read(path, required, _OPTIONAL))
    if not rows:
        raise EpisomeError(f"{path}: a header and no rows; nothing to retrain on")
    _refuse_contradictions(path, rows)
    return rows


def write(species: str, rows: Sequence[Row], parent: str) -> str:
    """Keep `rows` under ``releases/<name>/<name>.csv``, beside copies of all files of the release they follow.

    The name holds a hash of the rows and of the parent, so the same rows after the same release are the same release.

    Raises:
        EpisomeError: the parent is not in the workspace, or holds these very rows.
    """
    content = _csv(rows)
    digest = hashlib.sha256(parent.encode() + b"\n" + content).hexdigest()
    name = f"{species}-{digest[:12]}"
    earlier = _files(parent)
    for path in earlier:
        if path.read_bytes() == content:
            raise EpisomeError(
                f"{species}: the champion was trained on exactly these rows already ({path}); nothing to retrain on"
            )
    folder = paths.release(name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder.parent) as scratch:
        fresh = Path(scratch) / name
        fresh.mkdir()
        for path in earlier:
            shutil.copyfile(path, fresh / path.name)
        (fresh / f"{name}.csv").write_bytes(content)
        if not folder.exists():
            fresh.rename(folder)
    if not (folder / f"{name}.csv").is_file():
        raise EpisomeError(f"{folder}: exists without {name}.csv; remove that folder and run this again")
    return name


def _files(parent: str) -> tuple[Path, ...]:
    if parent == NONE:
        return ()
    found = tuple(sorted(paths.release(parent).glob("*.csv")))
    if not found:
        raise EpisomeError(
            f"the champion was trained on release {parent}, which is not here; "
            f"`dvc checkout` or `dvc pull` of {paths.release(parent)} brings it back"
        )
    return found


def _row(
    path: Path, line: table.Line, known: dict[str, Task], ambiguous: Literal["n", "error"], task: str | None
) -> Row:
    name = task or line.fields["task"]
    if name not in known:
        raise EpisomeError(f"{path}: {line.place}: task {name!r} is none of this species; known: {', '.join(known)}")
    sequence = table.sequence(path, line, ambiguous).sequence
    window = known[name].window
    if window is not None and len(sequence) != window:
        raise EpisomeError(
            f"{path}: {line.place}: {len(sequence)} bases; task {name} takes windows of exactly {window}"
        )
    return Row(
        place=line.place,
        sequence=sequence,
        label=table.label(path, line),
        task=name,
        group=line.fields.get("group", ""),
        split=line.fields.get("split", ""),
    )


def _refuse_contradictions(path: Path, rows: Sequence[Row]) -> None:
    first: dict[tuple[str, str], Row] = {}
    for row in rows:
        before = first.setdefault((row.task, canonical(row.sequence)), row)
        if before.label != row.label:
            raise EpisomeError(
                f"{path}: {row.place}: label {row.label} for task {row.task}, but {before.place} gives the same "
                f"sequence (or its reverse complement) label {before.label}; keep one of them"
            )


def _csv(rows: Sequence[Row]) -> bytes:
    """Bytes that depend on the rows alone; an optional column only where a row uses it."""
    used = [column for column in _OPTIONAL if any(getattr(row, column) for row in rows)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["sequence", "label", "task", *used])
    writer.writerows(_cells(rows, used))
    return text.getvalue().encode()


def _cells(rows: Sequence[Row], used: Sequence[str]) -> Iterator[list[str]]:
    for row in rows:
        yield [row.sequence, str(row.label), row.task, *(getattr(row, column) for column in used)]
