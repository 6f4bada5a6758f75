"""Elastic weight consolidation of an adapter in ΔW space (Kirkpatrick et al. 2017, on ΔW = scale · B A).

Penalising A and B apart would charge for changes that leave the function alone: (B K, K⁻¹ A) is the same ΔW.
So the Fisher information is taken of ΔW, per example and exactly, and stored factored as row and column sums
(Shazeer & Stern 2018): F[i, j] ≈ row[i] · col[j] / Σ row. The head, which the retrain shares, is held by its own
diagonal Fisher in closed form. Units: nats per example, so ½ Σ F (ΔW − ΔW*)² predicts KL(old ‖ new) per example.
"""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from episome.lora import Adapted
from episome.types import EpisomeError

FILE = "fisher.safetensors"
_NO_INFORMATION = 1e-30  # nats per unit of ΔW²; 1 / this, times any weight, is still finite in fp32


@dataclass(frozen=True, slots=True, kw_only=True)
class Fisher:
    """Factored Fisher information of an adapter and the diagonal one of its head.

    Attributes:
        rows: per layer float32 [out], row sums of F.
        columns: per layer float32 [in], column sums of F.
        head_weight: float32 [L, F] over the folded head weight.
        head_bias: float32 [L].
    """

    rows: dict[str, Tensor]
    columns: dict[str, Tensor]
    head_weight: Tensor
    head_bias: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """What a retrain is held to: the champion's factors and head, and how much each direction mattered."""

    fisher: Fisher
    a: dict[str, Tensor]
    b: dict[str, Tensor]
    head_weight: Tensor
    head_bias: Tensor


class Scored(NamedTuple):
    """One batch of examples as `fisher` wants it: B examples, L tasks, F head features.

    Attributes:
        logits: [B, L] with a graph back to the adapted layers.
        features: [B, F] what the head saw, folded order.
        labelled: bool [B, L], the tasks an example speaks for.
    """

    logits: Tensor
    features: Tensor
    labelled: Tensor


def fisher(layers: list[Adapted], batches: Iterable[Scored]) -> Fisher:
    """Exact Fisher information of the model's own predictions, per example, mean over all examples.

    For a sigmoid head E_y[(∂ log p)²] is p(1 − p) (∂z)², so one backward pass per task of Σ √(p(1−p)) z gives every
    example's gradient exactly; an example's gradient is summed over its tokens *before* it is squared. Padding and
    batch size have no influence. Run the model in evaluation mode and fp32.

    Raises:
        EpisomeError: no example came.
    """
    rows = {layer.name: torch.zeros(layer.b.shape[0]) for layer in layers}
    columns = {layer.name: torch.zeros(layer.a.shape[1]) for layer in layers}
    weight = bias = None
    count = 0
    with _recording(layers) as seen:
        for scored in batches:
            probability = scored.logits.detach().sigmoid()
            variance = probability * (1 - probability) * scored.labelled
            weight = (variance.T @ scored.features.detach() ** 2) + (0 if weight is None else weight)
            bias = variance.sum(0) + (0 if bias is None else bias)
            _add_layers(scored, variance, seen, rows, columns)
            count += len(scored.logits)
            seen.clear()
    if weight is None or bias is None:
        raise EpisomeError("the Fisher information needs at least one example; none came")
    return Fisher(
        rows={name: value / count for name, value in rows.items()},
        columns={name: value / count for name, value in columns.items()},
        head_weight=weight / count,
        head_bias=bias / count,
    )


def penalty(layers: Iterable[Adapted], head_weight: Tensor, head_bias: Tensor, anchor: Anchor) -> Tensor:
    """½ Σ F (θ − θ*)² over ΔW of every layer and over the head; a scalar in nats per example.

    Computed in rank space: with Bc = [sB, −B*] and Ac = [A; A*], Σ row[i] col[j] D[i, j]² is
    tr[(Bcᵀ diag(row) Bc)(Ac diag(col) Acᵀ)], so no [out, in] matrix is made. Tasks that the anchor does not know
    (more head rows than the anchor's) are free.

    Args:
        layers: the adapter being trained.
        head_weight: [L, F] folded head weight being trained.
        head_bias: [L].
        anchor: what to hold on to; its head has the first L' ≤ L rows.
    """
    known = anchor.head_weight.shape[0]
    total = (anchor.fisher.head_weight * (head_weight[:known] - anchor.head_weight) ** 2).sum()
    total = total + (anchor.fisher.head_bias * (head_bias[:known] - anchor.head_bias) ** 2).sum()
    for layer in layers:
        row, column = anchor.fisher.rows[layer.name], anchor.fisher.columns[layer.name]
        if row.sum() < _NO_INFORMATION:
            continue  # divided by it, even a zero has no gradient: a layer that was never trained holds nothing back
        left = torch.cat([layer.scale * layer.b, -anchor.b[layer.name]], dim=1)
        right = torch.cat([layer.a, anchor.a[layer.name]], dim=0)
        gram = ((left.T * row) @ left) * ((right * column) @ right.T).T
        total = total + gram.sum() / row.sum()
    return 0.5 * total


def accumulate(old: Fisher, new: Fisher) -> Fisher:
    """One running precision (online EWC, Huszár 2017): old plus new, tasks the old one lacked added behind.

    Sums of row and column sums are exact for the sum of two Fishers; only their factored product is approximate.
    """
    known = old.head_bias.shape[0]
    weight, bias = new.head_weight.clone(), new.head_bias.clone()
    weight[:known] += old.head_weight
    bias[:known] += old.head_bias
    return Fisher(
        rows={name: value + old.rows[name] for name, value in new.rows.items()},
        columns={name: value + old.columns[name] for name, value in new.columns.items()},
        head_weight=weight,
        head_bias=bias,
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
    """Write a Fisher as safetensors: ``row:<layer>``, ``column:<layer>``, ``head.weight``, ``head.bias``."""
    tensors = {f"row:{name}": value for name, value in state.rows.items()}
    tensors |= {f"column:{name}": value for name, value in state.columns.items()}
    tensors |= {"head.weight": state.head_weight, "head.bias": state.head_bias}
    save_file({name: value.contiguous() for name, value in tensors.items()}, file)


def load(file: Path) -> Fisher:
    """Read what `save` wrote.

    Raises:
        EpisomeError: the file is missing.
    """
    if not file.is_file():
        raise EpisomeError(f"{file}: no such file; a prior holds the champion's fisher.safetensors")
    tensors = load_file(file)
    return Fisher(
        rows={name.removeprefix("row:"): value for name, value in tensors.items() if name.startswith("row:")},
        columns={name.removeprefix("column:"): value for name, value in tensors.items() if name.startswith("column:")},
        head_weight=tensors["head.weight"],
        head_bias=tensors["head.bias"],
    )


@contextmanager
def _recording(layers: list[Adapted]) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Keep each layer's input and output of the latest forward pass for as long as the context lasts."""
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    hooks = []
    for layer in layers:

        def keep(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, name: str = layer.name) -> None:
            seen[name] = (inputs[0].detach(), output)

        hooks.append(layer.module.register_forward_hook(keep))
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def _add_layers(
    scored: Scored,
    variance: Tensor,
    seen: dict[str, tuple[Tensor, Tensor]],
    rows: dict[str, Tensor],
    columns: dict[str, Tensor],
) -> None:
    """Add one batch's squared per-example gradients of ΔW to the row and column sums."""
    names = list(seen)
    tasks = [task for task in range(scored.logits.shape[1]) if bool(scored.labelled[:, task].any())]
    for task in tasks:
        target = (variance[:, task].sqrt() * scored.logits[:, task]).sum()
        grads = torch.autograd.grad(target, [seen[name][1] for name in names], retain_graph=task != tasks[-1])
        for name, grad in zip(names, grads, strict=True):
            squared = torch.einsum("bso,bsi->boi", grad, seen[name][0]).square_().sum(0)
            rows[name] += squared.sum(1)
            columns[name] += squared.sum(0)
