"""Fit one species' adapter and head.

A fresh adapter is trained on what the composition part of the head cannot explain (`episome.stacking`), at the pace
that the transfer policy sets (`episome.pace`). A retrain starts from the champion and trains all of it, held back by
elastic weight consolidation (`episome.ewc`). A run that was killed goes on from its last checkpoint to the same bits.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from episome import balance, checkpoint, ewc, lora, objective, pace, sensitivity
from episome.batches import batches, mixed
from episome.checkpoint import Standing
from episome.classifier import Classifier, Examples, load_classifier, predict
from episome.learning import Train
from episome.objective import EMPTY, Draw, Memory
from episome.pace import STEADY, Pace, thaw
from episome.pretrain import cosine
from episome.types import EpisomeError

__all__ = ["Classifier", "Epoch", "Keep", "Step", "anchor", "fisher", "fit", "load_classifier", "mas", "predict"]

_FISHER_TOKENS = 2048
_PARTS = 4  # batches per optimiser step, each of one length


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One optimiser step: number, of how many at most, loss (BCE, nats per label) and penalties (λ included).

    `auxiliary` is the mean squared error of the auxiliary targets, in units of their variance; None without any.
    """

    number: int
    total: int
    loss: float
    penalty: float
    auxiliary: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """End of an epoch: mean loss, validation AUROC per task, whether it is the best so far, layers still frozen."""

    number: int
    loss: float
    auroc: dict[str, float]
    best: bool
    frozen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """Where a training writes down how far it is.

    Attributes:
        path: the checkpoint file.
        fingerprint: names the inputs; a checkpoint of other inputs is not resumed from.
        seconds: write at the first step's end after this long, and after every epoch.
    """

    path: Path
    fingerprint: str
    seconds: float


def fit(
    classifier: Classifier,
    train: Examples,
    val: Examples,
    numbers: Train,
    *,
    seed: int,
    pace: Pace = STEADY,
    memory: Memory = EMPTY,
    keep: Keep | None = None,
) -> Iterator[Step | Epoch]:
    """Train adapter and head in place, yielding every step and epoch; the best epoch's weights are kept.

    The score is the mean validation AUROC over tasks; training stops after `numbers.patience` epochs without a better
    one. What `memory` adds to the loss, `episome.objective` says.
    Byte-identical on one machine for equal inputs, whether or not it was killed and resumed from `keep` on the way;
    only the events before the kill are not repeated.
    """
    run = _Run(classifier, train, val, numbers, pace, seed=seed, memory=memory)
    standing = checkpoint.load(keep.path, keep.fingerprint) if keep else None
    if standing:
        run.resume(standing)
    else:
        run.begin()
    written = time.monotonic()
    while run.epoch < numbers.epochs and run.waited < numbers.patience:
        for step in run.order[run.epoch][run.at :]:
            yield run.step(step)
            if keep and time.monotonic() - written >= keep.seconds:
                checkpoint.save(keep.path, run.standing(), keep.fingerprint)
                written = time.monotonic()
        yield run.close_epoch()
        if keep:
            checkpoint.save(keep.path, run.standing(), keep.fingerprint)
            written = time.monotonic()
    classifier.load_state_dict(run.best, strict=False)
    classifier.recompute(on=False)
    thaw(run.depths)  # whoever comes next, the Fisher first, needs the gradients of all
    classifier.eval()


class _Run:
    """A training between two steps: everything that the next step depends on."""

    def __init__(
        self,
        classifier: Classifier,
        train: Examples,
        val: Examples,
        numbers: Train,
        pace_: Pace,
        *,
        seed: int,
        memory: Memory,
    ) -> None:
        numbers, ease = objective.eased(numbers, memory)
        self.classifier, self.val, self.numbers, self.pace = classifier, val, numbers, pace_
        self.memory, self.seed = memory, seed
        aside = objective.set_aside(classifier, train, numbers)
        self.lesson, self.beside = objective.lessons(train, memory, numbers, aside)
        beside, epochs = self.beside, range(numbers.epochs)
        self.order = [_order(train, numbers, seed, epoch) for epoch in epochs]
        self.order_beside = [
            [] if beside is None else _order(beside.examples, numbers, seed + 1, epoch) for epoch in epochs
        ]
        classifier.recompute(on=numbers.gradient_checkpointing)
        self.total = sum(map(len, self.order))
        self.schedule = cosine(self.total, numbers.warmup_share)
        self.depths = pace.by_depth(list(lora.layers(classifier.encoder)))
        self.frozen = pace_.frozen(0, len(self.depths))
        thaw(self.depths)
        self.trained = {name: p for name, p in classifier.named_parameters() if p.requires_grad}
        if aside is not None:  # a checkpoint needs it; whoever loads the best weights into a classifier passes it over
            self.trained |= {f"{_ASIDE}.{name}": p for name, p in aside.layer.named_parameters()}
        self.optimiser = torch.optim.AdamW(self._groups())
        self.rates = [float(group["lr"]) * ease for group in self.optimiser.param_groups]
        self.epoch = self.at = self.number = self.waited = 0
        self.factor, self.losses = 1.0, list[float]()
        self.score, self.best = dict[str, float](), dict[str, Tensor]()

    def begin(self) -> None:
        torch.manual_seed(self.seed)
        self.score, self.best = _score(self.classifier, self.val), self._now()
        pace.freeze(self.depths, self.frozen)

    def step(self, step: list[Draw]) -> Step:
        self.classifier.train()
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * self.schedule(self.number) * self.factor
        self.optimiser.zero_grad(set_to_none=True)
        held = objective.held_back(self.classifier, self.memory, self.numbers)
        if held.requires_grad:
            held.backward()
        sums = objective.accumulate(self.classifier, self.lesson, step, self.numbers)
        if self.beside is not None:
            theirs = self.order_beside[self.epoch]
            objective.accumulate(self.classifier, self.beside, theirs[self.at % len(theirs)], self.numbers)
        nn.utils.clip_grad_norm_(self.trained.values(), self.numbers.clip_norm)
        self.optimiser.step()
        done = Step(
            number=self.number,
            total=self.total,
            loss=sums.loss,
            penalty=held.item() + sums.strayed,
            auxiliary=sums.missed,
        )
        self.losses.append(sums.loss)
        self.number += 1
        self.at += 1
        return done

    def close_epoch(self) -> Epoch:
        score = _score(self.classifier, self.val)
        better = _mean(score) > _mean(self.score)
        if better:
            self.score, self.best, self.waited = score, self._now(), 0
        else:
            self.waited += 1
        if self.epoch == 0:
            self.frozen = self.pace.frozen(1, len(self.depths))
        if not better:
            self.frozen = max(self.frozen - 1, 0)
        pace.freeze(self.depths, self.frozen)
        self.factor = pace.adapted_rate(self.factor, self.pace.swing, better=better)
        closed = Epoch(
            number=self.epoch, loss=float(np.mean(self.losses)), auroc=score, best=better, frozen=self.frozen
        )
        self.epoch, self.at, self.losses = self.epoch + 1, 0, []
        return closed

    def standing(self) -> Standing:
        names = {id(parameter): name for name, parameter in self.trained.items()}
        return Standing(
            counters={name: getattr(self, name) for name in _COUNTERS},
            now=self._now(),
            best=self.best,
            optimiser={names[id(parameter)]: dict(state) for parameter, state in self.optimiser.state.items()},
            random=torch.get_rng_state(),
        )

    def resume(self, standing: Standing) -> None:
        for name in _COUNTERS:
            setattr(self, name, standing.counters[name])
        self.best = standing.best
        with torch.no_grad():
            for name, parameter in self.trained.items():
                parameter.copy_(standing.now[name])
        for name, state in standing.optimiser.items():
            self.optimiser.state[self.trained[name]].update(state)
        torch.set_rng_state(standing.random)
        pace.freeze(self.depths, self.frozen)

    def _now(self) -> dict[str, Tensor]:
        """A copy of what is trained; the frozen base is left out."""
        return {name: parameter.detach().clone() for name, parameter in self.trained.items()}

    def _groups(self) -> list[dict[str, Any]]:
        """Adapter thirds and head at their own rates; weight decay on everything but biases."""
        numbers, head = self.numbers, self.classifier.head
        groups: list[dict[str, Any]] = [
            {"params": parameters, "lr": numbers.learning_rate * rate, "weight_decay": numbers.weight_decay}
            for parameters, rate in zip(pace.thirds(self.depths), self.pace.group_rates, strict=True)
            if parameters
        ]
        weights: list[Tensor] = [p for p in (head.state, head.composition) if p.requires_grad]
        biases: list[Tensor] = [head.bias]
        if (aside := self.lesson.aside) is not None:
            weights, biases = [*weights, aside.layer.weight], [*biases, aside.layer.bias]
        return [
            *groups,
            {"params": weights, "lr": numbers.head_learning_rate, "weight_decay": numbers.weight_decay},
            {"params": biases, "lr": numbers.head_learning_rate, "weight_decay": 0.0},
        ]


_ASIDE = "auxiliary"
_COUNTERS = ("epoch", "at", "number", "waited", "frozen", "factor", "losses", "score")


def fisher(
    classifier: Classifier, examples: Examples, rows: int, seed: int, *, full: bool = False, apart: bool = False
) -> ewc.Fisher:
    """Fisher information of adapter and head on at most `rows` rows drawn by `seed`; see `sensitivity.fisher`."""
    scored = _scored(classifier, examples, rows, seed)
    return sensitivity.fisher(list(lora.layers(classifier.encoder)), scored, full=full, apart=apart)


def mas(classifier: Classifier, examples: Examples, rows: int, seed: int) -> ewc.Fisher:
    """MAS of adapter and head on the rows that `fisher` would draw."""
    return sensitivity.mas(list(lora.layers(classifier.encoder)), _scored(classifier, examples, rows, seed))


def _scored(classifier: Classifier, examples: Examples, rows: int, seed: int) -> Iterator[sensitivity.Scored]:
    classifier.eval()
    kept = np.sort(np.random.default_rng(seed).permutation(len(examples.encodings))[:rows])
    for at in batches(np.asarray(examples.lengths)[kept], _FISHER_TOKENS):
        features = classifier.features(*classifier.batch(examples, kept[at]))
        labelled = torch.from_numpy(examples.labels[kept[at]] >= 0)
        yield sensitivity.Scored(logits=classifier.head(features), features=features, labelled=labelled)


def anchor(classifier: Classifier, state: ewc.Fisher) -> ewc.Anchor:
    """Hold on to `classifier` as it is now, by the importance in `state`."""
    layers = list(lora.layers(classifier.encoder))
    weight, bias = classifier.head.folded()
    return ewc.Anchor(
        fisher=state,
        a={layer.name: layer.a.detach().clone() for layer in layers},
        b={layer.name: layer.scale * layer.b.detach().clone() for layer in layers},
        head_weight=weight.detach().clone()[: len(state.head_bias)],
        head_bias=bias.detach().clone()[: len(state.head_bias)],
    )


def _order(examples: Examples, numbers: Train, seed: int, epoch: int) -> list[list[Draw]]:
    """The steps of one epoch; each has generators of its own, so that a resumed run needs no history."""
    rows = tasks = None
    if numbers.balance == "sampling":
        rows, tasks = balance.draw(examples.labels[: examples.own], np.random.default_rng([seed, epoch, 2]))
    drawn = examples.drawn(numbers.reverse_complement_share, np.random.default_rng([seed, epoch, 1]), rows)
    lengths = np.asarray(examples.lengths)[drawn]
    steps = mixed(lengths, numbers.tokens_per_step, _PARTS, np.random.default_rng([seed, epoch]))
    return [[Draw(rows=drawn[at], tasks=None if tasks is None else tasks[at]) for at in step] for step in steps]


def _score(classifier: Classifier, val: Examples) -> dict[str, float]:
    """Validation AUROC of every task whose validation rows hold both classes."""
    logits = classifier.logits(val)
    if not np.isfinite(logits).all():
        raise EpisomeError("training has diverged: a validation logit is not finite; lower train.learning_rate")
    scores = {}
    for k, task in enumerate(classifier.tasks):
        rows = val.labels[:, k] >= 0
        if len(np.unique(val.labels[rows, k])) == 2:
            scores[task.name] = float(roc_auc_score(val.labels[rows, k], logits[rows, k]))
    if not scores:
        raise EpisomeError("no task has validation rows of both classes; add rows or lower windows.split.train")
    return scores


def _mean(scores: dict[str, float]) -> float:
    return sum(scores.values()) / len(scores)
