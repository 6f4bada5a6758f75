"""One branch of the tree: substitutions, indels, new intron lengths, promoter turnover, rearranged genes."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from episome.simulate.facts import AMINO_ACIDS, Facts, Floats
from episome.simulate.promoters import promote
from episome.simulate.sites import (
    NO_SLOT,
    STOP,
    A,
    C,
    G,
    Genes,
    Ints,
    Mask,
    Part,
    Sites,
    T,
    anchors,
    borders,
    coding_positions,
    edit,
    introns,
)
from episome.simulate.traits import Traits, background, draw, intron_lengths

STEP = 0.04  # substitutions per site in one step; short against every branch
INDEL_STEPS = 4  # steps between two rounds of indels
UTR_RATE = 0.6  # share of mutations in UTRs that are accepted
MISSENSE_RATE = 0.13  # share of amino-acid changes that are accepted
ISLAND_CPG = 0.03  # CpG decay inside islands, relative to outside
MARGIN = 8  # bases around motifs and exons without indels
CORE = 60  # bases before a transcription start without indels
REARRANGED = 0.12  # inversions per gene and substitution per site
LONGEST_INVERSION = 12  # genes

AMINO = np.frombuffer(AMINO_ACIDS.encode(), dtype=np.uint8)
PLACE = np.array([16, 4, 1])
TRANSITION = np.array([G, T, A, C])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """HKY mutation of every composition class (isochores, then CpG islands).

    Attributes:
        cumulative: float64[classes, 4, 4], cumulative probability of each new base given that a site is drawn.
        fastest: draws per site and unit of time that make one neutral substitution per site.
        cpg: float64[classes], extra C→T rate inside CpG.
        log_base: float64[classes, 4], log of the stationary base frequencies.
    """

    cumulative: Floats
    fastest: float
    cpg: Floats
    log_base: Floats


def rates(traits: Traits) -> Rates:
    """Rate tables of one lineage, scaled to one neutral substitution per site and unit of time in each class."""
    gc = traits.gc
    base = np.stack([(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2], axis=1)
    rate = np.repeat(base[:, None, :], 4, axis=1)
    rate[:, np.arange(4), TRANSITION] *= traits.kappa
    rate[:, np.arange(4), np.arange(4)] = 0
    rate /= np.einsum("ci,cij->c", base, rate)[:, None, None]
    fastest = float(rate.sum(axis=2).max())
    return Rates(
        cumulative=np.cumsum(rate / fastest, axis=2),
        fastest=fastest,
        cpg=rate[:, C, T] * (traits.cpg_factor - 1),
        log_base=np.log(base),
    )


def _classes(sites: Sites, at: Ints, islands: int) -> Ints:
    return np.where(sites.island[at], islands, sites.isochore[at]).astype(np.int64)


def _mutations(sites: Sites, rate: Rates, time: float, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Positions and new bases of the neutral mutations of one step."""
    islands = len(rate.cpg) - 1
    at = rng.integers(0, len(sites), size=rng.poisson(len(sites) * time * rate.fastest))
    rows = rate.cumulative[_classes(sites, at, islands), sites.base[at]]
    new = (rng.random(len(at))[:, None] > rows).sum(axis=1)
    real = new < 4
    return at[real], new[real]


def _deaminated(sites: Sites, rate: Rates, time: float, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Positions and new bases of the extra CpG mutations of one step: C→T and G→A, outside motifs."""
    if not rate.cpg.any():
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    pairs = np.flatnonzero((sites.base[:-1] == C) & (sites.base[1:] == G))
    chance = rate.cpg[_classes(sites, pairs, len(rate.cpg) - 1)] * np.where(sites.island[pairs], ISLAND_CPG, 1.0)
    probability = 1 - np.exp(-time * chance)
    first = pairs[rng.random(len(pairs)) < probability]
    second = pairs[rng.random(len(pairs)) < probability] + 1
    at = np.concatenate([first, second])
    new = np.repeat(np.array([T, A]), [len(first), len(second)])
    free = sites.slot[at] == NO_SLOT
    return at[free], new[free]


def _one_per_codon(sites: Sites, coding: Ints, at: Ints, new: Ints) -> tuple[Ints, Ints]:
    """Keep the first mutation of each codon, so that the effect of each is judged on the codon it changes."""
    codon = np.where(sites.part[at] == Part.CODING, np.searchsorted(coding, at) // 3, -1 - np.arange(len(at)))
    _, first = np.unique(codon, return_index=True)
    first.sort()
    return at[first], new[first]


def _accepted(sites: Sites, traits: Traits, rate: Rates, coding: Ints, at: Ints, new: Ints) -> Floats:
    """Probability that selection lets each mutation stand.

    Motif bases and codons follow the rule of Metropolis against the mutation process, so that they settle on the
    lineage's matrices and codon usage.
    """
    old = sites.base[at].astype(np.int64)
    log_base = rate.log_base[_classes(sites, at, len(rate.cpg) - 1)]
    row = np.arange(len(at))
    drift = log_base[row, old] - log_base[row, new]
    part, slot = sites.part[at], sites.slot[at].astype(np.int64)
    chance = np.where((part == Part.UTR5) | (part == Part.UTR3), UTR_RATE, 1.0)
    held = slot != NO_SLOT
    columns = np.log(traits.table)
    gain = columns[slot[held], new[held]] - columns[slot[held], old[held]] + drift[held]
    chance[held] = np.where(traits.fixed[slot[held]], 0.0, np.minimum(1.0, np.exp(np.minimum(gain, 0.0))))
    inside = np.flatnonzero(part == Part.CODING)
    rank = np.searchsorted(coding, at[inside])
    before = sites.base[coding.reshape(-1, 3)[rank // 3]].astype(np.int64) @ PLACE
    after = before + (new[inside] - old[inside]) * PLACE[rank % 3]
    usage = np.log(np.maximum(traits.codons + traits.stops, 1e-4))
    preference = np.exp(np.minimum(usage[after] - usage[before] + drift[inside], 0.0))
    preference[held[inside]] = 1.0
    silent = AMINO[before] == AMINO[after]
    allowed = STOP[before] == STOP[after]
    chance[inside] *= np.where(silent, 1.0, MISSENSE_RATE) * allowed * preference
    return chance


def _substitute(
    sites: Sites, traits: Traits, rate: Rates, coding: Ints, time: float, rng: np.random.Generator
) -> Sites:
    drawn = [_mutations(sites, rate, time, rng), _deaminated(sites, rate, time, rng)]
    at, new = _one_per_codon(
        sites, coding, np.concatenate([at for at, _ in drawn]), np.concatenate([new for _, new in drawn])
    )
    stands = rng.random(len(at)) < _accepted(sites, traits, rate, coding, at, new)
    base = sites.base.copy()
    base[at[stands]] = new[stands].astype(np.int8)
    return replace(sites, base=base)


def _far(held: Mask) -> Mask:
    """Which bases have none that is held within `MARGIN`."""
    near = np.pad(np.cumsum(held, dtype=np.int32), (MARGIN + 1, MARGIN), mode="edge")
    near[: MARGIN + 1] = 0
    return near[2 * MARGIN + 1 :] == near[: -2 * MARGIN - 1]


def free(sites: Sites) -> Mask:
    """Where indels may fall: intergenic, introns and 3' UTR, away from motifs, exons and core promoters."""
    held = (sites.slot != NO_SLOT) | (sites.part == Part.CODING) | (sites.part == Part.UTR5)
    held[0] = held[-1] = True
    for start in anchors(sites, "tss"):
        held[start - CORE : start] = True
    held[borders(sites)] = True
    return _far(held)


def _indels(sites: Sites, facts: Facts, time: float, rng: np.random.Generator) -> Sites:
    """Insert and delete short stretches in free sequence, as many bases of the one as of the other on average."""
    loose = free(sites)
    places = np.flatnonzero(loose)
    stop = facts.mutation["indel_stop"]
    count = int(rng.poisson(len(places) * time * facts.mutation["indels_per_substitution"] / 2))
    keep = np.ones(len(sites), dtype=bool)
    starts, lengths = rng.choice(places, size=count), rng.geometric(stop, size=count)
    gone = np.repeat(starts, lengths) + np.concatenate([np.arange(length) for length in lengths] or [starts])
    gone = gone[gone < len(sites)]
    keep[gone[loose[gone]]] = False
    kept = places[keep[places]]
    where = np.sort(np.repeat(rng.choice(kept, size=count), rng.geometric(stop, size=count)))
    donors = rng.choice(kept, size=len(where))
    return edit(sites, keep, where, sites.base[donors])


def coding_indels(sites: Sites, facts: Facts, traits: Traits, time: float, rng: np.random.Generator) -> Sites:
    """Delete and insert whole codons, away from motifs and exon ends, so that frames and sites stay as they are."""
    codon = coding_positions(sites).reshape(-1, 3)
    loose = _far((sites.slot != NO_SLOT) | (sites.part != Part.CODING))
    whole = np.flatnonzero(loose[codon].all(axis=1) & (codon[:, 2] - codon[:, 0] == 2))
    rate, stop = facts.mutation["coding_indels_per_substitution"], facts.mutation["coding_indel_stop"]
    lost, gained = rng.poisson(3 * len(whole) * time * rate / 2, size=2)
    keep = np.ones(len(sites), dtype=bool)
    for start, length in zip(rng.choice(whole, size=lost), rng.geometric(stop, size=lost), strict=True):
        run = np.arange(start, start + length)
        keep[codon[run[np.isin(run, whole)]]] = False
    kept = whole[keep[codon[whole, 2]]]
    after = np.sort(np.repeat(rng.choice(kept, size=gained), rng.geometric(stop, size=gained)))
    new = draw(traits.codons[None], np.zeros(len(after), dtype=np.int64), rng).astype(np.int64)
    bases = (new[:, None] // PLACE % 4).reshape(-1).astype(np.int8)
    return edit(sites, keep, np.repeat(codon[after, 2], 3), bases)


def _middle(traits: Traits, starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """First and last-plus-one base of each intron that belong to no splice motif nor its margin."""
    donor, acceptor = (
        next(motif for motif in traits.slots.motifs if motif.anchor == anchor)
        for anchor in ("intron_start", "intron_end")
    )
    return starts + donor.offset[0] + donor.width + MARGIN, ends + acceptor.offset[0] - MARGIN


def _resize_introns(
    sites: Sites, genes: Genes, traits: Traits, turnover: float, rng: np.random.Generator
) -> tuple[Sites, Genes]:
    """Bring every intron to the length its rank has in this lineage, by one deletion or insertion in its middle."""
    ranks = np.where(
        rng.random(len(genes.intron_rank)) < turnover, rng.random(len(genes.intron_rank)), genes.intron_rank
    )
    starts, ends = introns(sites)
    left, right = _middle(traits, starts, ends)
    wanted = intron_lengths(traits, ranks) - (ends - starts)
    keep = np.ones(len(sites), dtype=bool)
    middle = (left + right) // 2
    for at, low, high, change in zip(middle, left, right, wanted, strict=True):
        shorter = min(-change, high - low - 2)
        if shorter > 0:
            keep[at - shorter // 2 : at - shorter // 2 + shorter] = False
    grow = np.maximum(wanted, 0)
    where = np.repeat(middle, grow)
    new = background(traits.gc[sites.isochore[where]], traits.cpg, rng)
    return edit(sites, keep, where, new), replace(genes, intron_rank=ranks)


def _rearrange(genes: Genes, length: float, rng: np.random.Generator) -> Genes:
    """Invert stretches of neighbouring genes: their order is reversed, their strands are flipped."""
    order, strand = genes.order.copy(), genes.strand.copy()
    for _ in range(int(rng.poisson(len(order) * length * REARRANGED))):
        start = int(rng.integers(len(order)))
        stop = min(len(order), start + int(rng.integers(1, LONGEST_INVERSION + 1)))
        order[start:stop] = order[start:stop][::-1].copy()
        strand[order[start:stop]] *= -1
    return replace(genes, order=order, strand=strand)


def steps(traits: Traits) -> int:
    """Number of steps that `branch` takes."""
    return max(1, round(traits.length / STEP))


def branch(
    sites: Sites, genes: Genes, facts: Facts, traits: Traits, rng: np.random.Generator, advance: Callable[[], None]
) -> tuple[Sites, Genes]:
    """Evolve a genome along one branch; ``advance`` is called after every step."""
    turnover = float(1 - np.exp(-traits.length))
    sites, genes = _resize_introns(sites, genes, traits, turnover, rng)
    sites, genes = promote(sites, genes, traits, turnover, rng)
    genes = _rearrange(genes, traits.length, rng)
    rate, count = rates(traits), steps(traits)
    time = traits.length / count
    coding = coding_positions(sites)
    for step in range(count):
        sites = _substitute(sites, traits, rate, coding, time, rng)
        if step % INDEL_STEPS == INDEL_STEPS - 1:
            sites = _indels(sites, facts, time * INDEL_STEPS, rng)
            sites = coding_indels(sites, facts, traits, time * INDEL_STEPS, rng)
            coding = coding_positions(sites)
        advance()
    return sites, genes
