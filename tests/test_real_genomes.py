"""The five real genome folders become rows by one params file; rows are checked base by base against the FASTA.

Sites and sequences are read again by other means than the importer's: `tests.hand_count`, in 1-based coordinates with
both ends included.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from episome import annotation, dataset, kin, params
from pipelines import paths, windows
from tests.conftest import ROOT
from tests.hand_count import (
    FOLDERS,
    SHORTEST_INTRON,
    Model,
    all_starts,
    annotation_of,
    between,
    by_hand,
    first_base,
    plain_fasta,
    stretch,
)

CHECKED = 100
PARAMS = ROOT / "examples/genomes/params.yaml"
MOTIFS = {"donor": "GT", "acceptor": "AG", "tis": "ATG"}
SITES = ("promoter", "donor", "acceptor", "tis")
OTHER = {"+": "-", "-": "+"}

Place = tuple[str, int, str]  # contig, 1-based first base of the site as it is read, strand


@dataclass(frozen=True)
class Real:
    """A folder's rows, and what is in it by hand.

    Attributes:
        sites: task → places of any transcript.
        sure: task → places that a row may call a site.
        coding: stretches of coding sequence: contig, first, last, strand.
        introns: likewise.
    """

    rows: pd.DataFrame
    bases: Mapping[str, str]
    sites: Mapping[str, set[Place]]
    sure: Mapping[str, set[Place]]
    coding: set[tuple[str, int, int, str]]
    introns: set[tuple[str, int, int, str]]
    exclusion: int


@pytest.fixture(scope="module", params=FOLDERS)
def real(request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Real:
    folder = shared / "data" / "genomes" / str(request.param)
    project = tmp_path_factory.mktemp("project")
    (project / "params.yaml").write_text(PARAMS.read_text())
    (project / "data").mkdir()
    (project / "data/genomes").symlink_to(folder.parent)
    with pytest.MonkeyPatch.context() as here:
        here.chdir(project)
        paths.homology().mkdir(parents=True)
        kin.write_families(paths.families(folder.name), {})
        windows.main(folder.name)
        rows = dataset.read(paths.windows(folder.name) / "rows.parquet")
        exclusion = params.read().windows.exclusion
    models = by_hand(annotation_of(folder))
    introns = {
        space for model in models.values() for space in between(model) if space[2] - space[1] + 1 >= SHORTEST_INTRON
    }
    sites, sure = places(models, introns, annotation_of(folder))
    coding = {(m.contig, a, b, m.strand) for m in models.values() for a, b, _ in m.cds}
    return Real(rows, plain_fasta(folder / "genome.fa.gz"), sites, sure, coding, introns, exclusion)


def places(
    models: dict[str, Model], introns: set[tuple[str, int, int, str]], file: Path
) -> tuple[dict[str, set[Place]], dict[str, set[Place]]]:
    """Sites of any transcript, and those of each gene's representative that are known to be whole."""
    chosen = representatives(file)
    starts = all_starts(models)
    ends = {name: (m.cds[0][0] if m.strand == "+" else m.cds[-1][1]) for name, m in models.items() if m.cds}
    sites = {
        "promoter": {first_base(model) for model in models.values()},
        "donor": {(contig, a if strand == "+" else b, strand) for contig, a, b, strand in introns},
        "acceptor": {(contig, b - 1 if strand == "+" else a + 1, strand) for contig, a, b, strand in introns},
        "tis": {(models[name].contig, end, models[name].strand) for name, end in ends.items()},
    }
    own = {space for name in chosen for space in between(models[name])} & introns
    sure = {
        "promoter": {first_base(models[name]) for name in chosen},
        "donor": {(contig, a if strand == "+" else b, strand) for contig, a, b, strand in own},
        "acceptor": {(contig, b - 1 if strand == "+" else a + 1, strand) for contig, a, b, strand in own},
        "tis": {starts[name] for name in chosen & starts.keys()},
    }
    return sites, sure


def representatives(file: Path) -> set[str]:
    by_gene: dict[str, list[annotation.Transcript]] = defaultdict(list)
    for transcript in annotation.read(file).transcripts:
        by_gene[transcript.gene].append(transcript)
    return {annotation.representative(transcripts).id for transcripts in by_gene.values()}


def some(rows: pd.DataFrame, task: str, label: int) -> list[Any]:
    """A hundred rows of a label, drawn at random, or all where there are fewer."""
    own = rows[rows[f"label_{task}"] == label]
    return list(own.sample(min(CHECKED, len(own)), random_state=1).itertuples())


def anchor(row: Any, before: int) -> Place:
    """1-based base of a row's site, which has `before` bases before it."""
    return row.contig, row.start + 1 + before if row.strand == "+" else row.end - before, row.strand


def asked(real: Real, *names: str) -> list[str]:
    return [task for task in dataset.tasks(real.rows) if task in names or (not names and task.startswith("contains_"))]


def test_every_task_that_the_annotation_allows_has_rows_of_both_labels(real: Real) -> None:
    tasks = set(dataset.tasks(real.rows))
    known = {f"contains_{name}" for name in ("tss", "donor", "acceptor", "tis", "cds", "intron")} | set(SITES)
    assert tasks == (known if real.coding else known - {"tis", "contains_tis", "contains_cds"})
    for task in tasks:
        assert {0, 1} <= set(real.rows[f"label_{task}"])


def test_sequences_are_the_fastas_on_both_strands(real: Real) -> None:
    strands = set()
    for task in dataset.tasks(real.rows):
        for label in (0, 1):
            for row in some(real.rows, task, label):
                assert row.sequence == stretch(real.bases[row.contig], row.start + 1, row.end, row.strand)
                strands.add(row.strand)
    assert strands == {"+", "-"}


def test_positives_are_annotated_and_carry_their_motif_in_the_middle(real: Real) -> None:
    for task in asked(real, *SITES):
        for row in some(real.rows, task, 1):
            before = 249 if task == "promoter" else len(row.sequence) // 2
            assert anchor(row, before) in real.sure[task]
            assert row.sequence[before:].startswith(MOTIFS.get(task, ""))
            assert row.negative_kind == ""


def test_negatives_are_far_from_every_annotated_site(real: Real) -> None:
    for task in asked(real, *SITES):
        motif = MOTIFS.get(task, "")
        kinds = set()
        for row in some(real.rows, task, 0):
            middle = len(row.sequence) // 2
            assert row.sequence[middle:].startswith(motif)
            first, last = row.start + 1, row.end
            if motif:
                # The motif's first and last base on the plus strand.
                _, at, _ = anchor(row, middle)
                first, last = (at, at + len(motif) - 1) if row.strand == "+" else (at - len(motif) + 1, at)
            near = {
                strand
                for contig, base, strand in real.sites[task]
                if contig == row.contig and first - real.exclusion <= base <= last + real.exclusion
            }
            allowed = {OTHER[row.strand]} if row.negative_kind == "opposite_strand" else set()
            assert near == allowed or (near == set() and not allowed)
            kinds.add(row.negative_kind)
        assert len(kinds) > 1


def test_windows_hold_what_they_say_on_their_own_strand(real: Real) -> None:
    named = {"tss": "promoter", "donor": "donor", "acceptor": "acceptor", "tis": "tis"}
    for task in asked(real):
        name = task.removeprefix("contains_")
        for row in some(real.rows, task, 1) + some(real.rows, task, 0):
            label = getattr(row, f"label_{task}")
            if name in named:
                long = len(MOTIFS.get(named[name], "N"))
                held = inside(row, real.sites[named[name]], long)
                sure = inside(row, real.sure[named[name]], long)
                assert (long in sure) if label else not held
            else:
                spans = real.coding if name == "cds" else real.introns
                touched = any(
                    contig == row.contig and strand == row.strand and first <= row.end and last > row.start
                    for contig, first, last, strand in spans
                )
                assert touched == bool(label)


def inside(row: Any, sites: set[Place], long: int) -> set[int]:
    """For each site on the row's strand that touches its window, how many of its bases are inside."""
    found = set()
    for contig, base, strand in sites:
        if (contig, strand) == (row.contig, row.strand):
            bases = range(base, base + long) if strand == "+" else range(base - long + 1, base + 1)
            found.add(sum(row.start < b <= row.end for b in bases))
    return found - {0}
