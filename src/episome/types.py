"""Values that two or more modules share; this file imports nothing of ours.

Coordinates are 0-based half-open everywhere; GFF3 becomes 1-based only when it is written.
"""

from dataclasses import dataclass
from typing import Literal

Scope = Literal["sequence", "window", "site"]
Strands = Literal["both", "forward"]
Split = Literal["train", "val", "test"]

LABEL = "label_"  # a row's column of labels is this and the task's name


class EpisomeError(Exception):
    """What a person did or gave is wrong; the message names what came, what was wanted and where to mend it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One yes/no question a species' head answers about a piece of DNA.

    Attributes:
        name: column of the head, e.g. ``promoter``.
        scope: what one score covers: the whole record (``sequence``), each sliding window (``window``)
            or each candidate motif (``site``, a window centred on the motif).
        window: window length in bases; None exactly for scope ``sequence``.
        motif: for scope ``site``, the bases every candidate carries at ``window // 2`` (``GT``); else None.
        strands: strands that annotation scores; ``forward`` where the record is already oriented.
        labels: names of the negative and the positive class, in that order.
    """

    name: str
    scope: Scope
    window: int | None = None
    motif: str | None = None
    strands: Strands = "both"
    labels: tuple[str, str] = ("absent", "present")

    def __post_init__(self) -> None:
        """Refuse a task whose parts contradict its scope."""
        if (self.scope == "sequence") != (self.window is None):
            raise EpisomeError(
                f"task {self.name!r}: scope {self.scope!r} with window {self.window!r}; "
                "a window length belongs to the scopes 'window' and 'site' only"
            )
        if (self.scope == "site") != (self.motif is not None):
            raise EpisomeError(
                f"task {self.name!r}: scope {self.scope!r} with motif {self.motif!r}; "
                "a motif belongs to the scope 'site' only"
            )
