"""A genome and its annotation, made into rows: true sites, hard negatives of stated kinds, and unlabelled text.

One code path makes the negatives of every species. A window is kept only where one split owns all of its bases
(`territory`), so nothing is shared between train, val and test, not even by overlap.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from episome import annotation, dataset, fasta, negatives, sites, split, territory
from episome.annotation import Transcript
from episome.negatives import Window
from episome.sequence import SequenceError, canonical, gc, n_share, normalise, reverse_complement
from episome.sites import Candidate
from episome.sources import Windows
from episome.types import EpisomeError, Task

# Two TSS closer than this on one strand are one promoter.
_MERGE = 100
_NAMED = 12


class GenomeError(EpisomeError):
    """A FASTA and a GTF that do not belong together, or make no rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Genome:
    """Sequences, gene models and who owns which base.

    Attributes:
        contigs: plus strands, upper-case A C G T N.
        minus: reverse complements.
        transcripts: all of them.
        genes: the representative transcript of each gene, in genome order.
        owners: territories.
    """

    contigs: Mapping[str, str]
    minus: Mapping[str, str]
    transcripts: tuple[Transcript, ...]
    genes: tuple[Transcript, ...]
    owners: territory.Map

    def strand(self, contig: str, strand: str) -> str:
        """A contig, 5' to 3' of one strand."""
        return (self.contigs if strand == "+" else self.minus)[contig]


def load(
    folder: Path, tasks: Sequence[Task], *, species: str, origin: str, windows: Windows, seed: int
) -> tuple[pd.DataFrame, dict[str, Any], list[str]]:
    """Rows of all tasks, a report, and unlabelled training-side text.

    Args:
        folder: holds ``genome.fa[.gz]`` and ``genes.gtf[.gz]``.
        tasks: the species' tasks, in the order of its head's columns; each names its recipe (`sites.RECIPES`).
        species: key of the species.
        origin: what the rows say they come from.
        windows: numbers of the windows.
        seed: decides sides and draws.

    Raises:
        EpisomeError: a file is missing or wrong, contig names do not match, a task has no recipe or no site.
    """
    recipes = [sites.recipe(task) for task in tasks]
    genome = read(folder, windows, seed)
    names = [task.name for task in tasks]
    frames, reports = [], {}
    for task, recipe in zip(tasks, recipes, strict=True):
        found, reports[task.name] = _task_windows(genome, task, recipe, windows, f"{seed}:{species}")
        if not found:
            raise GenomeError(f"{folder}: no window for task {task.name!r}; dropped: {reports[task.name]['dropped']}")
        columns = {name: [getattr(w, name) for w in found] for name in ("sequence", "contig", "start", "end", "strand")}
        columns |= {"split": [w.split for w in found], "group": [w.group for w in found]}
        columns |= {"negative_kind": [w.kind for w in found]}
        fixed = {"species": species, "origin": origin, "release": "none", "gene": "", "lower_case": 0.0}
        frames.append(dataset.build({**columns, **fixed}, {task.name: [int(not w.kind) for w in found]}, names))
    report = {
        "kind": "genome",
        "contigs": len(genome.contigs),
        "bases": sum(map(len, genome.contigs.values())),
        "genes": len(genome.genes),
        "transcripts": len(genome.transcripts),
        "split": {"rule": genome.owners.rule, "bases": _bases_per_split(genome)},
        "tasks": reports,
    }
    return pd.concat(frames, ignore_index=True), report, list(_corpus(genome, windows, seed))


def read(folder: Path, windows: Windows, seed: int) -> Genome:
    """Read a genome folder and divide it into splits.

    Raises:
        EpisomeError: a file is missing or wrong, or the annotation speaks of contigs or bases that are not there.
    """
    contigs = {}
    for record in fasta.read(_file(folder, "genome.fa")):
        try:
            contigs[record.id] = normalise(record.sequence, windows.ambiguous).sequence
        except SequenceError as error:
            raise GenomeError(f"{folder}: record {record.id!r}: {error}") from error
    transcripts = annotation.read(_file(folder, "genes.gtf"))
    _check_contigs(folder, contigs, transcripts)
    by_gene: dict[str, list[Transcript]] = defaultdict(list)
    for transcript in transcripts:
        by_gene[transcript.gene].append(transcript)
    genes = sorted(map(annotation.representative, by_gene.values()), key=lambda t: (t.contig, t.span, t.id))
    lengths = {name: len(sequence) for name, sequence in contigs.items()}
    return Genome(
        contigs=contigs,
        minus={name: reverse_complement(sequence) for name, sequence in contigs.items()},
        transcripts=tuple(transcripts),
        genes=tuple(genes),
        owners=territory.divide(transcripts, lengths, windows.split, seed),
    )


def _file(folder: Path, name: str) -> Path:
    found = [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]
    if len(found) != 1:
        came = " and ".join(path.name for path in found) or "neither"
        raise GenomeError(f"{folder}: wanted one of {name} and {name}.gz; there: {came}")
    return found[0]


def _check_contigs(folder: Path, contigs: Mapping[str, str], transcripts: Sequence[Transcript]) -> None:
    annotated = list(dict.fromkeys(t.contig for t in transcripts))
    unknown = [name for name in annotated if name not in contigs]
    if unknown:
        raise GenomeError(
            f"{folder}: the annotation speaks of contigs that the FASTA does not have: {_some(unknown)}; "
            f"annotation: {_some(annotated)}; FASTA: {_some(list(contigs))}; rename one of them"
        )
    for transcript in transcripts:
        if transcript.span[1] > len(contigs[transcript.contig]):
            raise GenomeError(
                f"{folder}: transcript {transcript.id!r} ends at base {transcript.span[1]} of contig "
                f"{transcript.contig!r}, which has {len(contigs[transcript.contig])}; another assembly?"
            )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _task_windows(
    genome: Genome, task: Task, recipe: sites.Recipe, windows: Windows, salt: str
) -> tuple[list[Window], dict[str, Any]]:
    dropped: Counter[str] = Counter()
    seen: set[str] = set()
    positives = list(_cut(genome, task, _true_sites(genome, recipe, dropped), windows, seen, dropped))
    near = _near_sites(genome, recipe)
    decoys = _decoys(genome, task, recipe, salt)
    far_enough = (c for c in decoys if not _close(genome, task, c, near, windows.exclusion))
    # What decoys are dropped for says nothing about the data: there are always more than wanted.
    candidates = list(_cut(genome, task, far_enough, windows, seen, Counter()))
    decoys_chosen: list[Window] = []
    off_gc = 0
    for side in split.SPLITS:
        wanted = [w for w in positives if w.split == side]
        rng = split.generator(0, f"{salt}:{task.name}:{side}")
        count = round(len(wanted) * windows.negatives[task.name].per_positive)
        chosen, far = negatives.match(wanted, [c for c in candidates if c.split == side], count, rng)
        decoys_chosen += chosen
        off_gc += far
    rows = positives + decoys_chosen
    counts = Counter((w.split, w.kind or "positive") for w in rows)
    return rows, {
        "rows": {side: {kind: n for (s, kind), n in sorted(counts.items()) if s == side} for side in split.SPLITS},
        "dropped": dict(sorted(dropped.items())),
        "gc": {
            "positive": round(float(np.mean([gc(w.sequence) for w in positives] or [0.0])), 4),
            "negative": round(float(np.mean([gc(w.sequence) for w in decoys_chosen] or [0.0])), 4),
            "negatives_off_by_more_than_a_bin": off_gc,
        },
    }


def _coding(genome: Genome) -> frozenset[str]:
    """Genes that make protein; every gene, where the annotation neither names biotypes nor has a CDS."""
    silent = not any(t.biotype or t.cds for t in genome.transcripts)
    return frozenset(
        t.gene for t in genome.transcripts if silent or t.biotype == "protein_coding" or (t.cds and not t.biotype)
    )


def _true_sites(genome: Genome, recipe: sites.Recipe, dropped: Counter[str]) -> Iterator[Candidate]:
    """Sites of each gene's representative transcript; of two within 100 bases without a motif, the first."""
    coding = _coding(genome)
    taken: dict[tuple[str, str], list[int]] = defaultdict(list)
    for transcript in genome.genes:
        if recipe.coding_only and transcript.gene not in coding:
            continue
        contig, strand = transcript.contig, transcript.strand
        sequence = genome.strand(contig, strand)
        for anchor in recipe.anchors(transcript, len(sequence)):
            if recipe.motif and not sequence.startswith(recipe.motif, anchor):
                dropped["other_motif"] += 1
            elif not recipe.motif and any(abs(anchor - other) < _MERGE for other in taken[contig, strand]):
                dropped["merged"] += 1
            else:
                taken[contig, strand].append(anchor)
                yield Candidate(contig=contig, strand=strand, anchor=anchor, kind="")


def _near_sites(genome: Genome, recipe: sites.Recipe) -> dict[str, list[int]]:
    """Plus-strand positions of every annotated site, of any transcript and strand, ascending by contig."""
    near: dict[str, list[int]] = defaultdict(list)
    for transcript in genome.transcripts:
        length = len(genome.contigs[transcript.contig])
        for anchor in recipe.anchors(transcript, length):
            near[transcript.contig].append(sites.turn((anchor, anchor + 1), transcript.strand, length)[0])
    return {contig: sorted(set(positions)) for contig, positions in near.items()}


def _close(genome: Genome, task: Task, candidate: Candidate, near: Mapping[str, list[int]], exclusion: int) -> bool:
    """Whether a site lies within `exclusion` bases of a decoy's motif, or of a promoter negative's whole window."""
    length = len(genome.contigs[candidate.contig])
    motif = task.motif
    own = (candidate.anchor, candidate.anchor + len(motif)) if motif else sites.window(task, candidate.anchor)
    start, end = sites.turn(own, candidate.strand, length)
    positions = near.get(candidate.contig, [])
    first = bisect_left(positions, start - exclusion)
    return first < len(positions) and positions[first] < end + exclusion


def _decoys(genome: Genome, task: Task, recipe: sites.Recipe, salt: str) -> Iterator[Candidate]:
    coding = _coding(genome)
    for transcript in genome.genes:
        if recipe.coding_only and transcript.gene not in coding:
            continue
        rng = split.generator(0, f"{salt}:{task.name}:{transcript.gene}")
        length = len(genome.contigs[transcript.contig])
        if recipe.motif:
            text = genome.strand(transcript.contig, transcript.strand)
            yield from sites.motif_decoys(transcript, text, recipe.motif, rng)
        else:
            around = genome.owners.around(transcript.contig, transcript.span)
            space = (around[0].start, around[-1].end)
            yield from sites.promoter_negatives(transcript, space, length, task, rng)


def _cut(
    genome: Genome,
    task: Task,
    candidates: Iterator[Candidate],
    windows: Windows,
    seen: set[str],
    dropped: Counter[str],
) -> Iterator[Window]:
    """Windows of the candidates that have room, an owner, few N, and a sequence not `seen` on either strand."""
    for candidate in candidates:
        length = len(genome.contigs[candidate.contig])
        own = sites.window(task, candidate.anchor)
        if own[0] < 0 or own[1] > length:
            dropped["off_the_contig"] += 1
            continue
        start, end = sites.turn(own, candidate.strand, length)
        side = genome.owners.split(candidate.contig, (start, end))
        sequence = genome.strand(candidate.contig, candidate.strand)[own[0] : own[1]]
        if side is None:
            dropped["between_splits"] += 1
        elif n_share(sequence) > windows.max_n_share:
            dropped["too_many_n"] += 1
        elif canonical(sequence) in seen:
            dropped["duplicate"] += 1
        else:
            seen.add(canonical(sequence))
            site = sites.turn((candidate.anchor, candidate.anchor + 1), candidate.strand, length)[0]
            yield Window(
                sequence=sequence,
                contig=candidate.contig,
                start=start,
                end=end,
                strand=candidate.strand,
                split=side,
                group=genome.owners.group(candidate.contig, site),
                kind=candidate.kind,
            )


def _bases_per_split(genome: Genome) -> dict[str, int]:
    bases: Counter[str] = Counter()
    for territories in genome.owners.contigs.values():
        for owner in territories:
            bases[owner.split or "nobody"] += owner.end - owner.start
    return dict(sorted(bases.items()))


def _corpus(genome: Genome, windows: Windows, seed: int) -> Iterator[str]:
    """Chunks of the plus strand that the train split, or no gene at all, owns; a share of them, by a stable hash."""
    width = windows.corpus_window
    for contig, sequence in genome.contigs.items():
        held_out = contig in genome.owners.contigs
        for start in range(0, len(sequence) - width + 1, width):
            own = (start, start + width)
            chunk = sequence[start : start + width]
            if held_out and genome.owners.split(contig, own) != "train":
                continue
            taken = split.fraction(f"corpus:{contig}:{start}", seed) < windows.corpus_share
            if taken and n_share(chunk) <= windows.max_n_share:
                yield chunk
