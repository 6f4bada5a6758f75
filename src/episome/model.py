"""DNABERT-2's encoder and masked-LM head for torch, written from the published description.

Source: Zhou et al. 2023 (DNABERT-2, arXiv 2306.15006) and its published configuration and weight layout; the
encoder is a post-norm BERT with symmetric ALiBi distances (Press et al. 2022) instead of position embeddings and
a gated GELU feed-forward. No remote code, no Triton: attention is torch's scaled dot product with an additive bias.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, NamedTuple, overload

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from episome.types import EpisomeError

MASKED_KEY = -10_000.0  # the published code adds this to attention scores of padding
_DECODER = "cls.predictions.decoder.weight"
_EMBEDDINGS = "bert.embeddings.word_embeddings.weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Shape of a model; names are those of the published ``config.json``. Defaults are DNABERT-2-117M."""

    vocab_size: int = 4096
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    hidden_dropout_prob: float = 0.1
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        """Refuse a hidden size that the heads do not divide."""
        if self.hidden_size % self.num_attention_heads:
            raise EpisomeError(
                f"hidden_size {self.hidden_size} is no multiple of num_attention_heads {self.num_attention_heads}"
            )


class Output(NamedTuple):
    """What a model answers. B sequences, S tokens, d hidden size, H heads, V vocabulary.

    Attributes:
        last_hidden_state: float [B, S, d]; exactly zero at padding.
        logits: float [B, S, V] of the masked LM, None from the bare encoder.
        hidden_states: the embedding and every layer's output, each [B, S, d]; None unless asked for.
        attentions: every layer's attention map, each [B, H, S, S]; None unless asked for.
    """

    last_hidden_state: Tensor
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


def alibi_slopes(heads: int) -> list[float]:
    """ALiBi slope of each head (Press et al. 2022); a head count that is no power of two interleaves two series."""
    nearest = 2 ** int(math.log2(heads))
    start = 2.0 ** -(2.0 ** -(math.log2(nearest) - 3))
    slopes = [start ** (k + 1) for k in range(nearest)]
    return slopes if nearest == heads else slopes + alibi_slopes(2 * nearest)[0::2][: heads - nearest]


class _Embeddings(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        # No padding_idx: the published default (0) is [UNK], whose embedding must stay trainable.
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, input_ids: Tensor) -> Tensor:
        summed = self.word_embeddings(input_ids) + self.token_type_embeddings.weight[0]
        return self.dropout(self.LayerNorm(summed))


class _SelfAttention(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.Wqkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)

    def forward(self, x: Tensor, bias: Tensor, keep_map: bool) -> tuple[Tensor, Tensor | None]:
        batch, length, width = x.shape
        q, k, v = self.Wqkv(x).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        if not keep_map:
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
            return mixed.transpose(1, 2).reshape(batch, length, width), None
        weights = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + bias, dim=-1)
        return (weights @ v).transpose(1, 2).reshape(batch, length, width), weights


class _AttentionOutput(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, mixed: Tensor, x: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(mixed)) + x)


class _Attention(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.self = _SelfAttention(config)
        self.output = _AttentionOutput(config)


class _GatedMlp(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.gated_layers = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)
        self.wo = nn.Linear(config.intermediate_size, config.hidden_size)
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: Tensor) -> Tensor:
        gate, linear = self.gated_layers(x).chunk(2, dim=-1)
        return self.layernorm(self.wo(self.dropout(F.gelu(gate) * linear)) + x)


class _Layer(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.attention = _Attention(config)
        self.mlp = _GatedMlp(config)

    def forward(self, x: Tensor, bias: Tensor, keep_map: bool) -> tuple[Tensor, Tensor | None]:
        mixed, weights = self.attention.self(x, bias, keep_map)
        return self.mlp(self.attention.output(mixed, x)), weights


class _Stack(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.layer = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))


class Encoder(nn.Module):
    """The encoder, without pooler (the published checkpoint has none).

    Attributes:
        checkpointing: keep only each layer's input while training, and compute the layer again for its gradient.
    """

    slopes: Tensor
    checkpointing: bool = False

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.embeddings = _Embeddings(config)
        self.encoder = _Stack(config)
        slopes = torch.tensor(alibi_slopes(config.num_attention_heads))
        self.register_buffer("slopes", slopes.view(1, -1, 1, 1), persistent=False)

    def bias(self, attention_mask: Tensor) -> Tensor:
        """Additive attention bias float [B or 1, H, S, S]: ALiBi distances in tokens, and padding masked away."""
        length = attention_mask.shape[1]
        at = torch.arange(length, device=attention_mask.device)
        distance = (at[None, :] - at[:, None]).abs().to(self.slopes.dtype)
        alibi = -self.slopes * distance
        if bool(attention_mask.all()):
            return alibi
        padding = (1.0 - attention_mask.to(alibi.dtype))[:, None, None, :] * MASKED_KEY
        return alibi + padding

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        *,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
    ) -> Output:
        """Encode int64 [B, S] token ids; `attention_mask` int64 [B, S] is 1 at tokens and 0 at padding."""
        bias = self.bias(attention_mask)
        x = self.embeddings(input_ids)
        states, maps = [x], []
        for layer in self.encoder.layer:
            if self.checkpointing and self.training:
                x, weights = checkpoint(layer, x, bias, output_attentions, use_reentrant=False)
            else:
                x, weights = layer(x, bias, output_attentions)
            states.append(x)
            maps.append(weights)
        return Output(
            last_hidden_state=x * attention_mask[..., None].to(x.dtype),
            hidden_states=tuple(states) if output_hidden_states else None,
            attentions=tuple(maps) if output_attentions else None,
        )


class _Transform(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        return self.LayerNorm(F.gelu(self.dense(x)))


class _Predictions(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.transform = _Transform(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)


class _Heads(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.predictions = _Predictions(config)


class MaskedLM(nn.Module):
    """Encoder with the masked-language-model head; its decoder weight is the word embedding."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.bert = Encoder(config)
        self.cls = _Heads(config)
        self.cls.predictions.decoder.weight = self.bert.embeddings.word_embeddings.weight

    def score(self, states: Tensor) -> Tensor:
        """Token logits float [..., V] of hidden states float [..., d]."""
        predictions = self.cls.predictions
        return predictions.decoder(predictions.transform(states))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        *,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
    ) -> Output:
        """As `Encoder.forward`, with `logits` [B, S, V]."""
        encoded = self.bert(
            input_ids,
            attention_mask,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
        )
        return encoded._replace(logits=self.score(encoded.last_hidden_state))


def fresh(config: Config, seed: int) -> MaskedLM:
    """A masked LM with random weights (normal, `initializer_range`), the same for the same seed."""
    model = MaskedLM(config)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2:
            nn.init.normal_(parameter, std=config.initializer_range, generator=generator)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
        else:
            nn.init.ones_(parameter)
    return model


@overload
def load(folder: Path | str, masked_lm: Literal[False] = False) -> Encoder: ...


@overload
def load(folder: Path | str, masked_lm: Literal[True]) -> MaskedLM: ...


def load(folder: Path | str, masked_lm: bool = False) -> Encoder | MaskedLM:
    """Load a model in the published layout, in evaluation mode.

    Args:
        folder: holds ``config.json`` and ``model.safetensors`` or ``pytorch_model.bin``.
        masked_lm: keep the masked-LM head; otherwise answer with the encoder alone.

    Raises:
        EpisomeError: a file is missing, or a key or shape differs; every one is named.
    """
    folder = Path(folder)
    model = MaskedLM(_config(folder / "config.json"))
    _fill(model, _weights(folder), folder)
    model.eval()
    return model if masked_lm else model.bert


def fetch(hub: str, revision: str) -> Path:
    """Download a published model at a pinned revision into the hub cache and return its folder."""
    from huggingface_hub import snapshot_download  # a slow import that only a hub user pays

    wanted = ["config.json", "tokenizer.json", "pytorch_model.bin"]
    return Path(snapshot_download(hub, revision=revision, allow_patterns=wanted))


def save(model: MaskedLM, folder: Path) -> None:
    """Write ``config.json`` and ``model.safetensors`` in the published key layout; the tied decoder is written once."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(asdict(model.config), indent=2, sort_keys=True) + "\n")
    state = {key: value.contiguous() for key, value in model.state_dict().items() if key != _DECODER}
    save_file(state, folder / "model.safetensors")


def _config(path: Path) -> Config:
    if not path.is_file():
        raise EpisomeError(f"{path}: no such file; a model folder holds config.json and weights")
    raw = json.loads(path.read_text(encoding="utf-8"))
    known = {field.name for field in fields(Config)}
    required = known - {"type_vocab_size", "layer_norm_eps", "hidden_dropout_prob", "initializer_range"}
    if missing := sorted(required - raw.keys()):
        raise EpisomeError(f"{path}: missing {', '.join(missing)}")
    return Config(**{key: value for key, value in raw.items() if key in known})


def _weights(folder: Path) -> dict[str, Tensor]:
    safe, pickled = folder / "model.safetensors", folder / "pytorch_model.bin"
    if safe.is_file():
        return load_file(safe)
    if pickled.is_file():
        # weights_only: tensors and plain containers, never code from the file.
        state: dict[str, Tensor] = torch.load(pickled, map_location="cpu", weights_only=True)
        return state
    raise EpisomeError(f"{folder}: neither model.safetensors nor pytorch_model.bin")


def _fill(model: MaskedLM, state: Mapping[str, Tensor], folder: Path) -> None:
    """Copy `state` into `model`; every missing, unexpected or misshapen key is an error that names it."""
    state = dict(state)
    if _EMBEDDINGS in state:
        tied = state.setdefault(_DECODER, state[_EMBEDDINGS])
        if not torch.equal(tied, state[_EMBEDDINGS]):
            raise EpisomeError(f"{folder}: {_DECODER} differs from {_EMBEDDINGS}; DNABERT-2 ties them")
    wanted = model.state_dict()
    problems = [
        *_listed("missing", wanted.keys() - state.keys()),
        *_listed("unexpected", state.keys() - wanted.keys()),
        *(
            f"shape of {key} is {tuple(state[key].shape)}, wanted {tuple(wanted[key].shape)}"
            for key in sorted(wanted.keys() & state.keys())
            if state[key].shape != wanted[key].shape
        ),
    ]
    if problems:
        raise EpisomeError(f"{folder}: the weights are not those of config.json\n  " + "\n  ".join(problems))
    model.load_state_dict(state)


def _listed(kind: str, keys: Iterable[str]) -> list[str]:
    return [f"{kind} {key}" for key in sorted(keys)]
