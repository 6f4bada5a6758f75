"""What a classifier looks at in one sequence: where its attention goes, and the bases that its answer hangs on.

Both describe a model, not biology: attention is no explanation (Jain & Wallace 2019), and an attribution tells what
moved this model's answer.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from episome.classifier import Classifier, Examples
from episome.likeness import to_nucleotides
from episome.tokenizer import Encoding

Floats = NDArray[np.float64]


def attention(subject: Classifier, examples: Examples, row: int) -> Floats:
    """Attention of each token of a sequence to its bases, float64 [layers, heads, tokens, bases], rows summing to 1.

    Special tokens are left out as queries; what others pay to them is dropped (`likeness.to_nucleotides`).
    """
    ids, mask, _, _ = subject.batch(examples, np.array([row]))
    subject.eval()
    with torch.inference_mode():
        maps = subject.encoder(ids, mask, output_attentions=True).attentions
    lengths = _lengths(examples.encodings[row])
    whole = torch.cat(list(maps)).numpy().astype(np.float64)
    return to_nucleotides(whole[:, :, lengths > 0], lengths)


def attribution(subject: Classifier, examples: Examples, row: int, task: int, *, steps: int) -> Floats:
    """Integrated gradients (Sundararajan et al. 2017) of a task's logit, float64 [bases].

    From a sequence whose every token is [MASK] to the sequence itself, by the midpoint rule; a token's share is spread
    evenly over its bases. Their sum comes near the difference of the two logits, the nearer the more steps. What the
    head reads off the k-mers is the same all along the way and has no part in it.

    Args:
        subject: answers the task.
        examples: made by `subject`.
        row: which of them.
        task: column of the answers.
        steps: points on the way.
    """
    encoding = examples.encodings[row]
    lengths = _lengths(encoding)
    ids, mask, centre, composition = subject.batch(examples, np.array([row]))
    embeddings = subject.encoder.get_submodule("base_model.model.embeddings")
    masked = ids.clone()
    masked[:, torch.from_numpy(lengths > 0)] = subject.tokenizer.mask_id
    subject.eval()
    with torch.no_grad():
        given, blank = embeddings(ids), embeddings(masked)
    way = ((torch.arange(steps) + 0.5) / steps)[:, None, None]
    points = (blank + way * (given - blank)).requires_grad_()
    rest = (each.expand(steps, *each.shape[1:]) for each in (ids, mask, centre, composition))
    with _embedded(embeddings, points):
        answer = subject.head(subject.features(*rest))[:, task].sum()
    (gradient,) = torch.autograd.grad(answer, points)
    share = (gradient.mean(0) * (given - blank)[0]).sum(-1).numpy().astype(np.float64)
    return np.repeat(share / np.maximum(lengths, 1), lengths)


@contextmanager
def _embedded(embeddings: torch.nn.Module, states: Tensor) -> Iterator[None]:
    """Let the encoder go on from these states, whatever ids it is given."""
    hook = embeddings.register_forward_hook(lambda *_: states)
    try:
        yield
    finally:
        hook.remove()


def _lengths(encoding: Encoding) -> NDArray[np.int64]:
    """Bases of each token; 0 for special ones."""
    return encoding.offsets[:, 1] - encoding.offsets[:, 0]
