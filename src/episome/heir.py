"""A retrain's start, the champion's adapter and head, and the way back towards it."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from episome import blend, bundle, lora
from episome.classifier import Classifier
from episome.types import EpisomeError


def take_over(subject: Classifier, prior: Path, species: str) -> set[str]:
    """Load the champion in `prior` into `subject`, where its tasks and features are the params' own.

    Returns:
        the releases it has seen.

    Raises:
        EpisomeError: it is another species' bundle, or its tasks or composition are not those of `subject`.
    """
    card = bundle.verify(prior)
    if not isinstance(card, bundle.Card) or card.species != species:
        raise EpisomeError(f"{prior}: not a bundle of {species!r}; `episome retrain {species}` writes the right one")
    head = load_file(prior / "head.safetensors")
    order = [task.name for task in card.tasks]
    if order != [task.name for task in subject.tasks[: len(order)]]:
        raise EpisomeError(
            f"{prior}: its head's tasks are {order}, params.yaml has {[task.name for task in subject.tasks]}; "
            "tasks may be added behind the old ones only"
        )
    if card.composition != subject.composition:
        raise EpisomeError(
            f"{prior}: its head sees {card.composition}, params.yaml gives {subject.composition}; "
            "a retrain keeps the champion's values under `head`"
        )
    lora.load_factors(subject.encoder, prior / "adapter.safetensors", scale=card.lora.alpha / card.lora.rank)
    subject.head.fill(head["weight"], head["bias"])
    return set(card.lineage.releases)


def retreat(subject: Classifier, champion: Mapping[str, Tensor], share: float) -> float:
    """Go back from what was trained towards the champion: ΔW = (1 − t) champion + t trained, and so the head's weights.

    ΔW is mixed as a product and cut back to the adapter's rank (`blend.mixed`): of factors mixed one by one, B₁A₂ would
    be part. At t = 1 no bit changes.

    Args:
        subject: as it was trained; its Fisher information is to be found after this.
        champion: all that is trained as it was before, by parameter name (`start.weights`).
        share: t, above 0.

    Returns:
        share of the mixed ΔW's squared size that the rank has no room for.
    """
    if share == 1:
        return 0.0
    trained = {name: p for name, p in subject.named_parameters() if p.requires_grad}
    of_adapter = [name for name in trained if ".lora_" in name]
    sides = [{name: side[name].detach() for name in of_adapter} for side in (champion, trained)]
    rank = next(lora.layers(subject.encoder)).a.shape[0]
    factors, lost = blend.mixed([(1 - share, sides[0]), (share, sides[1])], rank)
    with torch.no_grad():
        for name, parameter in trained.items():
            if name in factors:
                room = tuple(slice(0, extent) for extent in factors[name].shape)
                if "lora_B" in name:
                    parameter.zero_()  # directions that the mixture lacks; their A stays, so that they can be learned
                parameter[room] = factors[name]
            else:
                parameter.lerp_(champion[name], 1 - share)
    return lost
