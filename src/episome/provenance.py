"""``data.json`` of a bundle: where its rows came from, under which licence, how many there are, and what judged it.

What `card` has already (hash of the rows, releases, donor, metrics) is not said twice. The format is written down in
docs/bundle.md; bundles made before it was there lack the file.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from episome.card import BundleError, Count, Share, canonical
from episome.types import Split

NAME = "data.json"
_LONGEST = 1 << 20
_STRICT = ConfigDict(extra="forbid", strict=True)
_Number = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """How many rows of a task are in a split: with either label, and groups of related ones."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    positives: _Number
    negatives: _Number
    groups: _Number


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseModel:
    """Which base model it is: ``mini`` was trained by this pipeline; of ``dnabert2``, the hub's name and revision."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    size: Literal["mini", "dnabert2"]
    hub: str | None
    revision: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What a bundle's rows are.

    Attributes:
        source: kind of source, as params.yaml has it (``genome``, ``labelled``, ...).
        licence: under which terms the data may be used, in the words of params.yaml.
        citation: whom to name, in the words of params.yaml.
        base: the base model.
        rows: task → split → how many.
        confidence: two-sided coverage of the evaluation's intervals.
        bootstrap: draws of homology groups behind them.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    source: str
    licence: str
    citation: str
    base: BaseModel
    rows: dict[str, dict[Split, Rows]]
    confidence: Share
    bootstrap: Count


_PROVENANCE = TypeAdapter(Provenance)


def encode(made: Provenance) -> bytes:
    """The bytes of data.json."""
    return canonical(asdict(made))


def read(folder: Path) -> Provenance | None:
    """What a verified bundle says of its rows; None where it was made before bundles did.

    Raises:
        BundleError: the file is too long, is none, or is not in the canonical spelling.
    """
    path = folder / NAME
    if not path.exists():
        return None
    if path.stat().st_size > _LONGEST:
        raise BundleError(f"{path}: longer than {_LONGEST} bytes")
    raw = path.read_bytes()
    try:
        json.loads(raw)
        made = _PROVENANCE.validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        raise BundleError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: not JSON: {error}") from error
    if encode(made) != raw:
        raise BundleError(f"{path}: not in the canonical spelling (sorted keys, two-space indent)")
    return made
