"""Whether an encoder's states still tell what they told: a linear probe, fitted anew on frozen states.

A head that moved and knowledge that is gone look alike in the answers. In language models that learn one task after
another most of what is lost is the classifier's, and a probe finds the rest still there (Zheng et al. 2024, SEQ*,
arXiv 2312.07887). Knows no files and no models.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from episome import calibration, metrics
from episome.gate import Check, Limits, Scored, change_between
from episome.metrics import Floats

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)
"""Grid of C (inverse L2 penalty on standardised states); validation AUROC chooses, of equals the smallest."""

KEY = "gate.max_probe_loss_mcc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Logistic regression on standardised states."""

    scaler: StandardScaler
    model: LogisticRegression

    def logits(self, states: ArrayLike) -> Floats:
        """float64[n] of states float[n, f]."""
        return np.asarray(self.model.decision_function(self.scaler.transform(states)), np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Old rows of one task, of all three sides of the split.

    Attributes:
        labels: 0 or 1, [n].
        groups: homology cluster of each row.
        splits: ``train``, ``val`` or ``test``.
    """

    labels: NDArray[np.integer]
    groups: NDArray[np.str_]
    splits: NDArray[np.str_]

    def side(self, split: str) -> NDArray[np.bool_]:
        """Which rows are on one side."""
        return self.splits == split


def fit(states: ArrayLike, labels: ArrayLike, judging: ArrayLike, answers: ArrayLike) -> Probe:
    """A probe on training rows, its penalty chosen on others.

    Args:
        states: float[n, f] of training rows.
        labels: 0 and 1, both, [n].
        judging: float[m, f] of validation rows.
        answers: 0 and 1, both, [m].
    """
    scaler = StandardScaler().fit(states)
    scaled = scaler.transform(states)
    # One thread: on matrices this small a second one only waits.
    with threadpool_limits(1):
        fits = [LogisticRegression(C=c, max_iter=2000, tol=1e-3).fit(scaled, labels) for c in PENALTIES]
    probes = [Probe(scaler=scaler, model=model) for model in fits]
    return max(probes, key=lambda probe: metrics.auroc(answers, probe.logits(judging)))


def unfit(task: str, held: Held, min_rows: int) -> Check | None:
    """Why there is nothing to probe, or None; no reason to refuse, since `retention` judges all that is held.

    Args:
        task: its name.
        held: its old rows.
        min_rows: fewest test rows, and fewest training rows.
    """
    n, fitting = int(held.side("test").sum()), int(held.side("train").sum())
    alone = [split for split in ("train", "val", "test") if len(np.unique(held.labels[held.side(split)])) < 2]
    if min(n, fitting) >= min_rows and not alone:
        return None
    why = f"{fitting} training and {n} test rows of the champion's releases, {min_rows} of each needed (gate.min_rows)"
    if alone:
        why = f"no rows of both labels in {', '.join(alone)}; {why}"
    message = f"{task}: no linear probe: {why}"
    return Check(name="probe", suite=task, passed=True, message=message, n=n, needed=min_rows)


def check(
    task: str, held: Held, champion: ArrayLike, challenger: ArrayLike, limits: Limits, *, most: float | None
) -> Check:
    """Whether a probe on the challenger's states answers the old test rows as well as one on the champion's.

    Both probes are fitted on the same rows, and compared by a paired cluster bootstrap as the versions themselves are.

    Args:
        task: its name.
        held: its old rows; see `unfit`.
        champion: its states, float[n, f].
        challenger: likewise.
        limits: how sure one must be.
        most: MCC that the probe may lose, by the lower confidence bound; None: told alone.
    """
    test = held.side("test")
    old, new = (_answers(held, np.asarray(states)) for states in (champion, challenger))
    change = change_between(held.labels[test], held.groups[test], old, new, limits)
    message = (
        f"{task}: linear probe on the states, MCC {change.old:.3f} -> {change.new:.3f} on {change.n} old rows, "
        f"lower bound of the change {change.low:+.3f}"
    )
    needed = None
    if most is not None:
        verdict, needed = change.verdict(most, KEY)
        message += f"; {verdict}"
    return Check(
        name="probe",
        suite=task,
        passed=most is None or change.low > -most,
        message=message,
        **change.figures,
        limit=None if most is None else -most,
        needed=needed,
    )


def _answers(held: Held, states: NDArray[np.floating]) -> Scored:
    """A probe's answers to the test rows, and its threshold from the validation rows."""
    train, val, test = (held.side(split) for split in ("train", "val", "test"))
    fitted = fit(states[train], held.labels[train], states[val], held.labels[val])
    judged, asked = (calibration.sigmoid(fitted.logits(states[side])) for side in (val, test))
    return Scored(probabilities=asked, threshold=calibration.threshold(judged, held.labels[val]))
