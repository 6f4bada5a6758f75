"""Encoder, adapter and linear head together: what is trained, evaluated and exported for one species."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from episome import lora, model
from episome.batches import batches
from episome.composition import Composition, site_features
from episome.dataset import label_column
from episome.tokenizer import Encoding, Tokenizer, centre_token
from episome.types import EpisomeError, Task

__all__ = [
    "HEAD",
    "TRAINING",
    "Classifier",
    "Composition",
    "Examples",
    "Head",
    "load_classifier",
    "predict",
    "save",
]

HEAD = "head.safetensors"
TRAINING = "training.json"
_PREDICT_TOKENS = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Rows made ready for the model: n rows, L tasks, K composition features.

    Attributes:
        encodings: n tokenised sequences.
        centres: int64 [n], token that covers the centre of a site window; 0 ([CLS]) for other rows.
        composition: float32 [n, K].
        labels: int8 [n, L]; -1 = not labelled for this task.
        offset: float32 [n, L], added to the head's logits while training; None adds nothing.
        turned: int64 [n' ≤ n], for each of the first rows where its reverse complement stands (its own place where
            it has none); rows beyond them are those. None: no row is turned.
        targets: float32 [n, T], what a pooled state learns to say of its sequence (`Train.auxiliary`); NaN does not
            count. None: nothing.
    """

    encodings: list[Encoding]
    centres: NDArray[np.int64]
    composition: NDArray[np.float32]
    labels: NDArray[np.int8]
    offset: NDArray[np.float32] | None = None
    turned: NDArray[np.int64] | None = None
    targets: NDArray[np.float32] | None = None

    @property
    def own(self) -> int:
        """Number of rows without those that are another's reverse complement."""
        return len(self.encodings) if self.turned is None else len(self.turned)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row."""
        return [len(encoding.ids) for encoding in self.encodings]

    def drawn(self, share: float, rng: np.random.Generator, rows: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Rows of one epoch, a `share` of those that may be turned as their reverse complement.

        Args:
            share: drawn anew for each.
            rng: draws it.
            rows: among the first `own`; None: each of them once.
        """
        asked = np.arange(self.own) if rows is None else rows
        if self.turned is None:
            return asked
        return np.where(rng.random(len(asked)) < share, self.turned[asked], asked)


class Head(nn.Module):
    """Linear head over [pooled state, centre state, composition].

    Only tasks of scope ``site`` see the centre state and the bases around it: elsewhere the centre means nothing, and
    nobody who asks for such a task names one.
    """

    mask: Tensor
    seen: Tensor
    scale: Tensor

    def __init__(self, hidden: int, composition: Composition, sites: Sequence[bool]) -> None:
        super().__init__()
        self.state = nn.Parameter(torch.zeros(len(sites), 2 * hidden))
        self.composition = nn.Parameter(torch.zeros(len(sites), composition.size))
        self.bias = nn.Parameter(torch.zeros(len(sites)))
        blind = [k for k, site in enumerate(sites) if not site]
        mask, seen = torch.ones(len(sites), 2 * hidden), torch.ones(len(sites), composition.size)
        mask[blind, hidden:] = 0
        seen[blind, composition.size - site_features(composition.site_reach) :] = 0
        self.register_buffer("mask", mask)
        self.register_buffer("seen", seen)
        # Composition weights are trained in units of each feature's spread, so that one learning rate fits all.
        self.register_buffer("scale", torch.ones(composition.size))

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight [L, 2d + K] and bias [L] as the bundle keeps them."""
        return torch.cat([self.state * self.mask, self.composition * self.seen / self.scale], dim=1), self.bias

    def fill(self, weight: Tensor, bias: Tensor) -> None:
        """Start the first rows from a folded head; rows beyond it stay as they are."""
        with torch.no_grad():
            known, width = weight.shape[0], self.state.shape[1]
            self.state[:known] = weight[:, :width]
            self.composition[:known] = weight[:, width:] * self.scale
            self.bias[:known] = bias

    def forward(self, features: Tensor) -> Tensor:
        weight, bias = self.folded()
        return features @ weight.T + bias


class Classifier(nn.Module):
    """One species' model: base encoder with its adapter, and its head."""

    def __init__(
        self,
        encoder: PeftModel,
        hidden_size: int,
        tokenizer: Tokenizer,
        tasks: Sequence[Task],
        composition: Composition,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.tokenizer = tokenizer
        self.tasks = tuple(tasks)
        self.composition = composition
        self.head = Head(hidden_size, composition, [task.scope == "site" for task in tasks])

    def recompute(self, *, on: bool) -> None:
        """Let training compute each layer a second time instead of keeping what is inside it."""
        for module in self.encoder.modules():
            if isinstance(module, model.Encoder):
                module.checkpointing = on

    def features(self, ids: Tensor, mask: Tensor, centre: Tensor, composition: Tensor) -> Tensor:
        """What the head sees: float [B, 2d + K] of int64 [B, S] ids and mask, int64 [B] centres, float [B, K]."""
        states = self.encoder(ids, mask).last_hidden_state.float()  # under autocast it comes in bfloat16
        weights = mask[..., None].to(states.dtype)
        pooled = (states * weights).sum(1) / weights.sum(1)
        return torch.cat([pooled, states[torch.arange(len(ids)), centre], composition], dim=1)

    def batch(self, examples: Examples, at: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The rows `at` of `examples` as the arguments of `features`."""
        ids, mask = self.tokenizer.pad([examples.encodings[k] for k in at])
        return (
            torch.from_numpy(ids),
            torch.from_numpy(mask),
            torch.from_numpy(examples.centres[at]),
            torch.from_numpy(examples.composition[at]),
        )

    def examples(self, rows: pd.DataFrame) -> Examples:
        """Tokenise rows with a column ``sequence``; label columns are read where they are there."""
        encodings = self.tokenizer.encode_many(list(rows["sequence"]))
        labels = np.full((len(rows), len(self.tasks)), -1, dtype=np.int8)
        for k, task in enumerate(self.tasks):
            if label_column(task.name) in rows:
                labels[:, k] = rows[label_column(task.name)].to_numpy(np.int8)
        sites = self._sites(labels)
        centres = np.zeros(len(rows), dtype=np.int64)
        for at, base in sites.items():
            centres[at] = centre_token(encodings[at], base)
        spectra = np.zeros((len(rows), self.composition.size), dtype=np.float32)
        for at, sequence in enumerate(rows["sequence"]):
            spectra[at] = self.composition.of(sequence, sites.get(at))
        return Examples(encodings=encodings, centres=centres, composition=spectra, labels=labels)

    def _sites(self, labels: NDArray[np.int8]) -> dict[int, int]:
        """Base in the middle of each row that is labelled for a site task."""
        found: dict[int, int] = {}
        for k, task in enumerate(self.tasks):
            if task.scope != "site" or task.window is None:
                continue
            for at in np.flatnonzero(labels[:, k] >= 0).tolist():
                if found.setdefault(at, task.window // 2) != task.window // 2:
                    raise EpisomeError(
                        f"row {at} is labelled for site tasks of different windows, {task.name!r} among them; "
                        "wanted: one window, since a row has one middle"
                    )
        return found

    def logits(self, examples: Examples) -> NDArray[np.float32]:
        """Logits float32 [n, L], computed without gradient in evaluation mode."""
        self.eval()
        answer = np.zeros((len(examples.encodings), len(self.tasks)), dtype=np.float32)
        with torch.inference_mode():
            for at in batches(examples.lengths, _PREDICT_TOKENS):
                answer[at] = self.head(self.features(*self.batch(examples, at))).numpy()
        return answer

    def pooled(self, examples: Examples) -> NDArray[np.float32]:
        """Mean state of each row's tokens, float32 [n, d], computed without gradient in evaluation mode."""
        self.eval()
        width = self.head.state.shape[1] // 2
        answer = np.zeros((len(examples.encodings), width), dtype=np.float32)
        with torch.inference_mode():
            for at in batches(examples.lengths, _PREDICT_TOKENS):
                answer[at] = self.features(*self.batch(examples, at))[:, :width].numpy()
        return answer


def predict(classifier: Classifier, rows: pd.DataFrame) -> NDArray[np.float32]:
    """Logits float32 [n, L] of rows with a column ``sequence`` (and label columns, which place site centres)."""
    return classifier.logits(classifier.examples(rows))


def save(classifier: Classifier, folder: Path, record: dict[str, object]) -> None:
    """Write the adapter in peft's format, the folded head, and ``training.json`` with the tasks and `record`."""
    lora.save(classifier.encoder, folder)
    weight, bias = classifier.head.folded()
    save_file({"weight": weight.detach().contiguous(), "bias": bias.detach().contiguous()}, folder / HEAD)
    whole = {
        "tasks": [asdict(task) for task in classifier.tasks],
        "composition": asdict(classifier.composition),
        **record,
    }
    (folder / TRAINING).write_text(json.dumps(whole, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def load_classifier(base: Path, adapter: Path) -> Classifier:
    """Load what `save` wrote on top of the base model in `base`.

    Raises:
        EpisomeError: a file is missing or does not fit the base.
    """
    if not (adapter / TRAINING).is_file():
        raise EpisomeError(f"{adapter}: no {TRAINING}; run `dvc repro` for this species first")
    record = json.loads((adapter / TRAINING).read_text(encoding="utf-8"))
    tasks = [Task(**{**task, "labels": tuple(task["labels"])}) for task in record["tasks"]]
    encoder = model.load(base)
    peft_model = lora.load(encoder, adapter)
    classifier = Classifier(
        peft_model,
        encoder.config.hidden_size,
        Tokenizer.load(base / "tokenizer.json"),
        tasks,
        Composition(**record["composition"]),
    )
    head = load_file(adapter / HEAD)
    classifier.head.fill(head["weight"], head["bias"])
    classifier.eval()
    return classifier
