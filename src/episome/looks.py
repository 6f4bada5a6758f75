"""Records of what two adapters of a study share; `episome.inside` makes them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from episome.study import StudyError

FILE = "inside.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Two adapters of a study compared on one task.

    Attributes:
        target: species key.
        donor: species key; the target itself where two trainings from nothing are compared, this seed and another.
        task: of either.
        seed: of both trainings, or of the first.
        values: on the target's rows, where both know the task, ``attention_same_head``, ``attention_other_head``,
            ``key_overlap`` and ``key_overlap_expected`` (`likeness`); on the donor's, where it knows the task,
            ``head_before``, ``head_after``, ``probe_before`` and ``probe_after``: test AUROC of the donor's own head,
            and of a linear probe fitted anew, on the donor's encoder and on the heir's; ``head_retention`` and
            ``probe_retention`` of them (`transferscores.retention`).
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    target: str
    donor: str
    task: str
    seed: int
    values: dict[str, float]


_LOOKS = TypeAdapter(list[Look])


def read(folder: Path) -> list[Look]:
    """What `write` left beside the runs of a study; nothing where no look was taken.

    Raises:
        StudyError: the file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return []
    try:
        return _LOOKS.validate_json(path.read_bytes())
    except ValidationError as error:
        raise StudyError(f"{path}: {error.errors()[0]['msg']}; remove it and run the study again") from error


def write(folder: Path, looks: Sequence[Look]) -> None:
    """Keep the looks beside the runs."""
    text = json.dumps([asdict(look) for look in looks], indent=1, sort_keys=True)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")
