"""The windows of one task: every true site, and negatives of the asked kinds that are like them in GC and repeats.

Nothing is fetched to be kept: a candidate is a few numbers, and of the millions of places in a genome at most
`Windows.candidates` for each negative wanted are looked at.
"""

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from episome import decoys, negatives, places, sites, split
from episome.annotation import Transcript
from episome.places import Genome, Ints, Places
from episome.sources import Negatives, Windows
from episome.types import Task

# Two TSS closer than this on one strand are one promoter.
_MERGE = 100
_SIDES = len(split.SPLITS)
_INTERGENIC = "intergenic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Windows of one task.

    Attributes:
        places: the positives (kind -1), then the negatives.
        kinds: names of the negatives' kinds, by `places["kind"]`.
        report: counts.
    """

    places: Places
    kinds: tuple[str, ...]
    report: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """What the parts of one task's choice share."""

    genome: Genome
    task: Task
    recipe: sites.Recipe
    asked: Negatives
    windows: Windows
    salt: str

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(self.asked.kinds)

    @property
    def shares(self) -> Ints:
        """Share of each kind; they add up to one."""
        given = np.array([self.asked.kinds[kind] for kind in self.kinds])
        return given / given.sum()

    def of_genes(self) -> Iterator[tuple[int, int, Transcript]]:
        """Index, contig and representative of the genes whose sites and decoys count."""
        index = {name: c for c, name in enumerate(self.genome.names)}
        for g, gene in enumerate(self.genome.genes):
            if self.genome.believes(gene, self.recipe):
                yield g, index[gene.contig], gene


def of_task(genome: Genome, task: Task, windows: Windows, salt: str) -> Choice:
    """Choose the windows of a task that is made from sites.

    Args:
        genome: surveyed.
        task: names its recipe.
        windows: numbers of the windows.
        salt: seed and species; decides the draws together with the task's name.

    Raises:
        EpisomeError: the task or its negatives have no recipe.
    """
    recipe, asked = sites.recipe(task, windows)
    job = _Job(genome=genome, task=task, recipe=recipe, asked=asked, windows=windows, salt=f"{salt}:{task.name}")
    seen: set[bytes] = set()
    dropped: Counter[str] = Counter()
    motifs: Counter[str] = Counter()
    true, lost = _look(job, _true_sites(job, dropped, motifs), seen)
    dropped += lost
    count = np.array([round(int((true["side"] == s).sum()) * asked.per_positive) for s in range(_SIDES)])
    # What decoys are dropped for says nothing about the data: there are always more than wanted.
    candidates, _ = _look(job, _drawn(job, count), seen)
    matches = []
    for s, side in enumerate(split.SPLITS):
        own = candidates[candidates["side"] == s]
        rng = split.generator(0, f"{job.salt}:{side}")
        names = [job.kinds[k] for k in own["kind"].tolist()]
        positives = _likeness(true[true["side"] == s])
        match = negatives.match(positives, _likeness(own), names, int(count[s]), asked.kinds, rng)
        matches.append((own[list(match.chosen)], match))
    rows = np.concatenate([true, *(chosen for chosen, _ in matches)])
    distance = np.array([d for _, match in matches for d in match.distance])
    report = _counts(job, rows) | _kinds(job, rows, distance, int(count.sum()))
    report["gc"]["negatives_off_by_more_than_a_bin"] = sum(match.far for _, match in matches)
    report |= {"dropped": dict(sorted((+dropped).items())), "motifs": dict(sorted(motifs.items()))}
    return Choice(places=rows, kinds=job.kinds, report=report)


def _look(job: _Job, found: Places, seen: set[bytes]) -> tuple[Places, Counter[str]]:
    kept, dropped = places.look(job.genome, found, job.task.window or 0, job.windows.max_n_share, seen)
    return found[kept], dropped


def _true_sites(job: _Job, dropped: Counter[str], motifs: Counter[str]) -> Places:
    """Sites of each gene's representative transcript; of two within 100 bases without a motif, the first."""
    taken: dict[tuple[int, str], list[int]] = defaultdict(list)
    parts = [np.zeros(0, dtype=places.PLACE)]
    for g, contig, gene in job.of_genes():
        length = job.genome.length(contig)
        anchors = []
        for anchor in job.recipe.anchors(gene, length):
            if job.recipe.motif:
                start, end = sites.turn((anchor, anchor + len(job.recipe.motif)), gene.strand, length)
                came = job.genome.fetch(contig, start, end, gene.strand)
                motifs[came] += 1
                fits = came == job.recipe.motif
                dropped["other_motif"] += not fits
            else:
                fits = _apart(taken[contig, gene.strand], anchor)
                dropped["merged"] += not fits
            if fits:
                anchors.append(anchor)
        rows, room = places.at(job.genome, job.task, contig, gene.strand, np.array(anchors, dtype=np.int64))
        dropped["off_the_contig"] += int((~room).sum())
        rows["gene"] = g
        parts.append(rows)
    return np.concatenate(parts)


def _apart(taken: list[int], anchor: int) -> bool:
    """Whether an anchor is at least `_MERGE` from those taken, ascending; it is then one of them."""
    at = bisect_left(taken, anchor)
    if any(abs(anchor - other) < _MERGE for other in taken[max(at - 1, 0) : at + 1]):
        return False
    taken.insert(at, anchor)
    return True


def _drawn(job: _Job, count: Ints) -> Places:
    """Decoys of every asked kind and side, each at most as often as `Windows.candidates` allows.

    Args:
        job: of the task.
        count: negatives wanted on each side.
    """
    most = np.ceil(job.windows.candidates * job.shares[:, None] * count).astype(np.int64)
    near = places.Near(job.genome, job.recipe)
    sample = negatives.Sample(most.ravel())
    sample.add(np.zeros(0, dtype=places.PLACE), np.zeros(0, dtype=np.int64), np.zeros(0))
    for rows, strands, rng in _proposed(job, most):
        if not len(rows):
            continue
        starts, ends = places.motif_span(rows, job.task)
        margin = job.windows.exclusion
        close = near.close(int(rows["contig"][0]), starts - margin, ends + margin, strands)
        far = rows[~close & (rows["side"] >= 0)]
        sample.add(far, far["kind"].astype(np.int64) * _SIDES + far["side"], rng.random(len(far)))
    return sample.taken()


def _proposed(job: _Job, most: Ints) -> Iterator[tuple[Places, str, np.random.Generator]]:
    """Places of one contig, strand and kind each; the strands whose sites they must be far from; a generator."""
    kinds = {kind: k for k, kind in enumerate(job.kinds) if most[k].any()}
    if kinds.keys() - {_INTERGENIC}:
        yield from _in_genes(job, kinds)
    if _INTERGENIC in kinds:
        yield from _between_genes(job, kinds[_INTERGENIC], most[kinds[_INTERGENIC]])


def _in_genes(job: _Job, kinds: dict[str, int]) -> Iterator[tuple[Places, str, np.random.Generator]]:
    draws = math.ceil(job.windows.candidates * job.asked.per_positive)
    for g, contig, gene in job.of_genes():
        rng = split.generator(0, f"{job.salt}:{gene.gene}")
        fetch = partial(job.genome.fetch, contig)
        for proposal in decoys.of_gene(gene, job.task, job.genome.length(contig), fetch, draws=draws, rng=rng):
            if proposal.kind not in kinds:
                continue
            rows, _ = places.at(job.genome, job.task, contig, proposal.strand, proposal.anchors)
            rows["kind"], rows["gene"] = kinds[proposal.kind], g
            # A window over a TSS is a negative of the other strand, where it holds none.
            yield rows, proposal.strand if proposal.kind == "opposite_strand" else "+-", rng


def _between_genes(job: _Job, kind: int, most: Ints) -> Iterator[tuple[Places, str, np.random.Generator]]:
    """Places outside all genes, a few more than the `most` wanted on each side."""
    for s, side in enumerate(split.SPLITS):
        rng = split.generator(0, f"{job.salt}:{_INTERGENIC}:{side}")
        count = int(most[s]) + int(most[s]) // 4 + 8 if most[s] else 0
        length, fetch = job.genome.length, job.genome.fetch
        found: dict[tuple[int, str], list[int]] = defaultdict(list)
        for contig, strand, anchor in decoys.between_genes(
            _gaps(job.genome, side), job.task, length, fetch, count=count, rng=rng
        ):
            found[contig, strand].append(anchor)
        for (contig, strand), anchors in sorted(found.items()):
            rows, _ = places.at(job.genome, job.task, contig, strand, np.array(anchors))
            rows["kind"] = kind
            yield rows, "+-", rng


def _gaps(genome: Genome, side: str) -> Ints:
    """Stretches of one side without a gene: columns contig, start, end."""
    found = []
    for contig in genome.edges:
        for own in genome.owners.contigs[genome.names[contig]]:
            if own.split == side:
                found += [(contig, own.start, own.core[0]), (contig, own.core[1], own.end)]
    return np.array(found, dtype=np.int64).reshape(-1, 3)


def _likeness(rows: Places) -> npt.NDArray[np.float64]:
    """What negatives follow the positives in, (rows, 2)."""
    return np.stack([rows["gc"], rows["masked"]], axis=1)


def _counts(job: _Job, rows: Places) -> dict[str, Any]:
    names = (*job.kinds, "positive")
    counts = Counter(
        (side, names[kind]) for side, kind in zip(rows["side"].tolist(), rows["kind"].tolist(), strict=True)
    )
    sides = {
        side: {kind: n for (s, kind), n in sorted(counts.items()) if split.SPLITS[s] == side} for side in split.SPLITS
    }
    return {"rows": sides}


def _kinds(job: _Job, rows: Places, distance: npt.NDArray[np.float64], wanted: int) -> dict[str, Any]:
    """For each kind what was wanted, what came and how far its GC is from its positives'; means of the classes."""
    true, other = rows[rows["kind"] < 0], rows[rows["kind"] >= 0]

    def mean(values: npt.NDArray[np.float64]) -> float | None:
        return round(float(values.mean()), 4) if len(values) else None

    kinds = {}
    for k, kind in enumerate(job.kinds):
        own = other["kind"] == k
        asked = round(wanted * float(job.shares[k]))
        kinds[kind] = {"wanted": asked, "got": int(own.sum()), "gc_distance": mean(distance[own])}
    means = {name: {"positive": mean(true[name]), "negative": mean(other[name])} for name in ("gc", "masked")}
    return {"kinds": kinds} | means
