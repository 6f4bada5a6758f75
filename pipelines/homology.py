"""Stage `homology`: families over all species that `genes` has left, what of them leaks, and a report.

What is compared is the folder of `genes` and nothing else, so that other changes of a species rerun nothing here. A
species that has left params.yaml is compared until its folder is deleted, and `check` minds it no more.
"""

import json
import sys
from collections import Counter
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

from episome import homology, kin, params, split
from episome.homology import Families
from episome.params import Params
from episome.types import EpisomeError, Split
from pipelines import paths


def main() -> None:
    """Write ``<species>.tsv`` and ``<species>.leaks.json`` of every species, and ``report.json``."""
    settings = params.read()
    species = paths.compared()
    read = {name: json.loads((paths.genes(name) / "report.json").read_text(encoding="utf-8")) for name in species}
    members = [m for name in species for m in kin.read_members(paths.genes(name) / "members.tsv.gz", name)]
    found = homology.families(members, _depths(read), settings.homology, settings.compute.threads)
    leaks = homology.leaks(members, found, _sides(found, settings))
    paths.homology().mkdir(parents=True, exist_ok=True)
    for name in species:
        kin.write_families(paths.families(name), found.of[name])
        _write(paths.relatives(name), leaks[name])
    report = {
        "methods": found.methods,
        "settings": settings.homology.model_dump(),
        "members": {name: read[name]["members"] for name in species},
        "unread": {name: read[name]["unread"] for name in species if read[name]["unread"]},
        **_counts(found),
        "leaks": {name: len(families) for name, families in leaks.items()},
        "equal_sequences_across_splits": homology.copies(members),
    }
    _write(paths.homology() / "report.json", report)
    for name, reason in report["unread"].items():
        print(f"homology: {name} left out: {reason}")
    print(
        f"homology: {report['families']} families; protein: {found.methods['protein']}; "
        f"nucleotide: {found.methods['nucleotide']}"
    )


def _depths(read: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Donors between each species and the base."""
    depths: dict[str, int] = {}

    def depth(name: str) -> int:
        if name not in read:  # the base, or a donor that has left
            return -1
        if name not in depths:
            depths[name] = depth(read[name]["donor"]) + 1
        return depths[name]

    return {name: depth(name) for name in read}


def _sides(found: Families, settings: Params) -> dict[str, Split]:
    names = {family for families in found.of.values() for family in families.values()}
    return {name: split.by_group(name, settings.windows.split, settings.seed) for name in names}


def _counts(found: Families) -> dict[str, Any]:
    """How many families there are, the largest, and how many each two species share."""
    sizes = Counter(family for families in found.of.values() for family in families.values())
    own = {name: set(families.values()) for name, families in found.of.items()}
    return {
        "families": len(sizes),
        "largest": dict(sizes.most_common(3)),
        "shared": {f"{a}-{b}": len(own[a] & own[b]) for a, b in combinations(sorted(own), 2)},
    }


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except EpisomeError as error:
        sys.exit(f"homology: {error}")
