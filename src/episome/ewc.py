"""Elastic weight consolidation of an adapter in ΔW space (Kirkpatrick et al. 2017, on ΔW = scale · B A).

Penalising A and B apart would charge for changes that leave the function alone: (B K, K⁻¹ A) is the same ΔW.
So the Fisher information is taken of ΔW, per example and exactly, and stored factored as row and column sums
(Shazeer & Stern 2018), F[i, j] ≈ row[i] · col[j] / Σ row, or whole where that is asked for. The head, which the retrain
shares, is held by its own diagonal Fisher in closed form. Units: nats per example, so ½ Σ F (ΔW − ΔW*)² predicts
KL(old ‖ new) per example. `episome.sensitivity` takes it.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from episome.lora import Adapted
from episome.types import EpisomeError

FILE = "fisher.safetensors"
_MAS = "mas:"
_NO_INFORMATION = 1e-30  # nats per unit of ΔW²; 1 / this, times any weight, is still finite in fp32


@dataclass(frozen=True, slots=True, kw_only=True)
class Fisher:
    """Factored Fisher information of an adapter and the diagonal one of its head.

    Attributes:
        rows: per layer float32 [out], row sums of F.
        columns: per layer float32 [in], column sums of F.
        head_weight: float32 [L, F] over the folded head weight.
        head_bias: float32 [L].
        full: per layer float32 [out, in], F itself; empty where only its sums are kept.
        apart: per layer float32 [r, in] of A and [out, r] of scale · B, each by itself; empty unless asked for.
        mas: importance by another measure (`sensitivity.mas`), in the same shapes; None unless asked for.
    """

    rows: dict[str, Tensor]
    columns: dict[str, Tensor]
    head_weight: Tensor
    head_bias: Tensor
    full: dict[str, Tensor] = field(default_factory=dict)
    apart: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    mas: "Fisher | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """What a retrain is held to: the champion's factors and head, and how much each direction mattered."""

    fisher: Fisher
    a: dict[str, Tensor]
    b: dict[str, Tensor]
    head_weight: Tensor
    head_bias: Tensor


def penalty(layers: Iterable[Adapted], head_weight: Tensor, head_bias: Tensor, anchor: Anchor) -> Tensor:
    """½ Σ F (θ − θ*)² over ΔW of every layer and over the head; a scalar in nats per example.

    Computed in rank space: with Bc = [sB, −B*] and Ac = [A; A*], Σ row[i] col[j] D[i, j]² is
    tr[(Bcᵀ diag(row) Bc)(Ac diag(col) Acᵀ)], so no [out, in] matrix is made, unless F was kept whole. Tasks that the
    anchor does not know (more head rows than the anchor's) are free.

    Args:
        layers: the adapter being trained.
        head_weight: [L, F] folded head weight being trained.
        head_bias: [L].
        anchor: what to hold on to; its head has the first L' ≤ L rows.
    """
    total = _of_head(head_weight, head_bias, anchor)
    for layer in layers:
        row, column = anchor.fisher.rows[layer.name], anchor.fisher.columns[layer.name]
        if row.sum() < _NO_INFORMATION:
            continue  # divided by it, even a zero has no gradient: a layer that was never trained holds nothing back
        left = torch.cat([layer.scale * layer.b, -anchor.b[layer.name]], dim=1)
        right = torch.cat([layer.a, anchor.a[layer.name]], dim=0)
        if layer.name in anchor.fisher.full:
            total = total + (anchor.fisher.full[layer.name] * (left @ right) ** 2).sum()
            continue
        gram = ((left.T * row) @ left) * ((right * column) @ right.T).T
        total = total + gram.sum() / row.sum()
    return 0.5 * total


def penalty_apart(layers: Iterable[Adapted], head_weight: Tensor, head_bias: Tensor, anchor: Anchor) -> Tensor:
    """½ Σ F (θ − θ*)² over A and scale · B by themselves and over the head, as EWC is usually put on an adapter.

    For comparison with `penalty`: it charges for changes that leave ΔW alone.

    Raises:
        EpisomeError: the anchor's Fisher was taken without them.
    """
    total = _of_head(head_weight, head_bias, anchor)
    for layer in layers:
        if layer.name not in anchor.fisher.apart:
            raise EpisomeError(
                f"the champion's Fisher has no {layer.name} by factors; train it with train.guard: ewc_factors too"
            )
        of_a, of_b = anchor.fisher.apart[layer.name]
        rank = len(of_a)  # directions added since carry no information
        moved_a = (layer.a - anchor.a[layer.name])[:rank]
        moved_b = (layer.scale * layer.b - anchor.b[layer.name])[:, :rank]
        total = total + (of_a * moved_a**2).sum() + (of_b * moved_b**2).sum()
    return 0.5 * total


def _of_head(weight: Tensor, bias: Tensor, anchor: Anchor) -> Tensor:
    known = anchor.head_weight.shape[0]
    total = (anchor.fisher.head_weight * (weight[:known] - anchor.head_weight) ** 2).sum()
    return total + (anchor.fisher.head_bias * (bias[:known] - anchor.head_bias) ** 2).sum()


def accumulate(old: Fisher, new: Fisher, decay: float = 1.0) -> Fisher:
    """One running precision (online EWC, Huszár 2017): decay · old plus new, tasks the old one lacked added behind.

    Sums of row and column sums are exact for the sum of two Fishers; only their factored product is approximate. What
    only the old one kept beside them is dropped; a layer that only the new one keeps whole takes the old one's product.

    Args:
        old: of the champion, all its versions before it included.
        new: of what was trained from it.
        decay: 1 forgets nothing of the old, 0 all of it.
    """
    known = old.head_bias.shape[0]
    weight, bias = new.head_weight.clone(), new.head_bias.clone()
    weight[:known] += decay * old.head_weight
    bias[:known] += decay * old.head_bias
    return Fisher(
        rows={name: value + decay * old.rows[name] for name, value in new.rows.items()},
        columns={name: value + decay * old.columns[name] for name, value in new.columns.items()},
        head_weight=weight,
        head_bias=bias,
        full={name: value + decay * whole(old, name) for name, value in new.full.items()},
        apart={
            name: (_onto(of_a, old.apart[name][0], decay), _onto(of_b.T, old.apart[name][1].T, decay).T)
            if name in old.apart
            else (of_a, of_b)
            for name, (of_a, of_b) in new.apart.items()
        },
        mas=accumulate(old.mas, new.mas, decay) if old.mas and new.mas else new.mas,
    )


def _onto(new: Tensor, old: Tensor, decay: float) -> Tensor:
    """Old added to the first rows of new."""
    added = new.clone()
    added[: len(old)] += decay * old
    return added


def whole(state: Fisher, name: str) -> Tensor:
    """F of one layer, float32 [out, in]: as it was kept, or else row[i] · col[j] / Σ row."""
    if name in state.full:
        return state.full[name]
    row = state.rows[name]
    return torch.outer(row, state.columns[name]) / row.sum().clamp_min(_NO_INFORMATION)


def steepest(state: Fisher, *, apart: bool = False) -> tuple[float, float]:
    """Largest weight in the adapter's Fisher and in the head's: the curvature of a penalty by it, per unit of λ.

    Args:
        state: whose.
        apart: of A and scale · B by themselves.
    """
    if apart:
        layers = [float(of.max()) for pair in state.apart.values() for of in pair]
    else:
        layers = [float(_largest(state, name)) for name in state.rows]
    heads = [float(of.max()) for of in (state.head_weight, state.head_bias) if of.numel()]
    return max(layers, default=0.0), max(heads, default=0.0)


def _largest(state: Fisher, name: str) -> Tensor:
    if name in state.full:
        return state.full[name].max()
    row = state.rows[name]
    return row.max() * state.columns[name].max() / row.sum().clamp_min(_NO_INFORMATION)


def flat(state: Fisher) -> Fisher:
    """All weights 1, in the shapes of `state`: under it `penalty` is L2-SP (Li et al. 2018)."""
    sizes = {name: (len(state.rows[name]), len(state.columns[name])) for name in state.rows}
    return Fisher(
        rows={name: torch.full((m,), float(n)) for name, (m, n) in sizes.items()},
        columns={name: torch.full((n,), float(m)) for name, (m, n) in sizes.items()},
        head_weight=torch.ones_like(state.head_weight),
        head_bias=torch.ones_like(state.head_bias),
    )


def importance(state: Fisher, most: float = 10.0) -> Fisher:
    """What mattered to a donor, relative to the mean over its ΔW: mean 1 before the cap, no weight above `most`.

    The cap is put on row and column factors, each at √(most / layer's mean), so that the weights stay factored; a
    weight whose row stands out and whose column does not may be cut too. A donor's head is its own: it is left free.
    """
    sizes = {name: (len(state.rows[name]), len(state.columns[name])) for name in state.rows}
    mean = sum(float(row.sum()) for row in state.rows.values()) / sum(m * n for m, n in sizes.values())
    rows, columns = {}, {}
    for name, (m, n) in sizes.items():
        level = float(state.rows[name].sum()) / (m * n) / mean if mean > 0 else 0.0
        row, column = (_relative(each[name], level, most) for each in (state.rows, state.columns))
        rows[name], columns[name] = row, level * row.sum() * column  # `penalty` divides by the row's sum
    return Fisher(rows=rows, columns=columns, head_weight=state.head_weight[:0], head_bias=state.head_bias[:0])


def _relative(sums: Tensor, level: float, most: float) -> Tensor:
    mean = sums.mean().clamp_min(torch.finfo(sums.dtype).tiny)
    return (sums / mean).clamp_max(math.sqrt(most / max(level, torch.finfo(sums.dtype).tiny)))


def save(state: Fisher, file: Path) -> None:
    """Write a Fisher as safetensors: ``row:<layer>``, ``column:<layer>``, ``head.weight``, ``head.bias``.

    Where they were kept, ``full:<layer>``, ``a:<layer>`` and ``b:<layer>``, and all of MAS behind ``mas:``.
    """
    tensors = _named(state)
    if state.mas is not None:
        tensors |= {f"{_MAS}{name}": value for name, value in _named(state.mas).items()}
    save_file({name: value.contiguous() for name, value in tensors.items()}, file)


def _named(state: Fisher) -> dict[str, Tensor]:
    tensors = {f"row:{name}": value for name, value in state.rows.items()}
    tensors |= {f"column:{name}": value for name, value in state.columns.items()}
    tensors |= {"head.weight": state.head_weight, "head.bias": state.head_bias}
    tensors |= {f"full:{name}": value for name, value in state.full.items()}
    for kind, at in (("a", 0), ("b", 1)):
        tensors |= {f"{kind}:{name}": pair[at] for name, pair in state.apart.items()}
    return tensors


def load(file: Path) -> Fisher:
    """Read what `save` wrote.

    Raises:
        EpisomeError: the file is missing.
    """
    if not file.is_file():
        raise EpisomeError(f"{file}: no such file; a prior holds the champion's fisher.safetensors")
    tensors = load_file(file)
    other = _behind(_MAS, tensors)
    return replace(_read(tensors), mas=_read(other) if other else None)


def _read(tensors: Mapping[str, Tensor]) -> Fisher:
    of_b = _behind("b:", tensors)
    return Fisher(
        rows=_behind("row:", tensors),
        columns=_behind("column:", tensors),
        head_weight=tensors["head.weight"],
        head_bias=tensors["head.bias"],
        full=_behind("full:", tensors),
        apart={name: (of_a, of_b[name]) for name, of_a in _behind("a:", tensors).items()},
    )


def _behind(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
