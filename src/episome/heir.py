"""A retrain's start: the champion's adapter and head, where its tasks and features are still the params' own."""

from pathlib import Path

from safetensors.torch import load_file

from episome import bundle, lora
from episome.classifier import Classifier
from episome.types import EpisomeError


def take_over(subject: Classifier, prior: Path, species: str) -> set[str]:
    """Load the champion in `prior` into `subject`; answers the releases it has seen.

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
