"""Several donors in one start: ΔW = Σ w_k ΔW_k, mixed as products, never factor by factor.

The mean of factors is not the factor of the mean: (B₁ + B₂)(A₁ + A₂) holds B₁A₂, which nobody learned. So factors are
laid side by side, [w₁B₁ w₂B₂] and [A₁; A₂], whose product is the mixture exactly, and cut back to the adapter's rank by
the singular value decomposition, which loses least of it (Eckart & Young 1936). Weights fall with distance, as exp(−d).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from episome.types import EpisomeError

_A, _B = "lora_A", "lora_B"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One donor's saved adapter.

    Attributes:
        factors: under peft's names, ``….lora_A.weight`` [r, in] and ``….lora_B.weight`` [out, r].
        scale: alpha / r that they were trained with.
        distance: to the target, in units of the policy.
    """

    factors: Mapping[str, Tensor]
    scale: float
    distance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Blend:
    """A mixture cut to a rank.

    Attributes:
        factors: float32, as `Source.factors`, of scale 1.
        weights: of the sources, in their order; they add up to 1.
        lost: share of the mixture's squared size, over all layers, that the rank has no room for.
    """

    factors: dict[str, Tensor]
    weights: tuple[float, ...]
    lost: float


def weights(distances: Sequence[float]) -> tuple[float, ...]:
    """Share of each donor: exp(−d) over the sum of all."""
    raw = np.exp(-(np.asarray(distances) - min(distances)))
    return tuple(float(w) for w in raw / raw.sum())


def blend(sources: Sequence[Source], rank: int) -> Blend:
    """Mix adapters by distance and cut the mixture to `rank`.

    Raises:
        EpisomeError: no source came, or two adapt different layers.
    """
    if not sources:
        raise EpisomeError("a blend of no donor; wanted at least one")
    shares = weights([source.distance for source in sources])
    parts = [(share * source.scale, source.factors) for share, source in zip(shares, sources, strict=True)]
    factors, lost = mixed(parts, rank)
    return Blend(factors=factors, weights=shares, lost=lost)


def mixed(parts: Sequence[tuple[float, Mapping[str, Tensor]]], rank: int) -> tuple[dict[str, Tensor], float]:
    """The sum of weighted products, cut to `rank`.

    Args:
        parts: weight and factors of each, under names that hold ``lora_A`` or ``lora_B``.
        rank: of the result.

    Returns:
        factors, float32, and what `Blend.lost` says.

    Raises:
        EpisomeError: two parts adapt different layers.
    """
    first = parts[0][1]
    for _, other in parts[1:]:
        if odd := sorted(first.keys() ^ other.keys())[:4]:
            raise EpisomeError(f"adapters of different layers, e.g. {odd}; train them with one lora.targets")
    factors: dict[str, Tensor] = {}
    kept = whole = 0.0
    for name in (key for key in first if _B in key):
        below = name.replace(_B, _A)
        left = torch.cat([weight * each[name].double() for weight, each in parts], dim=1)
        right = torch.cat([each[below].double() for _, each in parts], dim=0)
        b, a, values = _cut(left, right, rank)
        factors[name], factors[below] = b.float().contiguous(), a.float().contiguous()
        kept, whole = kept + float((values[:rank] ** 2).sum()), whole + float((values**2).sum())
    return factors, 1 - kept / whole if whole > 0 else 0.0


def _cut(left: Tensor, right: Tensor, rank: int) -> tuple[Tensor, Tensor, Tensor]:
    """The best [out, r] and [r, in] for the product of [out, R] and [R, in], r ≤ `rank`, and all singular values.

    Only R × R is decomposed. Directions that the product does not have are left out: with both factors at zero there
    they could never be learned.
    """
    q_left, r_left = torch.linalg.qr(left)
    q_right, r_right = torch.linalg.qr(right.T)
    u, values, vh = torch.linalg.svd(r_left @ r_right.T)
    floor = torch.finfo(values.dtype).eps * len(values) * values[0]
    size = min(rank, int((values > floor).sum()))
    root = values[:size].sqrt()
    return q_left @ (u[:, :size] * root), (root[:, None] * vh[:size]) @ q_right.T, values
