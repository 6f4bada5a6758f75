"""A small bidirectional LSTM (Hochreiter & Schmidhuber 1997; Graves & Schmidhuber 2005) over k-mers."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from episome.learning import Train
from episome.rivalry import Lstm
from episome.rivals import descent
from episome.rivals.descent import Learner
from episome.rivals.words import codes
from episome.study import Epoch
from episome.types import Task

_PADDING = -1


class Network(nn.Module):
    """Embedded words, a layer in either direction, maximum over positions; dropout; one linear layer.

    Args:
        numbers: shape.
        centred: whether the states in the middle stand beside the maximum.
    """

    def __init__(self, numbers: Lstm, *, centred: bool) -> None:
        super().__init__()
        self.centred = centred
        self.embedding = nn.Embedding(4**numbers.k + 1, numbers.embedding)
        self.onward = nn.LSTM(numbers.embedding, numbers.hidden, batch_first=True)
        self.backward_ = nn.LSTM(numbers.embedding, numbers.hidden, batch_first=True)
        self.dropout = nn.Dropout(numbers.dropout)
        self.out = nn.Linear(2 * numbers.hidden * (2 if centred else 1), 1)

    def forward(self, tokens: Sequence[Tensor]) -> Tensor:
        """Logits float [B] of sequences of words (`tokens_of`), at least one word each."""
        # Each direction reads rows that begin with their first word, so that padding comes after all that is asked of
        # it. torch's packed sequences say the same, and were slower where both were tried (docs/benchmarks.md).
        onward = self._states(self.onward, tokens)
        back = self._states(self.backward_, [row.flip(0) for row in tokens])
        seen = torch.cat([onward.amax(1), back.amax(1)], dim=1)
        if self.centred:
            rows, lengths = torch.arange(len(tokens)), torch.tensor([len(row) for row in tokens])
            middles = onward[rows, lengths // 2], back[rows, lengths - 1 - lengths // 2]
            seen = torch.cat([seen, *middles], dim=1)
        return self.out(self.dropout(seen)).squeeze(1)

    def _states(self, layer: nn.LSTM, tokens: Sequence[Tensor]) -> Tensor:
        """States float [B, longest, hidden] of one direction, in its order; -2, less than any state, at padding."""
        padded = pad_sequence(list(tokens), batch_first=True, padding_value=_PADDING)
        states, _ = layer(self.embedding(padded.clamp(min=0)))
        return states.masked_fill((padded == _PADDING)[..., None], -2.0)


def tokens_of(sequence: str, k: int, stride: int) -> Tensor:
    """Words int64 [W], 1 to 4^k; 0 is a word with an N, and what a sequence shorter than k consists of."""
    found = codes(sequence, k, stride) + 1
    return torch.from_numpy(found if len(found) else np.zeros(1, np.int64))


def fit(
    train: pd.DataFrame, val: pd.DataFrame, task: Task, numbers: Lstm, steps: Train, *, seed: int
) -> tuple[Callable[[Sequence[str]], NDArray[np.float64]], tuple[Epoch, ...]]:
    """The network trained on rows labelled 0 and 1: what gives logits float64[sequences], and its curve.

    One strand is read, as it comes. Bit-equal on one machine for equal inputs and thread count.
    """
    torch.manual_seed(seed)
    network = Network(numbers, centred=task.scope == "site")
    read = partial(tokens_of, k=numbers.k, stride=numbers.stride)
    learner = Learner(name="lstm", network=network, read=read, numbers=numbers)
    return descent.fit(learner, train, val, task, steps, seed=seed)
