"""Spectra as a hint at a donor: pieces of one length, equal amounts, and doubts where the answer is none."""

import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from episome import spectra
from episome.species import SpeciesError
from episome.spectra import PIECE
from episome.types import EpisomeError

NAMES = {key: key for key in "abcde"}


def dna(gc: float, bases: int, seed: int = 0) -> str:
    drawn = np.random.default_rng(seed).random(bases)
    return (
        np.frombuffer(b"ATGC", np.uint8)[np.searchsorted([(1 - gc) / 2, 1 - gc, 1 - gc / 2], drawn)].tobytes().decode()
    )


def cut(*texts: str) -> list[str]:
    return list(spectra.pieces([text[i : i + PIECE] for text in texts for i in range(0, len(text), PIECE)]))


def test_pieces_have_one_length_whatever_they_are_made_of() -> None:
    windows = [dna(0.5, 300, seed) for seed in range(40)]
    made = list(spectra.pieces(["N" * 500, *windows, "N" * 500]))
    assert [len(piece) - piece.count("N") for piece in made] == [2100] * 5
    assert "N".join(made) == "N".join(windows[:35])
    assert list(spectra.pieces(["A" * (PIECE - 1)])) == []
    assert list(spectra.pieces([])) == []


def test_even_steps_reach_over_all() -> None:
    assert spectra.even(range(10), 4) == [0, 2, 5, 7]
    assert spectra.even("abc", 9) == ["a", "b", "c"]


def fasta(path: Path, records: dict[str, str]) -> Path:
    text = "".join(f">{name}\n{bases}\n" for name, bases in records.items()).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@pytest.mark.parametrize("name", ["in.fa", "in.fa.gz"])
def test_a_fasta_is_read_without_mitochondrion_haplotypes_and_n(tmp_path: Path, name: str) -> None:
    nuclear = dna(0.4, 3 * PIECE + 50)
    made = spectra.of_fasta(
        fasta(
            tmp_path / name,
            {"chr1": nuclear.lower(), "gap": "N" * 9999, "chrM": dna(0.5, 9000), "chr1_alt": "A" * 9000},
        )
    )
    assert made == [nuclear[i : i + PIECE] for i in (0, PIECE, 2 * PIECE)]


def test_of_a_large_fasta_pieces_are_taken_at_even_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectra, "MOST", 2)
    whole = dna(0.4, 4 * PIECE)
    assert spectra.of_fasta(fasta(tmp_path / "in.fa", {"c": whole})) == [whole[:PIECE], whole[2 * PIECE : 3 * PIECE]]


@pytest.mark.parametrize(
    ("text", "said"), [("", "no record"), (">a\nACG-\n", "is no nucleotide"), (">a\n", "no sequence")]
)
def test_what_is_no_fasta_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "in.fa"
    path.write_text(text)
    with pytest.raises(EpisomeError, match=rf"in\.fa: .*{said}"):
        spectra.of_fasta(path)


def test_the_most_alike_comes_first_and_is_not_doubted() -> None:
    candidates = {"b": cut(dna(0.6, 120_000, 1)), "a": cut(dna(0.42, 120_000, 2))}
    said = spectra.compare(cut(dna(0.41, 160_000, 3)), candidates, NAMES)
    assert [each.key for each in said.ranked] == ["a", "b"]
    assert (said.doubts, said.bases) == ((), 120_000)
    assert all(each.whole < min(each.first, each.second) for each in said.ranked[:1])  # halves are rougher


def test_amounts_are_equal_so_that_less_sequence_does_not_look_further_away() -> None:
    many, few, asked = (cut(dna(0.42, bases, bases)) for bases in (900_000, 100_000, 800_000))
    said = spectra.compare(asked, {"many": many, "few": few}, {"many": "A a", "few": "B b"})
    one, other = (each.whole for each in said.ranked)
    assert said.bases == 100_000
    assert one == pytest.approx(other, rel=0.1)


def doubts(asked: Sequence[str], candidates: dict[str, list[str]], names: dict[str, str] = NAMES) -> tuple[str, ...]:
    return spectra.compare(asked, candidates, names).doubts


def test_an_outsider_of_both_is_undecided_unless_they_are_one_species() -> None:
    candidates = {"a": cut(dna(0.42, 120_000, 1)), "b": cut(dna(0.43, 120_000, 2))}
    asked = cut(dna(0.6, 120_000, 3))
    (said,) = doubts(asked, candidates)
    assert said.startswith("b and a are more like each other (0.00")
    assert said.endswith("than b is like the FASTA")
    assert doubts(asked, candidates, {"a": "Homo sapiens", "b": "Homo sapiens"}) == ()
    assert doubts(asked, {"a": candidates["a"]}) == ()


def test_halves_that_disagree_are_undecided() -> None:
    candidates = {"a": cut(dna(0.35, 120_000, 1)), "b": cut(dna(0.65, 120_000, 2))}
    asked = cut(dna(0.36, 60_000, 3), dna(0.64, 60_000, 4))
    assert doubts(asked, candidates)[-1] == "the first half of the FASTA is most like a, the second most like b"
    same = {"a": "Homo sapiens", "b": "Homo sapiens"}
    assert doubts(asked, candidates, same) == ()


def test_pieces_without_a_word_are_refused_by_the_spectrum() -> None:
    with pytest.raises(SpeciesError, match="6 bases without N"):
        spectra.compare(["ACGTN"] * 2, {"a": ["ACGTN"] * 2}, NAMES)
