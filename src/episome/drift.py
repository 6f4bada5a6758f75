"""Reference profile of a species' training sequences, and the question whether a sequence looks like another species.

The profile is a 5th-order Markov model (its windows are 6-mers) beside length, GC and N statistics.
A likelihood ratio of two such models tells far species apart at 300 bases (mouse/yeast AUC 0.99) where
GC content alone cannot (0.55); near species (human/mouse, 0.75) are mostly ``undecided``.
Sequences are upper-case ACGTN here; a 6-mer that touches anything but ACGT counts for nothing.
"""

import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from episome.sequence import gc, n_share
from episome.types import EpisomeError

ORDER: Final = 5
PSEUDO_COUNT: Final = 0.5
QUANTILES: Final = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
MIN_BASES: Final = 60
"""A sequence with fewer usable bases than this is ``undecided`` whatever its likelihoods."""
Status = Literal["match", "mismatch", "undecided"]

_CELLS: Final = 4 ** (ORDER + 1)
_PIECE: Final = 2**16
# A base that is not ACGT weighs more than any 6-mer of real bases, so one comparison drops every window it touches.
_CODE: Final = np.full(256, _CELLS, dtype=np.int64)
_CODE[np.frombuffer(b"ACGT", dtype=np.uint8)] = np.arange(4)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Profile:
    """What the training sequences of one species look like.

    Attributes:
        transitions: float32[1024, 4], natural log-probability of the next base (A C G T) after each 5-mer in
            lexicographic order; trained on both strands.
        length_quantiles: float64[9], lengths in bases at the levels `QUANTILES`.
        gc_mean: mean GC share of the sequences, 0 to 1.
        gc_sd: standard deviation of the GC share between sequences.
        n_share_mean: mean share of N in the sequences, 0 to 1.
        records: number of sequences behind the profile.
    """

    transitions: npt.NDArray[np.float32]
    length_quantiles: npt.NDArray[np.float64]
    gc_mean: float
    gc_sd: float
    n_share_mean: float
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Whether a sequence looks like the species it was sent to.

    Attributes:
        status: ``mismatch`` when another species explains the sequence better by more than the asked nats,
            ``match`` when its own does, ``undecided`` in between, for short sequences and where no other
            species is known.
        best_species: the species that explains it best.
        margin_nats: log-likelihood under the own species minus that under the best other one; below zero when the
            other fits better, 0 without another. A sequence longer than the profiles' longest training sequence
            counts as its average stretch of that length.
    """

    status: Status
    best_species: str
    margin_nats: float


def fit(sequences: Iterable[str]) -> Profile:
    """The profile of these sequences, both strands taken in; their order does not matter.

    Raises:
        EpisomeError: there is no sequence, or none with a base other than N.
    """
    counts = np.zeros(_CELLS, dtype=np.int64)
    lengths, gc_shares, n_shares = [], [], []
    for sequence in sequences:
        counts += _sixmers(sequence)
        lengths.append(len(sequence))
        n_shares.append(n_share(sequence))
        if n_shares[-1] < 1:
            gc_shares.append(gc(sequence))
    if not gc_shares:
        raise EpisomeError(
            f"drift profile: {len(lengths)} sequence(s) came, none with a base other than N; "
            "give the species' training sequences"
        )
    both = (counts + counts[_reverse_complements()]).reshape(-1, 4) + PSEUDO_COUNT
    # Rounded sums depend on the order of their terms; sorted, the profile depends on the set of records alone.
    gc_sorted = np.sort(np.asarray(gc_shares))
    return Profile(
        transitions=np.log(both / both.sum(axis=1, keepdims=True)).astype(np.float32),
        length_quantiles=np.quantile(np.asarray(lengths, dtype=np.float64), QUANTILES),
        gc_mean=float(gc_sorted.mean()),
        gc_sd=float(gc_sorted.std()),
        n_share_mean=float(np.sort(np.asarray(n_shares)).mean()),
        records=len(lengths),
    )


def log_likelihood(profile: Profile, sequence: str) -> float:
    """Log-likelihood in nats of all bases that follow five known ones; 0 for a sequence without such a base."""
    return _score(profile, _sixmers(sequence).astype(np.float64))


def match(sequence: str, own: str, profiles: Mapping[str, Profile], nats: float) -> Match:
    """Compare the own species with every other one that has a profile.

    Raises:
        EpisomeError: `profiles` has none for the own species.
    """
    if own not in profiles:
        raise EpisomeError(f"no drift profile for {own!r}; profiles: {', '.join(sorted(profiles)) or 'none'}")
    counts = _sixmers(sequence).astype(np.float64)
    scores = {species: _score(profile, counts) for species, profile in profiles.items()}
    mine = scores.pop(own)
    if not scores:
        return Match(status="undecided", best_species=own, margin_nats=0.0)
    other = max(sorted(scores), key=scores.__getitem__)
    usable = float(counts.sum())
    # What a profile does not know (fitted to windows around genes, asked about whole regions) adds up with length
    # as evidence does: taken whole, 94 of 100 human stretches of 2,000 bases looked like mouse to profiles of
    # 300-base promoters, taken as their average 300 bases none did, while fly among human was told in 9 of 10.
    known = min(float(profiles[species].length_quantiles[-1]) for species in (own, other))
    margin = (mine - scores[other]) * min(1.0, max(0.0, known - ORDER) / max(1.0, usable))
    return Match(
        status=_status(margin, nats, usable=usable),
        best_species=own if margin >= 0 else other,
        margin_nats=margin,
    )


def save(path: Path, profile: Profile) -> None:
    """Write the profile as an ``.npz`` whose bytes depend on its values alone."""
    # Through a file object numpy adds no suffix, and each member carries zip's fixed date of 1980.
    with path.open("wb") as file:
        np.savez(
            file,
            transitions=profile.transitions,
            length_quantiles=profile.length_quantiles,
            gc_mean=np.float64(profile.gc_mean),
            gc_sd=np.float64(profile.gc_sd),
            n_share_mean=np.float64(profile.n_share_mean),
            records=np.int64(profile.records),
        )


def load(path: Path) -> Profile:
    """Read a profile; nothing in it is unpickled.

    Raises:
        EpisomeError: the file is missing, damaged, or an array of it is missing or of the wrong type or shape.
    """
    try:
        # numpy would take a bare .npy too, and leaves a damaged file open when it is given a path.
        with path.open("rb") as file, zipfile.ZipFile(file):
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                found = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise EpisomeError(f"{path}: not a drift profile: {error}; export the bundle again") from error
    for name, (dtype, shape) in _LAYOUT.items():
        array = found.get(name)
        if array is None or array.dtype != dtype or array.shape != shape or not np.isfinite(array).all():
            came = "nothing" if array is None else f"{array.dtype}{list(array.shape)}"
            raise EpisomeError(
                f"{path}: {name} should be finite {dtype}{list(shape)}, came {came}; export the bundle again"
            )
    return Profile(
        transitions=found["transitions"],
        length_quantiles=found["length_quantiles"],
        gc_mean=float(found["gc_mean"]),
        gc_sd=float(found["gc_sd"]),
        n_share_mean=float(found["n_share_mean"]),
        records=int(found["records"]),
    )


_LAYOUT: Final[Mapping[str, tuple[str, tuple[int, ...]]]] = {
    "transitions": ("float32", (4**ORDER, 4)),
    "length_quantiles": ("float64", (len(QUANTILES),)),
    "gc_mean": ("float64", ()),
    "gc_sd": ("float64", ()),
    "n_share_mean": ("float64", ()),
    "records": ("int64", ()),
}


def _status(margin: float, nats: float, *, usable: float) -> Status:
    if usable < MIN_BASES - ORDER or abs(margin) <= nats:
        return "undecided"
    return "match" if margin > 0 else "mismatch"


def _score(profile: Profile, counts: npt.NDArray[np.float64]) -> float:
    return float(profile.transitions.reshape(-1) @ counts)


def _sixmers(sequence: str) -> npt.NDArray[np.int64]:
    """Counts of the 6-mers in lexicographic order, int64[4096]; counted piece by piece, for whole chromosomes too."""
    counts = np.zeros(_CELLS, dtype=np.int64)
    for start in range(0, len(sequence) - ORDER, _PIECE):
        code = _CODE[np.frombuffer(sequence[start : start + _PIECE + ORDER].encode("ascii"), dtype=np.uint8)]
        pairs = code[:-1] * 4 + code[1:]
        index = pairs[:-4] * 256 + pairs[2:-2] * 16 + pairs[4:]
        counts += np.bincount(index[index < _CELLS], minlength=_CELLS)
    return counts


def _reverse_complements() -> npt.NDArray[np.int64]:
    """For every 6-mer the index of its reverse complement, int64[4096]."""
    cells = np.arange(_CELLS)
    result = np.zeros(_CELLS, dtype=np.int64)
    for _ in range(ORDER + 1):
        result = result * 4 + (3 - cells % 4)
        cells //= 4
    return result
