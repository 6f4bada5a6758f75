"""Cards: what a bundle says about itself, as frozen values with exactly one spelling in bytes.

The format is written down in docs/bundle.md. A card holds the sha256 of every file beside it, so the
sha256 of the card's own bytes names the whole bundle.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, JsonValue, StringConstraints, TypeAdapter, ValidationError

from episome.composition import Composition
from episome.types import EpisomeError, Task

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
SpeciesName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]

_STRICT = ConfigDict(extra="forbid", strict=True)


class BundleError(EpisomeError):
    """A bundle, or the shelf that holds it, is not what its card says; it must not be served."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """Shape of the base encoder, in the words of the published config.json."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    vocab_size: Count
    hidden_size: Count
    num_hidden_layers: Count
    num_attention_heads: Count
    intermediate_size: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """The linears of every layer that take an adapter, and the highest rank the graph has room for."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    targets: Annotated[tuple[str, ...], Field(min_length=1)]
    bank_rank: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """One species' low-rank update: y += alpha/rank * B A x on the target linears."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    rank: Count
    alpha: Positive
    targets: Annotated[tuple[str, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibratedTask(Task):
    """A task with what turns its logit into a call: sigmoid(logit / temperature) >= threshold."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    threshold: Share
    temperature: Positive


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Where a bundle comes from; no time and no commit, so that the same inputs give the same bytes.

    Attributes:
        donor: species whose adapter it started from, or ``base``.
        prior: name of the champion it was held to, or ``none``.
        release: labelled rows added for it, or ``none``.
        releases: every release its adapter has ever been trained on; ``none`` is the source itself.
        data: sha256 of the rows it was trained on.
        params: sha256 of the numbers it was trained with.
        seed: of the whole pipeline.
        transfer: what its adapter started from (``start``) and the plan for the distance to the donor (``plan``,
            null without one).
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    donor: str
    prior: str
    release: str
    releases: tuple[str, ...]
    data: Sha256
    params: Sha256
    seed: int
    transfer: dict[str, JsonValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseCard:
    """What ``base/`` holds; `max_tokens` is the longest run the graph is allowed, [CLS] and [SEP] included."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    format: Literal[2]
    model: ModelShape
    lora: Bank
    composition: Composition
    max_tokens: Count
    files: dict[str, Sha256]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What ``<species>/`` holds.

    Attributes:
        base: digest of the base bundle it was trained on; no other base may serve it.
        tasks: columns of the head, in order.
        tolerance: how far a golden logit may be off on another machine before the bundle is refused.
        metrics: the evaluation, as `reports/evaluate` has it.
        files: sha256 of every file beside the card.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    format: Literal[2]
    species: SpeciesName
    scientific_name: str
    taxon_id: Count
    simulated: bool
    base: Sha256
    lora: Lora
    tasks: Annotated[tuple[CalibratedTask, ...], Field(min_length=1)]
    composition: Composition
    tolerance: Positive
    metrics: dict[str, JsonValue]
    lineage: Lineage
    files: dict[str, Sha256]


_BASE_CARD = TypeAdapter(BaseCard)
_CARD = TypeAdapter(Card)


def canonical(value: Any) -> bytes:
    """A JSON value in its one spelling: sorted keys, two-space indent, UTF-8, a newline at the end.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    return (json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def encode(card: Card | BaseCard) -> bytes:
    """The bytes of card.json."""
    return canonical(asdict(card))


def decode(raw: bytes, where: str) -> Card | BaseCard:
    """Read the bytes of card.json; `where` names the file in errors. A card with ``model`` is a base's.

    Raises:
        BundleError: not JSON, a field unknown, missing or out of range, or not the canonical spelling.
    """
    try:
        value = json.loads(raw)
        adapter: TypeAdapter[Card] | TypeAdapter[BaseCard] = (
            _BASE_CARD if isinstance(value, dict) and "model" in value else _CARD
        )
        card = adapter.validate_json(raw)
        canonical_bytes = encode(card)
    except ValidationError as error:
        lines = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:8])
        raise BundleError(f"{where}: not a card of format 2: {lines}") from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where}: not JSON: {error}") from error
    if canonical_bytes != raw:
        raise BundleError(
            f"{where}: not in the canonical spelling (sorted keys, two-space indent); "
            "was it edited, or written by another tool?"
        )
    return card


def digest_of(card: Card | BaseCard) -> str:
    """Digest of the bundle a card belongs to: sha256 of the card's bytes."""
    return hashlib.sha256(encode(card)).hexdigest()
