"""Stage `genes`: what of one species is compared with the other species: genes, or labelled sequences.

A source that cannot be read stops nobody here: its species then has no members and the report says why, and its own
stage `windows`, which reads the source again, fails with the same words.
"""

import json
import sys
from collections import defaultdict
from typing import Any

from episome import genome, kin, params, products, sets
from episome.kin import Member
from episome.params import Params
from episome.sequence import canonical
from episome.sources import GenomeSource
from episome.types import EpisomeError, Split
from pipelines import paths


def main(species: str) -> None:
    """Write ``members.tsv.gz`` and ``report.json`` of one species."""
    settings = params.read()
    entry = settings.of(species)
    report: dict[str, Any] = {"species": species, "donor": entry.donor, "unread": None}
    try:
        members = _members(settings, species)
    except EpisomeError as error:
        members, report["unread"] = [], str(error)
    kinds = sorted({member.kind for member in members})
    report["members"] = {kind: sum(member.kind == kind for member in members) for kind in kinds}
    folder = paths.genes(species)
    folder.mkdir(parents=True, exist_ok=True)
    kin.write_members(folder / "members.tsv.gz", members)
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    said = f"nothing to compare: {report['unread']}" if report["unread"] else report["members"]
    print(f"genes {species}: {said}")


def _members(settings: Params, species: str) -> list[Member]:
    source = settings.of(species).source
    if isinstance(source, GenomeSource):
        with genome.opened(source, settings.windows) as (contigs, transcripts, _):
            return products.members(transcripts, contigs, species)
    rows, _ = sets.load(
        source, settings.tasks_of(species), species=species, windows=settings.windows, seed=settings.seed
    )
    sides: dict[str, set[Split]] = defaultdict(set)
    for group, side in zip(rows["group"], rows["split"], strict=True):
        sides[group].add(side)
    sequences = dict(zip(rows["group"], rows["sequence"].map(canonical), strict=True))
    return [
        Member(species=species, name=name, kind="window", sides=tuple(sorted(sides[name])), family="", sequence=text)
        for name, text in sequences.items()
    ]


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except EpisomeError as error:
        sys.exit(f"genes: {error}")
