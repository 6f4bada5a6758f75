"""Where the sites of a task are: one recipe per task, the same for every species.

Everything here is *oriented*: positions count from the 5' end of the strand that a gene is on, so a minus gene
reads like a plus gene on the reverse complement. `turn` is its own inverse and leads back to the plus strand.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from episome.annotation import Interval, Transcript
from episome.sources import Negatives, Windows
from episome.types import EpisomeError, Task

_TSS_OFFSET = 249 / 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a task's windows are cut.

    Attributes:
        motif: bases at the anchor; None where the site has no motif.
        kinds: negatives that `decoys` can make for it.
        coding_only: sites of protein-coding genes only.
        known: whether a transcript's own site is where the annotation puts it, and not where a fragment ends.
        anchors: oriented site positions of a transcript, given its contig's length.
    """

    motif: str | None
    kinds: tuple[str, ...]
    coding_only: bool
    known: Callable[[Transcript], bool]
    anchors: Callable[[Transcript, int], list[int]]


def turn(interval: Interval, strand: str, length: int) -> Interval:
    """Plus-strand coordinates to oriented ones, or back."""
    return interval if strand == "+" else (length - interval[1], length - interval[0])


def oriented(intervals: tuple[Interval, ...], strand: str, length: int) -> list[Interval]:
    """Several intervals, 5' to 3' of their strand."""
    return sorted(turn(interval, strand, length) for interval in intervals)


def _tss(transcript: Transcript, length: int) -> list[int]:
    return [turn(transcript.span, transcript.strand, length)[0]]


def _donors(transcript: Transcript, length: int) -> list[int]:
    return [start for start, _ in oriented(transcript.introns, transcript.strand, length)]


def _acceptors(transcript: Transcript, length: int) -> list[int]:
    return [end - 2 for _, end in oriented(transcript.introns, transcript.strand, length)]


def _starts(transcript: Transcript, length: int) -> list[int]:
    return [start for start, _ in oriented(transcript.cds, transcript.strand, length)[:1]]


def _always(_: Transcript) -> bool:
    return True


_SPLICE = ("intron", "exon", "intergenic")
RECIPES = {
    "promoter": Recipe(
        motif=None,
        kinds=("gene_body", "shifted", "intergenic", "opposite_strand"),
        coding_only=True,
        known=lambda transcript: transcript.tss_complete,
        anchors=_tss,
    ),
    "donor": Recipe(motif="GT", kinds=_SPLICE, coding_only=False, known=_always, anchors=_donors),
    "acceptor": Recipe(motif="AG", kinds=_SPLICE, coding_only=False, known=_always, anchors=_acceptors),
    "tis": Recipe(
        motif="ATG",
        kinds=("utr", "cds_in_frame", "cds_out_of_frame", "intron", "intergenic"),
        coding_only=True,
        known=lambda transcript: transcript.start_complete,
        anchors=_starts,
    ),
}


def recipe(task: Task, windows: Windows) -> tuple[Recipe, Negatives]:
    """The recipe of a task, by its name, and the negatives that params.yaml asks for.

    Raises:
        EpisomeError: no recipe of that name; the task's scope or motif is not what the recipe cuts; params.yaml
            states no negatives for it, or a kind that the recipe does not make.
    """
    if task.name not in RECIPES:
        raise EpisomeError(
            f"task {task.name!r}: no recipe makes it from a genome; known: {', '.join(RECIPES)} and contains_*"
        )
    found = RECIPES[task.name]
    scope = "window" if found.motif is None else "site"
    if (task.scope, task.motif) != (scope, found.motif):
        raise EpisomeError(
            f"tasks.{task.name}: scope {task.scope!r} with motif {task.motif!r}; from a genome it has "
            f"scope {scope!r} with motif {found.motif!r}"
        )
    known = ", ".join(found.kinds)
    if task.name not in windows.negatives:
        raise EpisomeError(
            f"windows.negatives: nothing for task {task.name!r}, which a genome is asked for; "
            f"wanted: per_positive, and kinds with their shares; kinds known for it: {known}"
        )
    asked = windows.negatives[task.name]
    if unknown := [kind for kind in asked.kinds if kind not in found.kinds]:
        raise EpisomeError(f"windows.negatives.{task.name}.kinds: no kind {', '.join(unknown)}; known: {known}")
    return found, asked


def lead(task: Task) -> int:
    """Bases of a window before its anchor: half of it before a motif; for a promoter 249 of 300 before the TSS."""
    width = task.window or 0
    return width // 2 if task.motif else round(width * _TSS_OFFSET)


def window(task: Task, anchor: int) -> Interval:
    """The oriented window around an anchor: centred on a motif; for a promoter -249..+50 of 300, the TSS at 249."""
    start = anchor - lead(task)
    return start, start + (task.window or 0)


def coding(transcripts: Sequence[Transcript]) -> frozenset[str]:
    """Genes that make protein; every gene, where the annotation neither names biotypes nor has a CDS."""
    silent = not any(t.biotype or t.cds for t in transcripts)
    return frozenset(
        t.gene for t in transcripts if silent or t.biotype == "protein_coding" or (t.cds and not t.biotype)
    )
