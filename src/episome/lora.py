"""Low-rank adapters on the encoder (Hu et al. 2021), through peft and in peft's own file format."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from episome.model import Encoder
from episome.types import EpisomeError

TARGETS: dict[str, tuple[str, ...]] = {
    "attention": ("Wqkv", "attention.output.dense"),
    "all": ("Wqkv", "attention.output.dense", "mlp.gated_layers", "mlp.wo"),
}
WEIGHTS = "adapter_model.safetensors"  # peft's name


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapted:
    """One adapted linear layer and its two factors: ΔW = scale · B A.

    Attributes:
        name: the layer's name in the encoder, e.g. ``encoder.layer.0.mlp.wo``.
        module: its forward input is [B, S, in] and its output, base plus adapter, [B, S, out].
        a: [r, in] parameter.
        b: [out, r] parameter.
        scale: alpha / r.
    """

    name: str
    module: nn.Module
    a: Tensor
    b: Tensor
    scale: float


def attach(
    encoder: Encoder, *, rank: int, alpha: int, targets: Literal["attention", "all"], dropout: float, seed: int
) -> PeftModel:
    """Freeze the encoder and put a fresh adapter on it: A random by `seed`, B zero, so that ΔW = 0."""
    torch.manual_seed(seed)
    config = LoraConfig(
        r=rank, lora_alpha=alpha, target_modules=list(TARGETS[targets]), lora_dropout=dropout, bias="none"
    )
    return get_peft_model(encoder, config)


def layers(model: PeftModel) -> Iterator[Adapted]:
    """Every adapted layer of `model`, in the order of the encoder."""
    for name, module in model.get_base_model().named_modules():
        if hasattr(module, "lora_A"):
            yield Adapted(
                name=name,
                module=module,
                a=module.lora_A["default"].weight,
                b=module.lora_B["default"].weight,
                scale=float(module.scaling["default"]),
            )


def load_factors(model: PeftModel, file: Path, *, scale: float) -> None:
    """Start the adapter of `model` from saved factors; the first columns where the saved rank is smaller.

    Args:
        model: its ΔW becomes that of the file, whatever its own alpha / r.
        file: peft's ``adapter_model.safetensors``.
        scale: alpha / r that the factors were trained with.

    Raises:
        EpisomeError: there is no such file, or it adapts other layers, or with a higher rank, than `model` does.
    """
    fill(model, _stored(file), scale=scale, said=str(file))


def read(folder: Path) -> dict[str, Tensor]:
    """The factors saved in `folder`, under peft's names.

    Raises:
        EpisomeError: no adapter is there.
    """
    return _stored(folder / WEIGHTS)


def _stored(file: Path) -> dict[str, Tensor]:
    if not file.is_file():
        raise EpisomeError(f"{file}: no such file; wanted an adapter to start from, so train that species first")
    return load_file(file)


def fill(model: PeftModel, saved: Mapping[str, Tensor], *, scale: float, said: str) -> None:
    """As `load_factors`, from factors under peft's names; `said` names them in an error."""
    target = _state(model)
    if saved.keys() != target.keys():
        odd = sorted(saved.keys() ^ target.keys())[:4]
        raise EpisomeError(f"{said}: adapts other layers than params.yaml's lora.targets; first differences: {odd}")
    own = next(layers(model)).scale
    padded = {
        key: _fit(value * (scale / own if "lora_B" in key else 1.0), target[key], said, key)
        for key, value in saved.items()
    }
    set_peft_model_state_dict(model, padded)


def save(model: PeftModel, folder: Path) -> None:
    """Write ``adapter_config.json`` and ``adapter_model.safetensors`` as peft does, without its boilerplate README."""
    folder.mkdir(parents=True, exist_ok=True)
    model.peft_config["default"].base_model_name_or_path = None  # a path of this machine says nothing elsewhere
    model.save_pretrained(str(folder))
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    config["target_modules"].sort()  # peft keeps a set: its order would change the bytes from run to run
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def save_state(model: PeftModel, file: Path) -> None:
    """Write the factors alone, under peft's key names."""
    save_file({key: value.contiguous() for key, value in _state(model).items()}, file)


def load(encoder: Encoder, folder: Path) -> PeftModel:
    """Put the adapter saved in `folder` on `encoder`.

    Raises:
        EpisomeError: no adapter is there, or its layers are not those of the encoder.
    """
    if not (folder / WEIGHTS).is_file():
        raise EpisomeError(f"{folder}: no {WEIGHTS}; run `dvc repro` for this species first")
    config = LoraConfig.from_pretrained(str(folder))
    config.inference_mode = False  # peft saves adapters as frozen; a retrain and the Fisher need their gradients
    model = get_peft_model(encoder, config)
    load_factors(model, folder / WEIGHTS, scale=config.lora_alpha / config.r)
    return model


def _state(model: PeftModel) -> dict[str, Tensor]:
    """The adapter's tensors under the names that peft writes to disk."""
    return {
        key.replace(".default", ""): value.detach()
        for key, value in model.state_dict().items()
        if ".lora_A." in key or ".lora_B." in key
    }


def _fit(value: Tensor, like: Tensor, said: str, key: str) -> Tensor:
    """Zero-pad `value` to the rank of `like`: extra rank directions then contribute nothing at the start."""
    if value.shape == like.shape:
        return value
    grown = torch.zeros_like(like) if "lora_B" in key else like.clone()
    if any(have > room for have, room in zip(value.shape, like.shape, strict=True)):
        raise EpisomeError(f"{said}: {key} is {tuple(value.shape)}, wanted at most {tuple(like.shape)} (lora.rank)")
    grown[tuple(slice(0, extent) for extent in value.shape)] = value
    return grown
