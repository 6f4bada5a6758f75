"""How alike two models are inside: activations, attention, and the bases they look at. Arrays in, numbers out.

Every number stands beside what chance would give. Likeness of models is no explanation of what they do: attention above
all (Jain & Wallace 2019).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import hypergeom

from episome.metrics import Floats
from episome.transferscores import Score, undefined
from episome.types import EpisomeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """Likeness of two models' attention.

    Attributes:
        same_head: mean of 1 − JSD over layers, heads and queries, head against the same head; 1 for equal maps.
        other_head: the same, each head against every other one of its layer: what a random pairing of heads gives.
    """

    same_head: float
    other_head: Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """Key positions of two models.

    Attributes:
        iou: positions of both over positions of either.
        expected: its mean if the positions of one were shuffled.
        first: number of key positions of the first model; more than the share asked for where its border value is tied.
        second: of the second.
        positions: of the sequence.
    """

    iou: float
    expected: float
    first: int
    second: int
    positions: int


def linear_cka(first: ArrayLike, second: ArrayLike) -> Score:
    """Linear centred kernel alignment of two layers on the same inputs (Kornblith et al. 2019), 0 to 1.

    Blind to rotation and scale. With fewer inputs than features even unrelated layers look alike; use some hundreds.

    Args:
        first: float[inputs, features].
        second: float[inputs, other features].

    Raises:
        EpisomeError: the inputs differ in number, a matrix has another shape, or a number is not finite.
    """
    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise EpisomeError(f"activations {x.shape} and {y.shape}; wanted two matrices with a row per input")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise EpisomeError("activations that are not finite; the model diverged")
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    if max(x.shape[1], y.shape[1]) > len(x):
        # Fewer inputs than features: the same number from the smaller matrices of inputs by inputs.
        left, right = x @ x.T, y @ y.T
        shared, sizes = float((left * right).sum()), (np.linalg.norm(left), np.linalg.norm(right))
    else:
        shared, sizes = float(((y.T @ x) ** 2).sum()), (np.linalg.norm(x.T @ x), np.linalg.norm(y.T @ y))
    if min(sizes) == 0:
        return undefined(f"activations of {len(x)} inputs do not vary")
    return Score(value=shared / float(sizes[0] * sizes[1]))


def to_nucleotides(attention: ArrayLike, lengths: ArrayLike) -> Floats:
    """Attention on tokens as attention on bases: each token's share spread evenly over its bases, rows summing to 1.

    Args:
        attention: float[..., tokens], rows of shares.
        lengths: int[tokens], bases of each token; 0 for special tokens, whose share is dropped.

    Returns:
        float64[..., bases].

    Raises:
        EpisomeError: lengths of another number of tokens, or a row that attends to no base at all.
    """
    shares, lengths = np.asarray(attention, np.float64), np.asarray(lengths)
    if shares.shape[-1:] != lengths.shape:
        raise EpisomeError(f"attention on {shares.shape[-1:]} tokens, lengths of {lengths.shape}; wanted one per token")
    spread = np.repeat(shares / np.maximum(lengths, 1), lengths, axis=-1)
    totals = spread.sum(axis=-1, keepdims=True)
    if not (totals > 0).all():
        raise EpisomeError(f"{int((totals <= 0).sum())} rows of attention lie on no base; wanted some on each")
    return np.asarray(spread / totals)


def attention_likeness(first: ArrayLike, second: ArrayLike) -> Attention:
    """Mean of 1 − Jensen–Shannon divergence in bits (Lin 1991) between two models' attention to one sequence.

    Args:
        first: float[layers, heads, queries, bases], each last row summing to 1 (`to_nucleotides`), without padding.
        second: of the other model, on the same sequence.

    Raises:
        EpisomeError: shapes differ, or a row does not sum to 1.
    """
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.shape != other.shape or one.ndim != 4:
        raise EpisomeError(f"attention {one.shape} and {other.shape}; wanted two of [layers, heads, queries, bases]")
    for rows in (one, other):
        if (rows < 0).any() or not np.allclose(rows.sum(axis=-1), 1, atol=1e-5):
            raise EpisomeError("attention whose rows are no shares; wanted none below 0, and 1 in sum")
    heads = one.shape[1]
    # Turning the heads of one model by 1, 2, … pairs every head with every other one exactly once.
    turned = [_mean_likeness(one, np.roll(other, shift, axis=1)) for shift in range(heads)]
    alone = undefined("one head a layer: no other one to compare with")
    return Attention(same_head=turned[0], other_head=Score(value=float(np.mean(turned[1:]))) if heads > 1 else alone)


def _mean_likeness(p: Floats, q: Floats) -> float:
    middle = (p + q) / 2
    return 1 - float((_bits(p, middle) + _bits(q, middle)).mean() / 2)


def _bits(p: Floats, q: Floats) -> Floats:
    """Kullback–Leibler divergence over the last axis; q is above 0 wherever p is."""
    ratio = np.divide(p, q, out=np.ones_like(p), where=p > 0)
    return np.asarray((p * np.log2(ratio)).sum(axis=-1))


def key_overlap(first: ArrayLike, second: ArrayLike, share: float = 0.05) -> Overlap:
    """Intersection over union of the positions two models weigh most, and its mean under shuffling.

    All positions count that are at least as high as the border one, so ties are decided by no accident of order. With
    5 % of each the mean under shuffling is about 0.026 (hypergeometric; exact for the numbers at hand).

    Args:
        first: float[positions], attribution of one model, the sign already dealt with.
        second: of the other, on the same sequence.
        share: of the positions that are key.

    Raises:
        EpisomeError: lengths differ, there is no position, or the share is not above 0 and at most 1.
    """
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.shape != other.shape or one.ndim != 1 or not len(one):
        raise EpisomeError(f"attributions {one.shape} and {other.shape}; wanted one number per position of both")
    if not 0 < share <= 1:
        raise EpisomeError(f"a share of {share}; wanted one above 0 and at most 1")
    ours, theirs = (_key(each, share) for each in (one, other))
    a, b, n = int(ours.sum()), int(theirs.sum()), len(one)
    shared = np.arange(max(0, a + b - n), min(a, b) + 1)
    return Overlap(
        iou=float((ours & theirs).sum() / (ours | theirs).sum()),
        expected=float(hypergeom.pmf(shared, n, a, b) @ (shared / (a + b - shared))),
        first=a,
        second=b,
        positions=n,
    )


def _key(values: Floats, share: float) -> np.ndarray:
    count = max(1, round(share * len(values)))
    return values >= np.partition(values, -count)[-count]
