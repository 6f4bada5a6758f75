"""A small convolutional network on single bases, which reads both strands with the same filters where strand is moot.

Shared filters and a maximum over strands after Shrikumar et al. 2017 (reverse-complement weight sharing), in its
simplest form: the whole stack runs on either strand, so an answer for a sequence and for its reverse complement is the
same to the bit.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from episome.learning import Train
from episome.rivalry import Cnn
from episome.rivals import descent
from episome.rivals.descent import Learner
from episome.rivals.words import codes
from episome.sequence import reverse_complement
from episome.study import Epoch
from episome.types import Task


class Network(nn.Module):
    """Convolutions, each with ReLU; maximum over positions, then over strands; dropout; one linear layer.

    Args:
        numbers: shape.
        both_strands: whether the answer is to be the same for the reverse complement.
        centred: whether the states in the middle stand beside the maximum, which alone does not say where it was.
    """

    def __init__(self, numbers: Cnn, *, both_strands: bool, centred: bool) -> None:
        super().__init__()
        self.both_strands, self.centred = both_strands, centred
        inputs = [4] + [numbers.filters] * (len(numbers.widths) - 1)
        self.layers = nn.ModuleList(
            nn.Conv1d(channels, numbers.filters, width, padding=width // 2)
            for channels, width in zip(inputs, numbers.widths, strict=True)
        )
        self.dropout = nn.Dropout(numbers.dropout)
        self.out = nn.Linear(numbers.filters * (2 if centred else 1), 1)

    def forward(self, sequences: Sequence[str]) -> Tensor:
        """Logits float [B]."""
        states = self._strand(sequences)
        if self.both_strands:
            # A pass of its own for each strand, and of the same shape: the same operations in the same order.
            states = torch.maximum(states, self._strand([reverse_complement(sequence) for sequence in sequences]))
        return self.out(self.dropout(states)).squeeze(1)

    def _strand(self, sequences: Sequence[str]) -> Tensor:
        """What was seen anywhere, float [B, filters], and in the middle behind it where `centred`."""
        letters, there = one_hot(sequences)
        states = letters
        for layer in self.layers:
            states = torch.relu(layer(states)) * there  # padding says nothing, as N does
        seen = states.amax(2)  # after ReLU nothing is below the zeros of the padding
        if not self.centred:
            return seen
        middles = torch.tensor([len(sequence) // 2 for sequence in sequences])
        return torch.cat([seen, states[torch.arange(len(sequences)), :, middles]], dim=1)


def one_hot(sequences: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Sequences as float [B, 4, longest], zero at N and at padding, and float [B, 1, longest], 1 at their bases."""
    longest = max(map(len, sequences))
    letters = np.zeros((len(sequences), 4, longest), np.float32)
    there = np.zeros((len(sequences), 1, longest), np.float32)
    for row, sequence in enumerate(sequences):
        letter = codes(sequence, 1)
        at = np.flatnonzero(letter >= 0)
        letters[row, letter[at], at] = 1
        there[row, 0, : len(sequence)] = 1
    return torch.from_numpy(letters), torch.from_numpy(there)


def fit(
    train: pd.DataFrame, val: pd.DataFrame, task: Task, numbers: Cnn, steps: Train, *, seed: int
) -> tuple[Callable[[Sequence[str]], NDArray[np.float64]], tuple[Epoch, ...]]:
    """The network trained on rows labelled 0 and 1: what gives logits float64[sequences], and its curve.

    Both strands are read for the tasks named by `steps.strand_free`, one strand for all others; a task of scope
    ``site`` also looks at its centre. Bit-equal on one machine for equal inputs and thread count.
    """
    torch.manual_seed(seed)
    network = Network(numbers, both_strands=task.name in steps.strand_free, centred=task.scope == "site")
    learner = Learner(name="cnn", network=network, read=str, numbers=numbers)
    return descent.fit(learner, train, val, task, steps, seed=seed)
