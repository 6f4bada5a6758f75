"""DNABERT-2's byte-pair tokenizer: the published file, or one of the same kind trained on given sequences.

White space would split a sequence into words and any letter but A C G T would become [UNK], so every
sequence is normalised first: case and U never reach the vocabulary; N is one [UNK] per base.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers import models, pre_tokenizers, processors, trainers

from episome.sequence import normalise
from episome.types import EpisomeError

SPECIALS = ("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]")
LONGEST_TOKEN = 32

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoding:
    """One tokenised sequence.

    Attributes:
        ids: int64[T], [CLS] first and [SEP] last.
        offsets: int64[T, 2], 0-based half-open in bases; [CLS] has (0, 0) and [SEP] has (L, L).
    """

    ids: Ints
    offsets: Ints


class Tokenizer:
    """A vocabulary and its merges, held for as long as a model that was trained with it."""

    def __init__(self, inner: tokenizers.Tokenizer) -> None:
        """Wrap a tokenizer of the published kind.

        Raises:
            EpisomeError: a special token or a base is missing from its vocabulary.
        """
        ids = inner.get_vocab()
        missing = [token for token in (*SPECIALS, *"ACGT") if token not in ids]
        if missing:
            raise EpisomeError(f"tokenizer without {', '.join(missing)}; wanted: one of DNABERT-2's kind")
        self._inner = inner
        self.unk_id, self.cls_id, self.sep_id, self.pad_id, self.mask_id = (ids[name] for name in SPECIALS)
        self.vocab_size = len(ids)
        self.longest = max(len(token) for token in ids if token not in SPECIALS)

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Read a ``tokenizer.json``.

        Raises:
            EpisomeError: the file is missing, is no JSON, or holds no byte-pair tokenizer of the published kind.
        """
        try:
            text = path.read_text(encoding="utf-8")
            kind = json.loads(text)["model"]["type"]
        except FileNotFoundError as error:
            raise EpisomeError(f"{path}: no such file; wanted: a tokenizer.json") from error
        except (ValueError, KeyError, TypeError) as error:
            raise EpisomeError(f"{path}: not a tokenizer.json: {error!r}") from error
        if kind != "BPE":
            raise EpisomeError(f"{path}: a tokenizer of type {kind!r}; wanted: BPE, as DNABERT-2's")
        return cls(tokenizers.Tokenizer.from_str(text))

    def save(self, path: Path) -> None:
        """Write the tokenizer as a ``tokenizer.json`` that the transformers library reads too."""
        path.write_text(self._inner.to_str(pretty=True) + "\n", encoding="utf-8")

    def encode(self, sequence: str) -> Encoding:
        """Tokenise one sequence of any case, with U and IUPAC codes allowed.

        Raises:
            SequenceError: the sequence is empty or holds what is no nucleotide.
        """
        clean = normalise(sequence).sequence
        return _encoding(self._inner.encode(clean), len(clean))

    def encode_many(self, sequences: Sequence[str]) -> list[Encoding]:
        """Tokenise many sequences; the same answers as `encode`, on all cores.

        Raises:
            SequenceError: a sequence is empty or holds what is no nucleotide.
        """
        clean = [normalise(sequence).sequence for sequence in sequences]
        return [_encoding(raw, len(s)) for raw, s in zip(self._inner.encode_batch(clean), clean, strict=True)]

    def pad(self, encodings: Sequence[Encoding]) -> tuple[Ints, Ints]:
        """Stack encodings of unequal length, padded on the right.

        Returns:
            ids int64[B, S] and attention mask int64[B, S] (1 = token, 0 = padding).
        """
        longest = max(len(e.ids) for e in encodings)
        ids = np.full((len(encodings), longest), self.pad_id, dtype=np.int64)
        mask = np.zeros((len(encodings), longest), dtype=np.int64)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding.ids)] = encoding.ids
            mask[row, : len(encoding.ids)] = 1
        return ids, mask


def train(sequences: Iterable[str], vocab_size: int) -> Tokenizer:
    """Learn a byte-pair vocabulary of the published kind: five specials, A C G T, then merges; deterministic.

    No merge crosses an N, so no token holds one. The vocabulary is smaller than asked where the sequences
    hold too few different pairs.

    Raises:
        EpisomeError: `vocab_size` leaves no room for the specials and the four bases.
    """
    if vocab_size < len(SPECIALS) + 4:
        raise EpisomeError(f"vocab_size {vocab_size}; at least {len(SPECIALS) + 4} are wanted (specials and bases)")
    inner = tokenizers.Tokenizer(models.BPE(unk_token="[UNK]", fuse_unk=False))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIALS),
        initial_alphabet=list("ACGT"),
        max_token_length=LONGEST_TOKEN,
        show_progress=False,
    )
    inner.train_from_iterator((normalise(s).sequence.replace("N", " ") for s in sequences), trainer)
    return Tokenizer(inner)


def centre_token(encoding: Encoding, base: int) -> int:
    """Index of the token that covers a base, counted with [CLS].

    Raises:
        EpisomeError: the base lies outside the sequence.
    """
    length = int(encoding.offsets[-1, 1])
    if not 0 <= base < length:
        raise EpisomeError(f"base {base} lies outside a sequence of {length} bases (0-based)")
    return int(np.searchsorted(encoding.offsets[1:-1, 1], base, side="right")) + 1


def _encoding(raw: tokenizers.Encoding, length: int) -> Encoding:
    offsets = np.array(raw.offsets, dtype=np.int64)
    offsets[-1] = length
    return Encoding(ids=np.array(raw.ids, dtype=np.int64), offsets=offsets)
