"""What may have relatives in other species, and the files between the stages that say who is whose."""

import gzip
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from episome import packed
from episome.types import EpisomeError, Split

Kind = Literal["protein", "transcript", "window"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One thing that is compared: a coding gene is two members of one name, its protein and its transcript.

    Attributes:
        species: key of its species.
        name: its gene, or `split.canonical_group` of a labelled sequence; within the species unique with its kind.
        kind: what `sequence` is; a protein is compared with proteins, all others with each other.
        sides: splits that the source puts it on; none where `territory` decides by the family.
        family: what the annotation states, "" for nothing.
        sequence: amino acids or upper-case A C G T N.
    """

    species: str
    name: str
    kind: Kind
    sides: tuple[Split, ...]
    family: str
    sequence: str


class KinError(EpisomeError):
    """A file of members or families that this project did not write."""


def write_members(path: Path, members: Iterable[Member]) -> None:
    """Write members, a line each, in the order of their names and kinds; equal members give equal bytes."""
    lines = (
        "\t".join((m.name, m.kind, ",".join(m.sides), m.family, m.sequence))
        for m in sorted(members, key=lambda m: (m.name, m.kind))
    )
    with path.open("wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6, mtime=0) as stream:
        stream.writelines(f"{line}\n".encode() for line in lines)


def read_members(path: Path, species: str) -> list[Member]:
    """Members of a species that `write_members` wrote.

    Raises:
        KinError: no such file, or a line that is none of a member.
    """
    members = []
    for place, columns in _lines(path, 5):
        name, kind, sides, family, sequence = columns
        if kind not in ("protein", "transcript", "window"):
            raise KinError(f"{place}: kind {kind!r}; wanted: protein, transcript or window")
        members.append(
            Member(
                species=species,
                name=name,
                kind=cast("Kind", kind),
                sides=cast("tuple[Split, ...]", tuple(sides.split(",")) if sides else ()),
                family=family,
                sequence=sequence,
            )
        )
    return members


def write_families(path: Path, families: Mapping[str, str]) -> None:
    """Write member and family of one species, a line each, in the order of the members."""
    path.write_text("".join(f"{member}\t{families[member]}\n" for member in sorted(families)), encoding="utf-8")


def read_families(path: Path) -> dict[str, str]:
    """Member → family of one species, as `write_families` wrote them.

    Raises:
        KinError: no such file, or a line without both.
    """
    return {member: family for _, (member, family) in _lines(path, 2)}


def _lines(path: Path, wanted: int) -> Iterator[tuple[str, list[str]]]:
    with packed.text(path, KinError) as text:
        for number, line in enumerate(text, start=1):
            columns = line.rstrip("\n").split("\t")
            if len(columns) != wanted:
                raise KinError(f"{path} line {number}: {len(columns)} columns; wanted: {wanted}; run `dvc repro`")
            yield f"{path} line {number}", columns
