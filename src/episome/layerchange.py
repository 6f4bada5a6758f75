"""How far a training moved the layers: weights by their norm, activations by linear CKA; by thirds of the depth."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from episome import lora
from episome.batches import batches
from episome.classifier import Classifier, Examples
from episome.likeness import linear_cka

THIRDS = ("shallow", "middle", "deep")
_PROBE_TOKENS = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """The encoder at one moment.

    Attributes:
        weights: layer depth → its adapted linears' weights, base and ΔW together.
        activations: per layer, float32 [rows, d]: states behind the layer, mean over the tokens of each probe row.
    """

    weights: dict[int, list[Tensor]]
    activations: list[NDArray[np.float32]]


def look(subject: Classifier, probe: Examples) -> Layers:
    """Weights as they are now, and activations on the probe rows."""
    weights: dict[int, list[Tensor]] = {}
    for layer in lora.layers(subject.encoder):
        base = layer.module.get_parameter("base_layer.weight")
        whole = (base + layer.scale * layer.b @ layer.a).detach().clone()
        depth = next(int(part) for part in layer.name.split(".") if part.isdecimal())
        weights.setdefault(depth, []).append(whole)
    return Layers(weights=weights, activations=_activations(subject, probe))


def changes(before: Layers, after: Layers) -> dict[str, float]:
    """``weight_change_<third>`` = ‖after − before‖_F / ‖before‖_F, ``cka_<third>`` = mean linear CKA of its layers.

    A third without layers (fewer than three in all) is left out, and a CKA that is not defined.
    """
    answer = {}
    depths = sorted(before.weights)
    for k, name in enumerate(THIRDS):
        own = [at for at, _ in enumerate(depths) if at * len(THIRDS) // len(depths) == k]
        if not own:
            continue
        pairs = [pair for d in own for pair in zip(before.weights[depths[d]], after.weights[depths[d]], strict=True)]
        moved = sum(float((new - old).square().sum()) for old, new in pairs)
        answer[f"weight_change_{name}"] = sqrt(moved / sum(float(old.square().sum()) for old, _ in pairs))
        scores = [linear_cka(before.activations[depths[at]], after.activations[depths[at]]).value for at in own]
        if alike := [score for score in scores if score is not None]:
            answer[f"cka_{name}"] = float(np.mean(alike))
    return answer


def _activations(subject: Classifier, probe: Examples) -> list[NDArray[np.float32]]:
    subject.eval()
    found: list[NDArray[np.float32]] = []
    with torch.inference_mode():
        for at in batches(probe.lengths, _PROBE_TOKENS):
            ids, mask, _, _ = subject.batch(probe, at)
            states = subject.encoder(ids, mask, output_hidden_states=True).hidden_states[1:]  # [0] is the embedding
            part = mask[..., None].to(states[0].dtype)
            found = found or [np.zeros((len(probe.encodings), states[0].shape[-1]), np.float32) for _ in states]
            for layer, state in zip(found, states, strict=True):
                layer[at] = ((state * part).sum(1) / part.sum(1)).numpy()
    return found
