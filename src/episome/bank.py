"""The adapter bank: one flat row of numbers per adapter, in the order in which the graph splits it.

A row holds, layer by layer and target by target, A transposed (inputs x rank) and then B transposed
(rank x outputs), zero-padded from the adapter's rank to the bank's, with alpha/rank folded into B.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from episome.card import Bank, BundleError, Lora, ModelShape
from episome.types import EpisomeError

Floats = NDArray[np.float32]

_ATTENTION = ("attention.self.Wqkv", "attention.output.dense")
_ALL = (*_ATTENTION, "mlp.gated_layers", "mlp.wo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One adapted linear of one layer, with its numbers of inputs and outputs."""

    layer: int
    target: str
    inputs: int
    outputs: int

    @property
    def key(self) -> str:
        """What the keys of its two factors begin with in a PEFT file."""
        return f"base_model.model.encoder.layer.{self.layer}.{self.target}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """All adapters and heads at one moment; never changed, so that runs in flight keep what they began with.

    Attributes:
        factors: float32[N, P].
        head_weight: float32[N, L, F]; labels a species does not have are zero.
        head_bias: float32[N, L].
        rows: row of each slot in use.
    """

    factors: Floats
    head_weight: Floats
    head_bias: Floats
    rows: Mapping[int, int]

    def extended(self, slot: int, factors: Floats, weight: Floats, bias: Floats) -> "Snapshot":
        """A copy with one more adapter: in a free row, or after doubling the rows."""
        have = len(self.factors)
        free = sorted(set(range(have)) - set(self.rows.values()))
        row, count = (free[0], have) if free else (have, 2 * have)
        labels = max(self.head_weight.shape[1], len(weight))
        grown = Snapshot(
            factors=_grown(self.factors, (count, self.factors.shape[1])),
            head_weight=_grown(self.head_weight, (count, labels, self.head_weight.shape[2])),
            head_bias=_grown(self.head_bias, (count, labels)),
            rows={**self.rows, slot: row},
        )
        grown.factors[row], grown.head_weight[row], grown.head_bias[row] = factors, 0, 0
        grown.head_weight[row, : len(weight)], grown.head_bias[row, : len(bias)] = weight, bias
        return grown

    def handing_on(self, slot: int, first: int, count: int) -> "Snapshot":
        """One adapter alone, whose head hands on `count` features from `first` as its logits, to the bit.

        Each is a sum of products of which one is the feature and the others are 0.
        """
        row = self.rows[slot]
        weight = np.zeros((1, count, self.head_weight.shape[2]), np.float32)
        weight[0, np.arange(count), first + np.arange(count)] = 1
        factors, bias = self.factors[row : row + 1], np.zeros((1, count), np.float32)
        return Snapshot(factors=factors, head_weight=weight, head_bias=bias, rows={slot: 0})


def empty(*, rows: int, width: int, features: int) -> Snapshot:
    """A bank of `rows` free rows."""
    return Snapshot(
        factors=np.zeros((rows, width), np.float32),
        head_weight=np.zeros((rows, 1, features), np.float32),
        head_bias=np.zeros((rows, 1), np.float32),
        rows={},
    )


def targets(choice: Literal["attention", "all"]) -> tuple[str, ...]:
    """The adapted linears of a layer, in the order of the bank."""
    return _ATTENTION if choice == "attention" else _ALL


def parts(model: ModelShape, names: Sequence[str]) -> tuple[Part, ...]:
    """Every adapted linear of the model, in the order of the bank.

    Raises:
        EpisomeError: a name is no linear of a layer.
    """
    width, inner = model.hidden_size, model.intermediate_size
    shapes = {
        "attention.self.Wqkv": (width, 3 * width),
        "attention.output.dense": (width, width),
        "mlp.gated_layers": (width, 2 * inner),
        "mlp.wo": (inner, width),
    }
    if unknown := [name for name in names if name not in shapes]:
        raise EpisomeError(f"no linear of a layer is named {', '.join(unknown)}; there are: {', '.join(shapes)}")
    return tuple(
        Part(layer=layer, target=name, inputs=shapes[name][0], outputs=shapes[name][1])
        for layer in range(model.num_hidden_layers)
        for name in shapes
        if name in names
    )


def width(model: ModelShape, bank: Bank) -> int:
    """Numbers in one row of the bank."""
    return sum(bank.bank_rank * (part.inputs + part.outputs) for part in parts(model, bank.targets))


def row(adapter: Mapping[str, Floats], lora: Lora, model: ModelShape, bank: Bank) -> Floats:
    """One adapter as a row of the bank; a target of the bank that it does not have is zero there.

    Args:
        adapter: factors by PEFT key, ``lora_A.weight`` [r, inputs] and ``lora_B.weight`` [outputs, r].
        lora: rank, alpha and targets of this adapter.
        model: shape of the base.
        bank: targets and rank of the graph.

    Returns:
        float32[width(model, bank)].

    Raises:
        BundleError: the rank does not fit into the bank, or a factor is missing, unknown or misshapen.
    """
    if lora.rank > bank.bank_rank:
        raise BundleError(
            f"adapter of rank {lora.rank} does not fit into a bank of rank {bank.bank_rank}; "
            "raise export.bank_rank and export the base again"
        )
    if foreign := sorted(set(lora.targets) - set(bank.targets)):
        raise BundleError(
            f"adapter on {', '.join(foreign)}, the base's graph has room on {', '.join(bank.targets)} "
            "only; set lora.targets and export the base again"
        )
    _check_keys(adapter, parts(model, lora.targets))
    scale = np.float32(lora.alpha / lora.rank)
    flat = []
    for part in parts(model, bank.targets):
        left = np.zeros((part.inputs, bank.bank_rank), np.float32)
        right = np.zeros((bank.bank_rank, part.outputs), np.float32)
        if part.target in lora.targets:
            left[:, : lora.rank] = _factor(adapter, f"{part.key}.lora_A.weight", (lora.rank, part.inputs)).T
            right[: lora.rank] = _factor(adapter, f"{part.key}.lora_B.weight", (part.outputs, lora.rank)).T * scale
        flat += [left.ravel(), right.ravel()]
    return np.concatenate(flat)


def _check_keys(adapter: Mapping[str, Floats], wanted: Sequence[Part]) -> None:
    keys = {f"{part.key}.lora_{factor}.weight" for part in wanted for factor in "AB"}
    if missing := sorted(keys - adapter.keys()):
        raise BundleError(f"adapter without {missing[0]} ({len(missing)} key(s) missing)")
    if extra := sorted(adapter.keys() - keys):
        raise BundleError(f"adapter with {extra[0]}, which its card does not announce ({len(extra)} key(s) too many)")


def _factor(adapter: Mapping[str, Floats], key: str, shape: tuple[int, int]) -> Floats:
    if adapter[key].shape != shape:
        raise BundleError(f"adapter: {key} has the shape {adapter[key].shape}; wanted {shape}")
    return adapter[key]


def _grown(array: Floats, shape: tuple[int, ...]) -> Floats:
    """A copy of `array` in the low corner of zeros of `shape`."""
    grown = np.zeros(shape, np.float32)
    grown[tuple(slice(size) for size in array.shape)] = array
    return grown
