"""The ONNX graph of the base, built by hand from its weights; adapters and heads are inputs.

One run serves rows of different species: each row gathers its own LoRA factors from `bank` and its own head.
Only standard operators of opset 20, so that any ONNX runtime can open the file. The maths is that of
`episome.model` (DNABERT-2, Zhou et al. 2023); tests hold the two together.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from episome import bank
from episome.card import Bank, ModelShape
from episome.model import MASKED_KEY, alibi_slopes
from episome.types import EpisomeError

Floats = NDArray[np.float32]
State = Mapping[str, Floats]

LAYER_NORM_EPSILON = 1e-12
_OPSET = 20
_IR_VERSION = 10


class _Nodes:
    """Nodes and constants in the order they were asked for; names are counted, so the bytes repeat."""

    def __init__(self, state: State, model: ModelShape, room: Bank) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.state = state
        self.model = model
        self.rows = self.op("Shape", "input_ids")  # int64[2]: B and S of this run
        self.factors = _factors(self, room)

    def weight(self, key: str) -> str:
        return self.constant(self.state[key], key)

    def shape(self, *rest: int) -> str:
        """int64: B, S and then `rest`."""
        return self.op("Concat", self.rows, self.integers(*rest), axis=0)

    def constant(self, values: NDArray[np.generic], name: str | None = None) -> str:
        name = name or f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def integers(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def op(self, kind: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        output = name or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def split(self, value: str, sizes: Sequence[int], axis: int) -> list[str]:
        outputs = [f"split_{len(self.nodes)}_{part}" for part in range(len(sizes))]
        self.nodes.append(helper.make_node("Split", [value, self.integers(*sizes)], outputs, axis=axis))
        return outputs


def build(
    state: State, model: ModelShape, targets: Sequence[str], bank_rank: int, composition_size: int
) -> onnx.ModelProto:
    """The graph of a base model.

    Inputs (B rows, S tokens, N rows of the bank, L labels, F = 2 d + K features):
        input_ids int64[B, S], attention_mask int64[B, S], centre int64[B] (token), composition float32[B, K],
        adapter int64[B] (row of the bank), bank float32[N, P] (`episome.bank`), head_weight float32[N, L, F],
        head_bias float32[N, L].
    Outputs: logits float32[B, L], pooled float32[B, d] (mean state over the mask).

    Args:
        state: the encoder's weights by published key, without a ``bert.`` prefix; float32.
        model: its shape.
        targets: linears that take an adapter (`bank.targets`).
        bank_rank: rank of the bank's rows.
        composition_size: K.

    Raises:
        EpisomeError: a weight is missing, or a target is no linear of a layer.
    """
    if missing := sorted(_keys(model) - state.keys()):
        raise EpisomeError(f"the encoder's state lacks {missing[0]} ({len(missing)} key(s) missing)")
    room = Bank(targets=tuple(targets), bank_rank=bank_rank)
    graph = _Nodes(state, model, room)
    bias = _attention_bias(graph)
    x = _embedded(graph)
    for layer in range(model.num_hidden_layers):
        x = _mlp(graph, layer, _attention(graph, layer, x, bias))
    _head(graph, graph.op("Reshape", x, graph.shape(model.hidden_size)))
    inputs, outputs = _signature(model, bank.width(model, room), composition_size)
    return helper.make_model(
        helper.make_graph(graph.nodes, "episome", inputs, outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="episome",
    )


def _signature(
    model: ModelShape, width: int, composition_size: int
) -> tuple[list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]:
    features = 2 * model.hidden_size + composition_size
    shapes: dict[str, tuple[int, list[int | str]]] = {
        "input_ids": (TensorProto.INT64, ["B", "S"]),
        "attention_mask": (TensorProto.INT64, ["B", "S"]),
        "centre": (TensorProto.INT64, ["B"]),
        "composition": (TensorProto.FLOAT, ["B", composition_size]),
        "adapter": (TensorProto.INT64, ["B"]),
        "bank": (TensorProto.FLOAT, ["N", width]),
        "head_weight": (TensorProto.FLOAT, ["N", "L", features]),
        "head_bias": (TensorProto.FLOAT, ["N", "L"]),
    }
    inputs = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in shapes.items()]
    return inputs, [
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", "L"]),
        helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["B", model.hidden_size]),
    ]


def _factors(graph: _Nodes, room: Bank) -> dict[tuple[int, str], tuple[str, str]]:
    """For every adapted linear the factors of each row: float [B, inputs, r] and [B, r, outputs]."""
    adapted = bank.parts(graph.model, room.targets)
    rank = room.bank_rank
    sizes = [size for part in adapted for size in (part.inputs * rank, rank * part.outputs)]
    flat = graph.split(graph.op("Gather", "bank", "adapter", axis=0), sizes, axis=1)
    return {
        (part.layer, part.target): (
            graph.op("Reshape", flat[2 * index], graph.integers(-1, part.inputs, rank)),
            graph.op("Reshape", flat[2 * index + 1], graph.integers(-1, rank, part.outputs)),
        )
        for index, part in enumerate(adapted)
    }


def _attention_bias(graph: _Nodes) -> str:
    """float[B, H, S, S]: minus slope times distance in tokens, and a large negative number for padded keys."""
    heads = graph.model.num_attention_heads
    length = graph.op("Squeeze", graph.op("Slice", graph.rows, graph.integers(1), graph.integers(2)))
    zero, one = graph.constant(np.array(0, np.int64)), graph.constant(np.array(1, np.int64))
    position = graph.op("Cast", graph.op("Range", zero, length, one), to=TensorProto.FLOAT)
    line, column = (graph.op("Unsqueeze", position, graph.integers(axis)) for axis in (0, 1))
    distance = graph.op("Abs", graph.op("Sub", line, column))
    falling = graph.constant(-np.array(alibi_slopes(heads), np.float32).reshape(1, heads, 1, 1))
    alibi = graph.op("Mul", graph.op("Unsqueeze", distance, graph.integers(0, 1)), falling)
    mask = graph.op("Cast", "attention_mask", to=TensorProto.FLOAT)
    absent = graph.op("Sub", graph.constant(np.array(1, np.float32)), mask)
    padded = graph.op("Mul", absent, graph.constant(np.array(MASKED_KEY, np.float32)))
    return graph.op("Add", alibi, graph.op("Unsqueeze", padded, graph.integers(1, 2)))


def _embedded(graph: _Nodes) -> str:
    """float[B*S, d]; every token is of type 0, so that row of the type embedding is folded into the words."""
    key = "embeddings.word_embeddings.weight"
    words = graph.state[key] + graph.state["embeddings.token_type_embeddings.weight"][0]
    tokens = graph.op("Reshape", "input_ids", graph.integers(-1))
    return _norm(graph, "embeddings.LayerNorm", graph.op("Gather", graph.constant(words, key), tokens, axis=0))


def _norm(graph: _Nodes, prefix: str, x: str) -> str:
    scale, shift = graph.weight(f"{prefix}.weight"), graph.weight(f"{prefix}.bias")
    return graph.op("LayerNormalization", x, scale, shift, axis=-1, epsilon=LAYER_NORM_EPSILON)


def _linear(graph: _Nodes, layer: int, target: str, x: str) -> str:
    """[B*S, inputs] to [B*S, outputs]: x W^T + b, plus each row's own low-rank update."""
    prefix = f"encoder.layer.{layer}.{target}"
    weight = graph.state[f"{prefix}.weight"]
    outputs, inputs = weight.shape
    operands = [x, graph.constant(weight.T, f"{prefix}.weight")]
    if f"{prefix}.bias" in graph.state:
        operands.append(graph.weight(f"{prefix}.bias"))
    y = graph.op("Gemm", *operands)
    if (layer, target) not in graph.factors:
        return y
    down, up = graph.factors[layer, target]
    by_row = graph.op("Reshape", x, graph.shape(inputs))
    update = graph.op("MatMul", graph.op("MatMul", by_row, down), up)
    return graph.op("Add", y, graph.op("Reshape", update, graph.integers(-1, outputs)))


def _attention(graph: _Nodes, layer: int, x: str, bias: str) -> str:
    """Self-attention, residual and norm, [B*S, d] to [B*S, d]."""
    width, heads = graph.model.hidden_size, graph.model.num_attention_heads
    qkv = graph.split(_linear(graph, layer, "attention.self.Wqkv", x), [width] * 3, axis=1)
    by_head = graph.shape(heads, width // heads)
    query, key, value = (graph.op("Reshape", part, by_head) for part in qkv)
    query = graph.op("Transpose", query, perm=[0, 2, 1, 3])
    key = graph.op("Transpose", key, perm=[0, 2, 3, 1])
    value = graph.op("Transpose", value, perm=[0, 2, 1, 3])
    scale = graph.constant(np.array(1 / math.sqrt(width // heads), np.float32))
    scores = graph.op("Add", graph.op("Mul", graph.op("MatMul", query, key), scale), bias)
    mixed = graph.op("MatMul", graph.op("Softmax", scores, axis=-1), value)
    joined = graph.op("Reshape", graph.op("Transpose", mixed, perm=[0, 2, 1, 3]), graph.integers(-1, width))
    attended = _linear(graph, layer, "attention.output.dense", joined)
    return _norm(graph, f"encoder.layer.{layer}.attention.output.LayerNorm", graph.op("Add", attended, x))


def _mlp(graph: _Nodes, layer: int, x: str) -> str:
    """Gated feed-forward, residual and norm, [B*S, d] to [B*S, d]."""
    inner = graph.model.intermediate_size
    gate, straight = graph.split(_linear(graph, layer, "mlp.gated_layers", x), [inner] * 2, axis=1)
    gated = graph.op("Mul", graph.op("Gelu", gate), straight)
    out = _linear(graph, layer, "mlp.wo", gated)
    return _norm(graph, f"encoder.layer.{layer}.mlp.layernorm", graph.op("Add", out, x))


def _head(graph: _Nodes, states: str) -> None:
    """Mean state, centre state and composition through each row's own head; names the two outputs.

    Which operator sums what is chosen so that the logits of a row are the same to the bit whatever else is in its
    run and in the bank: a ReduceSum over tokens adds in another order for one row than for several, and so may a
    MatMul with the heads for another number of labels.
    """
    mask = graph.op("Cast", "attention_mask", to=TensorProto.FLOAT)
    weights = graph.op("Div", mask, graph.op("ReduceSum", mask, graph.integers(1), keepdims=1))
    mean = graph.op("MatMul", graph.op("Unsqueeze", weights, graph.integers(1)), states)
    pooled = graph.op("Squeeze", mean, graph.integers(1), name="pooled")
    where = graph.op("Unsqueeze", "centre", graph.integers(1))
    centre = graph.op("GatherND", states, where, batch_dims=1)
    features = graph.op("Concat", pooled, centre, "composition", axis=1)
    weight = graph.op("Gather", "head_weight", "adapter", axis=0)
    products = graph.op("Mul", weight, graph.op("Unsqueeze", features, graph.integers(1)))
    sums = graph.op("ReduceSum", products, graph.integers(2), keepdims=0)
    graph.op("Add", sums, graph.op("Gather", "head_bias", "adapter", axis=0), name="logits")


def _keys(model: ModelShape) -> set[str]:
    """The published keys of the encoder that the graph reads."""
    norms = ["attention.output.LayerNorm", "mlp.layernorm"]
    biased = ["attention.self.Wqkv", "attention.output.dense", "mlp.wo", *norms]
    keys = {f"embeddings.{name}.weight" for name in ("word_embeddings", "token_type_embeddings", "LayerNorm")}
    keys.add("embeddings.LayerNorm.bias")
    for layer in range(model.num_hidden_layers):
        prefix = f"encoder.layer.{layer}"
        keys |= {f"{prefix}.{name}.weight" for name in [*biased, "mlp.gated_layers"]}
        keys |= {f"{prefix}.{name}.bias" for name in biased}
    return keys
