"""Promoter architecture: which motifs and CpG islands a gene has, gained and lost along the tree."""

from dataclasses import replace

import numpy as np

from episome.simulate.sites import NO_SLOT, Genes, Ints, Mask, Sites, anchors
from episome.simulate.traits import Traits, draw

ISLAND_BEFORE, ISLAND_AFTER = 230, 130  # bases of a CpG island on either side of the transcription start


def hang(sites: Sites, traits: Traits, motif: int, at: Ints, rng: np.random.Generator) -> Sites:
    """Draw a motif near each anchor, at one of its offsets where no other motif stands; without one, none is drawn."""
    columns = traits.slots.columns(motif)
    low, high = traits.slots.motifs[motif].offset
    width = columns.stop - columns.start
    taken = np.append(0, np.cumsum(sites.slot != NO_SLOT))
    begins = at[:, None] + np.arange(low, high + 1)
    rank = np.where(taken[begins + width] == taken[begins], rng.random(begins.shape), -1.0)
    best = rank.argmax(axis=1)[:, None]
    begin = np.take_along_axis(begins, best, axis=1)[np.take_along_axis(rank, best, axis=1) >= 0]
    where = begin[:, None] + np.arange(width)
    rows = np.broadcast_to(np.arange(columns.start, columns.stop), where.shape)
    slot, base = sites.slot.copy(), sites.base.copy()
    slot[where] = rows
    base[where] = draw(traits.table, rows, rng)
    return replace(sites, slot=slot, base=base)


def _drop(sites: Sites, traits: Traits, motif: int, lost: Mask) -> Sites:
    """Release a motif's bases in the genes named by ``lost``; they drift from here on."""
    columns = traits.slots.columns(motif)
    gone = (sites.slot >= columns.start) & (sites.slot < columns.stop) & lost[sites.gene]
    return replace(sites, slot=np.where(gone, np.int16(NO_SLOT), sites.slot))


def _tata(sites: Sites, traits: Traits, at: Ints) -> Ints:
    """First base of each gene's TATA motif, or where it lies in most genes that have one."""
    (number,) = (number for number, motif in enumerate(traits.slots.motifs) if motif.name == "tata")
    found = np.flatnonzero(sites.slot == traits.slots.starts[number])
    places = at + traits.slots.motifs[number].offset[0]
    places[sites.gene[found]] = found
    return places


def _islands(sites: Sites, has: Mask, at: Ints) -> Sites:
    island = np.zeros(len(sites), dtype=bool)
    for start in at[has]:
        island[start - ISLAND_BEFORE : start + ISLAND_AFTER] = True
    return replace(sites, island=island)


def promote(
    sites: Sites, genes: Genes, traits: Traits, turnover: float, rng: np.random.Generator
) -> tuple[Sites, Genes]:
    """Redraw each gene's promoter motifs and island with probability ``turnover`` from the lineage's shares.

    A motif that is gained is drawn from the lineage's matrix; one that is lost is left to drift.
    """
    at = anchors(sites, "tss")
    promoter = genes.promoter.copy()
    for number, motif in enumerate(traits.slots.motifs):
        if not motif.promoter:
            continue
        hangs = at if motif.anchor == "tss" else _tata(sites, traits, at)
        turned = rng.random(len(at)) < turnover
        wanted = np.where(turned, rng.random(len(at)) < traits.use[number], promoter[:, number])
        sites = _drop(sites, traits, number, promoter[:, number] & ~wanted)
        sites = hang(sites, traits, number, hangs[wanted & ~promoter[:, number]], rng)
        columns = traits.slots.columns(number)
        promoter[:, number] = False
        promoter[sites.gene[sites.slot == columns.start], number] = True
    turned = rng.random(len(at)) < turnover
    island = np.where(turned, rng.random(len(at)) < traits.island_share, genes.island)
    return _islands(sites, island, at), replace(genes, promoter=promoter, island=island)
