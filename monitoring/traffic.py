"""The last records sent to one species, and what they say about drift.

The limits of the embedded params.yaml come from 300-base windows of held-out human, mouse, zebrafish and fly sequences
against the profiles of all four. At 8 (10) nats at most 9.8 % (5.5 %) of a species' own sequences look like another
species, 47 to 91 % (34 to 84 %) of those of a far, 19 to 25 % (12 to 16 %) of those of a near one (human and mouse).
A known weakness of profiles that were fitted to the surroundings of genes alone: of 15 regions of 60,000 bases of human
chromosome 9, 5 pass the mismatch limit at 10 nats when they are sent as 300-base pieces and 1 as 2,000-base ones
(mouse: 1 of 16 either way; fly: none of 25).
"""

from collections import Counter, deque
from dataclasses import dataclass
from statistics import median
from typing import Final, Literal

from episome.drift import Match, Profile
from episome.serveparams import Monitor

State = Literal["ok", "alarm", "no verdict"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is kept of one record: numbers, never its sequence."""

    length: int
    gc: float
    n_share: float
    match: Match


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Drift of one species' recent traffic.

    Attributes:
        state: ``no verdict`` while there are too few records, unless an early alarm is on.
        mismatch: whether too many records look like another species.
        gc: whether the GC content is too far off.
        reasons: a sentence for each thing to know.
    """

    state: State
    mismatch: bool
    gc: bool
    reasons: tuple[str, ...]


class Traffic:
    """A window over the newest records of one adapter version; memory and time per record are constant."""

    def __init__(self, profile: Profile, limits: Monitor) -> None:
        """Start empty against the profile of the adapter's training sequences."""
        self.profile = profile
        self.limits = limits
        self._seen: deque[Seen] = deque(maxlen=limits.window)
        self._mismatches = 0
        self._gc_sum = 0.0
        self._n_sum = 0.0

    def add(self, seen: Seen) -> None:
        """Take in one record; the oldest leaves a full window."""
        if len(self._seen) == self.limits.window:
            self._count(self._seen[0], -1)
        self._seen.append(seen)
        self._count(seen, 1)

    def _count(self, seen: Seen, sign: int) -> None:
        self._mismatches += sign * (seen.match.status == "mismatch")
        self._gc_sum += sign * seen.gc
        self._n_sum += sign * seen.n_share

    @property
    def records(self) -> int:
        return len(self._seen)

    @property
    def mismatch_share(self) -> float:
        return self._mismatches / max(1, self.records)

    @property
    def n_share(self) -> float:
        return self._n_sum / max(1, self.records)

    @property
    def gc_zscore(self) -> float:
        """Mean GC against the training sequences, in standard deviations between those; 0 without records."""
        if not self.records:
            return 0.0
        # Training sequences of one and the same GC would make any other an infinite distance away.
        return (self._gc_sum / self.records - self.profile.gc_mean) / max(self.profile.gc_sd, _LEAST_SD)

    def status_share(self, status: Literal["match", "undecided"]) -> float:
        """Share of the window's records with that status."""
        return sum(seen.match.status == status for seen in self._seen) / max(1, self.records)

    def best_other(self) -> tuple[str, int] | None:
        """The species most mismatches look like, and how many do; None without a mismatch."""
        others = Counter(seen.match.best_species for seen in self._seen if seen.match.status == "mismatch")
        return min(others.items(), key=lambda item: (-item[1], item[0]), default=None)

    def median_length(self) -> float | None:
        """Median length of the window's records in bases; None without records."""
        return float(median(seen.length for seen in self._seen)) if self._seen else None

    def verdict(self) -> Verdict:
        """What the window says, with reasons for a person."""
        limits = self.limits
        newest = [self._seen[-1 - back] for back in range(min(limits.early_window, self.records))]
        early = sum(seen.match.status == "mismatch" for seen in newest)
        enough = self.records >= limits.needed
        mismatch, gc = False, False
        reasons = []
        if early >= limits.early_mismatches:
            mismatch = True
            reasons.append(f"{early} of the last {len(newest)} records look like another species")
        if enough and self.mismatch_share > limits.mismatch_share:
            mismatch = True
            reasons.append(
                f"{self.mismatch_share * 100:.0f} % of {self.records} records look like another species "
                f"(limit {limits.mismatch_share * 100:.0f} %)"
            )
        if enough and abs(self.gc_zscore) > limits.gc_zscore:
            gc = True
            reasons.append(
                f"mean GC is {self.gc_zscore:+.1f} standard deviations off the training sequences "
                f"(limit ±{limits.gc_zscore:g})"
            )
        if mismatch or gc:
            return Verdict(state="alarm", mismatch=mismatch, gc=gc, reasons=tuple(reasons))
        if not enough:
            return Verdict(
                state="no verdict",
                mismatch=False,
                gc=False,
                reasons=(f"no verdict: {self.records} of {limits.needed} records",),
            )
        return Verdict(state="ok", mismatch=False, gc=False, reasons=())


_LEAST_SD: Final = 1e-3
