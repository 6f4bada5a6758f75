"""Answers of many species from one ONNX Runtime session: adapters and heads are rows of a bank fed as inputs.

On a CPU a run gains nothing from more rows than one core can chew,
so rows are never padded: rows of equal token length share a run, runs go to as many threads as asked.
"""

import math
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from episome import bank, bundle, session
from episome.bank import Snapshot
from episome.bundle import BundleError, Card, Contents
from episome.sequence import normalise
from episome.tokenizer import Tokenizer, centre_token
from episome.types import EpisomeError

Device = Literal["cpu", "cuda"]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

_PROVIDER: Mapping[Device, str] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
# Head weights that the rows of a call to `states` gather, all together: 64 MiB.
_HANDED_ON = 2**24


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A sequence to score: which adapter answers, and which base (0-based) a site's centre is, if any."""

    sequence: str
    slot: int
    centre: int | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """A sequence as the graph wants it.

    Attributes:
        ids: int64[T], [CLS] and [SEP] included.
        centre_token: index of the token that covers the centre; 0 ([CLS]) where there is no centre.
        composition: float32[K].
    """

    ids: Ints
    centre_token: int
    composition: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Adapter:
    """One species in the bank.

    Attributes:
        slot: what rows name it by; never used again for another adapter of the same engine.
        card: of its bundle.
        digest: of its bundle.
        folder: of its bundle.
    """

    slot: int
    card: Card
    digest: str
    folder: Path

    @property
    def drift(self) -> Path:
        """File of its drift profile (`episome.drift.load`)."""
        return self.folder / "drift.npz"

    def probabilities(self, logits: Floats) -> Floats:
        """Calibrated probabilities of its tasks, float32[n, L], from logits float32[n, >= L]."""
        tasks = self.card.tasks
        temperature = np.array([task.temperature for task in tasks], np.float32)
        scaled = logits[:, : len(tasks)] / temperature
        # The hyperbolic form of the sigmoid: exp of a large number would overflow.
        probabilities: Floats = (0.5 + 0.5 * np.tanh(0.5 * scaled)).astype(np.float32)
        return probabilities


class Engine:
    """One base model and the adapters it answers for; safe to call from several threads."""

    def __init__(
        self,
        base_folder: Path,
        *,
        threads: int,
        device: Device = "cpu",
        capacity: int = 16,
        tokens_per_run: int = 4096,
    ) -> None:
        """Open a base bundle.

        Args:
            base_folder: a base bundle; verified first.
            threads: runs at the same time on a CPU, one core each.
            device: what must run the graph; there is no falling back to another.
            capacity: rows the bank begins with; it doubles when it is full.
            tokens_per_run: longest run, rows times tokens; a single longer row still runs alone.

        Raises:
            EpisomeError: the bundle is no good base, or the device is not there.
        """
        self.card = bundle.read_base_card(base_folder)
        bundle.verify(base_folder)
        self.digest = bundle.digest(base_folder)
        self.tokenizer = Tokenizer.load(base_folder / "tokenizer.json")
        self.provider = _PROVIDER[device]
        self._session = session.start(base_folder / "base.onnx", self.provider)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="episome-run")
        self._threads = threads
        self._tokens_per_run = tokens_per_run
        self._adapters: dict[int, Adapter] = {}
        self._next_slot = 0
        self._changing = threading.Lock()
        composed = self.card.composition.size
        self._bank = bank.empty(
            rows=capacity,
            width=bank.width(self.card.model, self.card.lora),
            features=2 * self.card.model.hidden_size + composed,
        )
        self._check_graph(base_folder, composed)

    @property
    def adapters(self) -> tuple[Adapter, ...]:
        """The adapters it answers for, in the order of their slots."""
        return tuple(self._adapters.values())

    def add(self, folder: Path, species: str | None = None) -> Adapter:
        """Load a species bundle, and take it up only if its golden answers come out.

        Args:
            folder: the bundle.
            species: whose bundle it must be, where the caller knows.

        Raises:
            BundleError: it does not verify, is another species' or another base's, does not fit the graph,
                or a golden answer is off by more than the card's tolerance. The engine is as it was before.
        """
        contents = bundle.read_contents(folder)
        self._check_card(contents.card, species, folder)
        factors = bank.row(contents.adapter, contents.card.lora, self.card.model, self.card.lora)
        wanted = self._bank.head_weight.shape[2]
        if contents.head_weight.shape[1] != wanted:
            raise BundleError(f"{folder}: head over {contents.head_weight.shape[1]} features; this base has {wanted}")
        with self._changing:
            slot = self._next_slot
            candidate = self._bank.extended(slot, factors, contents.head_weight, contents.head_bias)
            self._check_golden(candidate, slot, contents, folder)
            adapter = Adapter(slot=slot, card=contents.card, digest=contents.digest, folder=folder)
            self._bank = candidate
            self._adapters = {**self._adapters, slot: adapter}
            self._next_slot += 1
        return adapter

    def remove(self, slot: int) -> None:
        """Forget an adapter; runs in flight still finish with it.

        Raises:
            EpisomeError: no adapter has that slot.
        """
        with self._changing:
            if slot not in self._adapters:
                raise EpisomeError(f"no adapter in slot {slot}; slots in use: {sorted(self._adapters)}")
            self._bank = replace(self._bank, rows={kept: row for kept, row in self._bank.rows.items() if kept != slot})
            self._adapters = {kept: adapter for kept, adapter in self._adapters.items() if kept != slot}

    def prepare(self, sequence: str, centre: int | None) -> Prepared:
        """Tokenise a sequence (any case, U and IUPAC codes allowed) and count its composition.

        Args:
            sequence: at least one base.
            centre: 0-based base a site is centred on, or None.

        Raises:
            EpisomeError: not a nucleotide sequence, longer than the base allows, or `centre` lies outside.
        """
        clean = normalise(sequence).sequence
        # What no token is long enough for is not tokenised: of a chromosome that would take gigabytes.
        if len(clean) - clean.count("N") > self.card.max_tokens * self.tokenizer.longest:
            raise self._too_long(clean, f"more than {self.card.max_tokens}")
        encoding = self.tokenizer.encode(clean)
        if len(encoding.ids) > self.card.max_tokens:
            raise self._too_long(clean, str(len(encoding.ids)))
        return Prepared(
            ids=encoding.ids,
            centre_token=0 if centre is None else centre_token(encoding, centre),
            composition=self.card.composition.of(clean, centre),
        )

    def score(self, rows: Sequence[Row]) -> tuple[Floats, Floats]:
        """`prepare` and `logits` in one call."""
        return self.logits([(self.prepare(row.sequence, row.centre), row.slot) for row in rows])

    def logits(self, prepared: Sequence[tuple[Prepared, int]]) -> tuple[Floats, Floats]:
        """Score prepared sequences of any lengths and species, each with the slot that answers for it.

        Returns:
            logits float32[n, L_max] (columns beyond a species' own tasks are zero) and mean states
            float32[n, d], in the order given.

        Raises:
            EpisomeError: a slot holds no adapter (any more).
        """
        return self._score(self._bank, prepared)

    def states(self, prepared: Sequence[Prepared], slot: int) -> Floats:
        """What an adapter's encoder makes of sequences: the mean state, then the state of the centre token.

        The graph has no output for the latter, so a head that hands it on stands in for the adapter's own.

        Args:
            prepared: sequences of any lengths; one without a centre has the state of [CLS].
            slot: of the adapter.

        Returns:
            float32[n, 2 d].

        Raises:
            EpisomeError: the slot holds no adapter (any more).
        """
        size, present = self.card.model.hidden_size, self._bank
        _check_slots(present, {slot})
        alone = present.handing_on(slot, size, size)
        at_once = max(1, _HANDED_ON // alone.head_weight.size)
        found = np.zeros((len(prepared), 2 * size), np.float32)
        for start in range(0, len(prepared), at_once):
            rows = [(each, slot) for each in prepared[start : start + at_once]]
            found[start : start + at_once, size:], found[start : start + at_once, :size] = self._score(alone, rows)
        return found

    def close(self) -> None:
        """End the threads; the engine is not used after this."""
        self._pool.shutdown()

    def _score(self, state: Snapshot, prepared: Sequence[tuple[Prepared, int]]) -> tuple[Floats, Floats]:
        _check_slots(state, {slot for _, slot in prepared})
        logits = np.zeros((len(prepared), state.head_bias.shape[1]), np.float32)
        pooled = np.zeros((len(prepared), self.card.model.hidden_size), np.float32)

        def run(members: list[int]) -> None:
            logits[members], pooled[members] = self._run(state, [prepared[member] for member in members])

        runs = _runs([len(sequence.ids) for sequence, _ in prepared], self._tokens_per_run, self._threads)
        if len(runs) == 1:
            run(runs[0])
        else:
            list(self._pool.map(run, runs))
        return logits, pooled

    def _run(self, state: Snapshot, members: Sequence[tuple[Prepared, int]]) -> tuple[Floats, Floats]:
        ids = np.stack([sequence.ids for sequence, _ in members])
        logits, pooled = self._session.run(
            ["logits", "pooled"],
            {
                "input_ids": ids,
                "attention_mask": np.ones_like(ids),
                "centre": np.array([sequence.centre_token for sequence, _ in members], np.int64),
                "composition": np.stack([sequence.composition for sequence, _ in members]),
                "adapter": np.array([state.rows[slot] for _, slot in members], np.int64),
                "bank": state.factors,
                "head_weight": state.head_weight,
                "head_bias": state.head_bias,
            },
        )
        return logits, pooled

    def _too_long(self, clean: str, tokens: str) -> EpisomeError:
        limit = self.card.max_tokens
        return EpisomeError(
            f"a sequence of {len(clean)} bases is {tokens} tokens; this base takes {limit} at most (export.max_tokens)"
        )

    def _check_graph(self, folder: Path, composed: int) -> None:
        """The graph's free widths must be those that the card makes us feed."""
        shapes = {value.name: value.shape for value in self._session.get_inputs()}
        state = self._bank
        fed = {"composition": composed, "bank": state.factors.shape[1], "head_weight": state.head_weight.shape[2]}
        for name, size in fed.items():
            if name not in shapes or shapes[name][-1] != size:
                raise BundleError(
                    f"{folder}: the graph's input {name!r} is {shapes.get(name)}; by the card its last "
                    f"dimension is {size}"
                )

    def _check_card(self, card: Card, species: str | None, folder: Path) -> None:
        if species is not None and card.species != species:
            raise BundleError(f"{folder}: the bundle is of species {card.species!r}; wanted {species!r}")
        if card.base != self.digest:
            raise BundleError(f"{folder}: trained on the base {card.base}, this is the base {self.digest}")
        if card.composition != self.card.composition:
            raise BundleError(f"{folder}: head over {card.composition}; the base has {self.card.composition}")

    def _check_golden(self, state: Snapshot, slot: int, contents: Contents, folder: Path) -> None:
        prepared = [(self.prepare(golden.sequence, golden.centre), slot) for golden in contents.golden]
        found = self._score(state, prepared)[0][:, : len(contents.card.tasks)]
        wanted = np.array([golden.logits for golden in contents.golden], np.float32)
        off = np.abs(found - wanted)
        # Written so that NaN fails too.
        if not (off <= contents.card.tolerance).all():
            worst = int(off.max(axis=1).argmax())
            raise BundleError(
                f"{folder}: golden answer {worst} is {found[worst].tolist()}, the bundle says "
                f"{wanted[worst].tolist()} (tolerance {contents.card.tolerance}); it is not served"
            )


def _check_slots(state: Snapshot, slots: set[int]) -> None:
    if gone := sorted(slots - state.rows.keys()):
        raise EpisomeError(f"no adapter in slot {gone[0]}; slots in use: {sorted(state.rows)}")


def _runs(lengths: Sequence[int], tokens_per_run: int, threads: int) -> list[list[int]]:
    """Indices of rows that run together: equal token lengths, at most `tokens_per_run`, spread over the threads."""
    by_length: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        by_length.setdefault(length, []).append(index)
    budget = min(tokens_per_run, math.ceil(sum(lengths) / threads))
    runs = []
    for length, members in sorted(by_length.items(), reverse=True):
        rows = max(1, budget // length)
        runs += [members[start : start + rows] for start in range(0, len(members), rows)]
    return runs
