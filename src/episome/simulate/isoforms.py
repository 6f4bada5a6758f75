"""Alternative transcripts: an exon skipped, another donor or acceptor, another transcription start.

Nothing is put into the sequence for them: other sites are those that happen to fit the lineage's motifs best.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np

from episome.simulate.facts import Facts, Floats
from episome.simulate.gene import Intervals, Transcript
from episome.simulate.sites import STOP, A, Bytes, G, Ints, T
from episome.simulate.traits import Traits

REACH = 90  # bases between a site and its alternative, at most
SHORTEST_EXON = 15
SHORTEST_INTRON = 45
CODING_END = 9  # bases of coding exon that keep the start or the stop codon whole

ATG = np.array([A, T, G])


def reads(base: Bytes, coding: Intervals) -> bool:
    """Whether the coding parts join to codons with ATG first and the only stop last."""
    joined = np.concatenate([base[start:end] for start, end in coding]).astype(np.int64)
    if len(joined) % 3 or (joined[:3] != ATG).any():
        return False
    stops = STOP[joined.reshape(-1, 3) @ np.array([16, 4, 1])]
    return bool(stops[-1] and not stops[:-1].any())


def _skipping(known: Transcript, rng: np.random.Generator) -> Iterator[Transcript]:
    """Without one of the wholly coding exons between others."""
    inner = [exon for exon in known.exons[1:-1] if exon in known.coding[1:-1]]
    for number in rng.permutation(len(inner)):
        gone = inner[number]
        yield replace(
            known,
            exons=tuple(exon for exon in known.exons if exon != gone),
            coding=tuple(part for part in known.coding if part != gone),
        )


def _scores(base: Bytes, table: Floats, starts: Ints) -> Floats:
    """Log frequencies of the motif begun at each start, summed over its columns."""
    columns = np.arange(len(table))
    return np.log(table)[columns, base[starts[:, None] + columns]].sum(axis=1)


def _best(base: Bytes, traits: Traits, anchor: str, pair: tuple[int, int], near: int, shift: int) -> list[int]:
    """Sites within reach of one that carry the two bases, those that fit the motif best first."""
    (number,) = (number for number, motif in enumerate(traits.slots.motifs) if motif.anchor == anchor)
    motif = traits.slots.motifs[number]
    sites = np.arange(near - REACH, near + REACH + 1)
    fits = (base[sites + shift] == pair[0]) & (base[sites + shift + 1] == pair[1]) & (sites != near)
    sites = sites[fits]
    scores = _scores(base, traits.table[traits.slots.columns(number)], sites + motif.offset[0])
    return [int(site) for site in sites[np.argsort(-scores, kind="stable")]]


def _moved(parts: Intervals, end: int, old: int, new: int) -> Intervals:
    """The parts with each start (end 0) or end (end 1) at ``old`` moved to ``new``."""
    return tuple(
        ((new, stop) if end == 0 and start == old else (start, new) if end == 1 and stop == old else (start, stop))
        for start, stop in parts
    )


def _sound(known: Transcript) -> bool:
    """Exons and introns of a length that is spliced; start and stop codon inside their exons."""
    return (
        all(stop - start >= SHORTEST_EXON for start, stop in known.exons)
        and all(right[0] - left[1] >= SHORTEST_INTRON for left, right in pairwise(known.exons))
        and all(stop - start >= CODING_END for start, stop in known.coding)
        and all(any(low <= start and stop <= high for low, high in known.exons) for start, stop in known.coding)
    )


def _donors(base: Bytes, known: Transcript, traits: Traits, rng: np.random.Generator) -> Iterator[Transcript]:
    """With another donor at one of the introns."""
    for number in rng.permutation(len(known.exons) - 1):
        old = known.exons[number][1]
        for new in _best(base, traits, "intron_start", (G, T), old, 0):
            yield replace(known, exons=_moved(known.exons, 1, old, new), coding=_moved(known.coding, 1, old, new))


def _acceptors(base: Bytes, known: Transcript, traits: Traits, rng: np.random.Generator) -> Iterator[Transcript]:
    """With another acceptor at one of the introns."""
    for number in rng.permutation(len(known.exons) - 1):
        old = known.exons[number + 1][0]
        for new in _best(base, traits, "intron_end", (A, G), old, -2):
            yield replace(known, exons=_moved(known.exons, 0, old, new), coding=_moved(known.coding, 0, old, new))


def _starts(known: Transcript, facts: Facts, rng: np.random.Generator) -> Iterator[Transcript]:
    """With a transcription start further upstream."""
    start, shift = known.exons[0][0], int(rng.integers(*facts.transcripts["tss_shift"]))
    yield replace(known, exons=_moved(known.exons, 0, start, start - shift))


def alternative(base: Bytes, known: Transcript, facts: Facts, traits: Traits, rng: np.random.Generator) -> Transcript:
    """Another transcript of a coding gene, of a kind drawn at random among those the gene has room for.

    Args:
        base: the gene's block.
        known: the canonical transcript on that block.
        facts: says how far away another transcription start lies.
        traits: the motifs of the lineage.
        rng: draws kind and place.
    """
    kinds: dict[str, Callable[[], Iterator[Transcript]]] = {
        "exon_skipping": lambda: _skipping(known, rng),
        "alternative_donor": lambda: _donors(base, known, traits, rng),
        "alternative_acceptor": lambda: _acceptors(base, known, traits, rng),
        "alternative_tss": lambda: _starts(known, facts, rng),  # every gene has room for this one
    }
    return next(
        replace(other, kind=kind)
        for kind in rng.permutation(sorted(kinds)).tolist()
        for other in kinds[kind]()
        if _sound(other) and reads(base, other.coding)
    )
