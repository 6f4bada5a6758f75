"""Seconds of a training step with the lowest 0, 1/3 and 2/3 of the adapted layers frozen: is backward work skipped?

python benchmarks/freezing.py [--large]; random weights, random tokens. The shares are timed in turn, step by step, so
that other work on the machine weighs on all alike; what is printed is the median step and its ratio to nothing frozen.
The forward pass is always whole, so no ratio can come down to the share of layers that learns.
"""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from episome import lora, model, pace, params

SHARES = (0.0, 1 / 3, 2 / 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A model shape, and how much of it is timed."""

    name: str
    shape: model.Config
    rows: int
    tokens: int
    steps: int


def main() -> None:
    """Time the mini of params.yaml, or with --large the shape of DNABERT-2-117M."""
    chosen = params.read()
    torch.set_num_threads(chosen.compute.threads)
    mini = model.Config(**chosen.base.mini.model_dump(), hidden_dropout_prob=0.0)
    case = Case(name="mini", shape=mini, rows=32, tokens=64, steps=40)
    if "--large" in sys.argv[1:]:
        case = Case(name="117M shape", shape=model.Config(), rows=4, tokens=64, steps=7)
    print(
        f"{case.name}, {case.rows} × {case.tokens} tokens, {case.steps} steps of each, {chosen.compute.threads} threads"
    )
    seconds = timed(case, chosen.lora)
    for share, each in seconds.items():
        print(f"frozen {share:.2f}: {np.median(each):.4f} s, {np.median(each) / np.median(seconds[0.0]):.2f} of none")


def timed(case: Case, adapter: params.Lora) -> Mapping[float, list[float]]:
    """Seconds of every step by frozen share; the first step of each is left out."""
    encoder = model.fresh(case.shape, 0).bert
    adapted = lora.attach(encoder, **adapter.model_dump(), seed=0)
    depths = pace.by_depth(list(lora.layers(adapted)))
    optimiser = torch.optim.AdamW([p for depth in depths for p in depth], lr=1e-4)
    ids = torch.randint(5, case.shape.vocab_size, (case.rows, case.tokens), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)

    def step(share: float) -> float:
        pace.freeze(depths, pace.Pace(frozen_share=share).frozen(0, len(depths)))
        start = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        loss: Tensor = adapted(ids, mask).last_hidden_state.square().mean()
        loss.backward()
        optimiser.step()
        return time.perf_counter() - start

    taken: dict[float, list[float]] = {share: [] for share in SHARES}
    for round_ in range(case.steps + 1):
        for share, seconds in taken.items():
            took = step(share)
            if round_ > 0:
                seconds.append(took)
    return taken


if __name__ == "__main__":
    main()
