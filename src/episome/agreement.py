"""Whether a challenger still answers as the champion did: calibration on old rows, answers to golden sequences.

No test of significance: each value is held to a limit of params.yaml. Knows no files and no models.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from episome.gate import Check, Scored
from episome.metrics import Floats, ece
from episome.types import EpisomeError


def calibration(task: str, labels: ArrayLike, champion: Scored, challenger: Scored, *, most: float) -> Check:
    """Whether the expected calibration error rose by at most `most`, each version at its own temperature.

    Both are measured on the same rows in bins of equal numbers of rows, so what few rows add to either cancels out as
    far as the answers agree.

    Args:
        task: its name.
        labels: 0 or 1, one per row that the champion was tested on.
        champion: its calibrated answers.
        challenger: likewise.
        most: of params.yaml, ``gate.max_ece_increase``.
    """
    labels = np.asarray(labels)
    n = len(labels)
    if not n:
        message = f"{task}: too few to tell of calibration: 0 rows came, 1 needed"
        return Check(name="calibration", suite=task, passed=False, message=message, n=n, limit=most, needed=1)
    old, new = (ece(labels, version.probabilities) for version in (champion, challenger))
    risen = round(new - old, 6)
    message = f"{task}: ECE {old:.3f} -> {new:.3f} on {n} rows; {_verdict(risen, most, 'gate.max_ece_increase')}"
    return Check(name="calibration", suite=task, passed=risen <= most, message=message, n=n, limit=most, value=risen)


def divergence(task: str, champion: ArrayLike, challenger: ArrayLike, *, most: float) -> Check:
    """Whether the mean KL(champion‖challenger) over the golden sequences is at most `most` nats.

    Args:
        task: its name.
        champion: its calibrated logits, one per golden sequence.
        challenger: likewise, of the same sequences.
        most: of params.yaml, ``gate.max_kl``.
    """
    nats = kl(champion, challenger)
    mean = round(float(nats.mean()), 6)
    message = (
        f"{task}: mean KL(champion‖challenger) {mean:.4f} nats over {len(nats)} golden sequences; "
        f"{_verdict(mean, most, 'gate.max_kl')}"
    )
    return Check(name="kl", suite=task, passed=mean <= most, message=message, n=len(nats), limit=most, value=mean)


def flips(task: str, champion: Scored, challenger: Scored, *, most: float) -> Check:
    """Whether at most a share `most` of the golden sequences is called otherwise, each version by its own threshold."""
    turned = champion.calls() != challenger.calls()
    share = round(float(turned.mean()), 6)
    message = (
        f"{task}: {int(turned.sum())} of {len(turned)} golden sequences are called otherwise; "
        f"{_verdict(share, most, 'gate.max_flips')}"
    )
    return Check(
        name="flips", suite=task, passed=share <= most, message=message, n=len(turned), limit=most, value=share
    )


def kl(champion: ArrayLike, challenger: ArrayLike) -> Floats:
    """KL divergence in nats of two yes/no answers, elementwise, from their logits; exact where probabilities round."""
    old, new = (np.asarray(logits, np.float64) for logits in (champion, challenger))
    if old.shape != new.shape or not old.size:
        raise EpisomeError(f"logits of {old.shape} and {new.shape} sequences; wanted as many of both, one at least")
    probability = 0.5 * (1 + np.tanh(old / 2))
    # log(1 + exp(new)) - log(1 + exp(old)) - p (new - old), which is never below 0 but for rounding.
    nats: NDArray[np.float64] = np.logaddexp(0, new) - np.logaddexp(0, old) - probability * (new - old)
    return np.maximum(nats, 0.0)


def _verdict(value: float, most: float, key: str) -> str:
    return f"{value:.4f} is {'within' if value <= most else 'more than'} {most} ({key})"
