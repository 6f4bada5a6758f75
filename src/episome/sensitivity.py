"""How much the answers hang on each weight of ΔW, example by example: Fisher information, or MAS.

Both are of ΔW = scale · B A, not of its factors, and of every example by itself: an example's gradient is summed over
its tokens *before* it is squared or taken without its sign, so padding and batch size have no influence. Run the model
in evaluation mode and fp32.

SI (Zenke et al. 2017) is not here. Its importance is an integral along the path that the champion's training took, so
every training, also one that is never followed by a retrain, would have to carry an [out, in] sum per layer through all
its steps, checkpoints and choices between starts; what is here is taken once, when a training is over.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from episome.ewc import Fisher
from episome.lora import Adapted
from episome.types import EpisomeError


class Scored(NamedTuple):
    """One batch of examples: B examples, L tasks, F head features.

    Attributes:
        logits: [B, L] with a graph back to the adapted layers.
        features: [B, F] what the head saw, folded order.
        labelled: bool [B, L], the tasks an example speaks for.
    """

    logits: Tensor
    features: Tensor
    labelled: Tensor


def fisher(layers: list[Adapted], batches: Iterable[Scored], *, full: bool = False, apart: bool = False) -> Fisher:
    """Exact Fisher information of the model's own predictions, per example, mean over all examples.

    For a sigmoid head E_y[(∂ log p)²] is p(1 − p) (∂z)², so one backward pass per task of Σ √(p(1−p)) z gives every
    example's gradient exactly.

    Args:
        layers: the adapter.
        batches: all examples.
        full: keep F of every layer beside its sums.
        apart: keep that of A and of scale · B too (`ewc.penalty_apart`).

    Raises:
        EpisomeError: no example came.
    """
    totals = {layer.name: _Total(layer, full=full, apart=apart) for layer in layers}
    head = _Head()
    with _recording(layers) as seen:
        for scored in batches:
            probability = scored.logits.detach().sigmoid()
            variance = probability * (1 - probability) * scored.labelled
            head.add(variance, scored.features.detach() ** 2)
            tasks = [task for task in range(scored.logits.shape[1]) if bool(scored.labelled[:, task].any())]
            for task in tasks:
                target = (variance[:, task].sqrt() * scored.logits[:, task]).sum()
                for name, each in _gradients(target, seen, again=task != tasks[-1]):
                    totals[name].add_factors(each)
                    totals[name].add(each.square_().sum(0))
            seen.clear()
    return _mean(totals, head, "the Fisher information")


def mas(layers: list[Adapted], batches: Iterable[Scored]) -> Fisher:
    """Memory aware synapses (Aljundi et al. 2018): mean over examples of |∂‖z‖² / ∂ΔW|, z the logits it speaks for.

    In the shapes of a Fisher, since `ewc.penalty` weighs by it all the same; its units are not nats, so that its λ is
    another.

    Args:
        layers: the adapter.
        batches: all examples.

    Raises:
        EpisomeError: no example came.
    """
    totals = {layer.name: _Total(layer, full=False, apart=False) for layer in layers}
    head = _Head()
    with _recording(layers) as seen:
        for scored in batches:
            asked = scored.logits * scored.labelled
            head.add(2 * asked.detach().abs(), scored.features.detach().abs())
            for name, each in _gradients(asked.square().sum(), seen, again=False):
                totals[name].add(each.abs_().sum(0))
            seen.clear()
    return _mean(totals, head, "MAS")


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


class _Head:
    """Importance of the head's weight and bias, summed over examples."""

    def __init__(self) -> None:
        self.weight, self.bias = torch.zeros(()), torch.zeros(())
        self.count = 0

    def add(self, of_logits: Tensor, of_features: Tensor) -> None:
        """One batch: [B, L] of the logits, [B, F] of the features."""
        self.weight = of_logits.T @ of_features + self.weight
        self.bias = of_logits.sum(0) + self.bias
        self.count += len(of_logits)


class _Total:
    """Importance of one layer, summed over examples and tasks."""

    def __init__(self, layer: Adapted, *, full: bool, apart: bool) -> None:
        out, into = layer.b.shape[0], layer.a.shape[1]
        self.layer = layer
        self.rows, self.columns = torch.zeros(out), torch.zeros(into)
        self.full = torch.zeros(out, into) if full else None
        self.apart = (torch.zeros(layer.a.shape), torch.zeros(layer.b.shape)) if apart else None

    def add(self, importance: Tensor) -> None:
        """That of some examples together, [out, in]."""
        self.rows += importance.sum(1)
        self.columns += importance.sum(0)
        if self.full is not None:
            self.full += importance

    def add_factors(self, each: Tensor) -> None:
        """Squared gradients of A and of scale · B, from those of ΔW of each example, [B, out, in]."""
        if self.apart is None:
            return
        a, b = self.layer.a.detach(), self.layer.scale * self.layer.b.detach()
        self.apart[0].add_((b.T @ each).square_().sum(0))
        self.apart[1].add_((each @ a.T).square_().sum(0))


def _gradients(target: Tensor, seen: dict[str, tuple[Tensor, Tensor]], *, again: bool) -> Iterator[tuple[str, Tensor]]:
    """Each layer's gradient with respect to ΔW of every example, [B, out, in]; `again` keeps the graph."""
    grads = torch.autograd.grad(target, [output for _, output in seen.values()], retain_graph=again)
    for (name, (x, _)), grad in zip(seen.items(), grads, strict=True):
        yield name, torch.einsum("bso,bsi->boi", grad, x)


def _mean(totals: dict[str, _Total], head: _Head, what: str) -> Fisher:
    if head.count == 0:
        raise EpisomeError(f"{what} needs at least one example; none came")
    count = head.count
    return Fisher(
        rows={name: total.rows / count for name, total in totals.items()},
        columns={name: total.columns / count for name, total in totals.items()},
        head_weight=head.weight / count,
        head_bias=head.bias / count,
        full={name: total.full / count for name, total in totals.items() if total.full is not None},
        apart={name: (total.apart[0] / count, total.apart[1] / count) for name, total in totals.items() if total.apart},
    )
