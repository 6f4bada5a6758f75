"""Bundles on disk: a flat folder of files, each named and hashed by card.json; nothing is ever unpickled.

The format is written down in docs/bundle.md. What does not verify here is never served.
"""

import hashlib
import os
import re
import stat
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open

from episome.card import (
    Bank,
    BaseCard,
    BundleError,
    CalibratedTask,
    Card,
    Lineage,
    Lora,
    ModelShape,
    canonical,
    decode,
    encode,
)
from episome.composition import Composition

__all__ = [
    "CARD",
    "Bank",
    "BaseCard",
    "BundleError",
    "CalibratedTask",
    "Card",
    "Composition",
    "Contents",
    "Golden",
    "Lineage",
    "Lora",
    "ModelShape",
    "canonical",
    "digest",
    "read_arrays",
    "read_base_card",
    "read_card",
    "read_contents",
    "read_golden",
    "read_species_card",
    "read_tensors",
    "verify",
    "write_card",
    "write_golden",
]

CARD = "card.json"
_BASE_FILES = (frozenset({"base.onnx", "tokenizer.json"}), frozenset({"base.onnx.data"}))
_SPECIES_FILES = (
    frozenset({"adapter.safetensors", "head.safetensors", "drift.npz", "golden.json"}),
    frozenset({"data.json", "fisher.safetensors"}),
)
_MAX_CARD = 1 << 20
_MAX_GOLDEN = 16 << 20
_MAX_HEADER = 1 << 20
_MAX_ARRAYS = 64 << 20
_PLAIN_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """A sequence whose logits were written down at export; `centre` is a 0-based base index or None."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    sequence: Annotated[str, Field(pattern="^[ACGTN]+$")]
    centre: Annotated[int, Field(ge=0)] | None
    logits: Annotated[tuple[Annotated[float, Field(allow_inf_nan=False)], ...], Field(min_length=1)]


_GOLDEN = TypeAdapter(Annotated[tuple[Golden, ...], Field(min_length=4)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """A verified species bundle, parsed.

    Attributes:
        card: what it says about itself.
        digest: sha256 of the card's bytes.
        adapter: LoRA factors by PEFT key, ``…lora_A.weight`` float32[r, in] and ``…lora_B.weight`` float32[out, r].
        head_weight: float32[L, 2*d + K]; features are mean state, centre state, composition.
        head_bias: float32[L].
        golden: sequences with their logits.
    """

    card: Card
    digest: str
    adapter: Mapping[str, Floats]
    head_weight: Floats
    head_bias: Floats
    golden: tuple[Golden, ...]


def read_card(folder: Path) -> Card | BaseCard:
    """The card of a bundle, parsed but with no look at the files beside it.

    Raises:
        BundleError: there is no card, or it is not a card.
    """
    return decode(_read_regular(folder / CARD, _MAX_CARD), str(folder / CARD))


def read_species_card(folder: Path) -> Card:
    """`read_card` where only a species bundle will do.

    Raises:
        BundleError: as `read_card`, or the folder holds a base.
    """
    card = read_card(folder)
    if not isinstance(card, Card):
        raise BundleError(f"{folder}: a base bundle came, a species bundle was wanted")
    return card


def read_base_card(folder: Path) -> BaseCard:
    """`read_card` where only a base bundle will do.

    Raises:
        BundleError: as `read_card`, or the folder holds a species.
    """
    card = read_card(folder)
    if not isinstance(card, BaseCard):
        raise BundleError(f"{folder}: the bundle of species {card.species!r} came, a base bundle was wanted")
    return card


def digest(folder: Path) -> str:
    """The name of a bundle: sha256 of card.json's bytes (the card holds the hash of every other file).

    Raises:
        BundleError: there is no card.
    """
    return hashlib.sha256(_read_regular(folder / CARD, _MAX_CARD)).hexdigest()


def verify(folder: Path) -> Card | BaseCard:
    """Check that a bundle is exactly what its card says, and return the card.

    Every listed file is there, regular, not linked from elsewhere and has its hash; nothing else is there.

    Raises:
        BundleError: naming the file and what is wrong with it.
    """
    card = read_card(folder)
    required, optional = _BASE_FILES if isinstance(card, BaseCard) else _SPECIES_FILES
    listed = set(card.files)
    for name in sorted(listed):
        if not _PLAIN_NAME.fullmatch(name) or name not in required | optional:
            raise BundleError(
                f"{folder / CARD}: lists {name!r}, which is no file of this kind of bundle; "
                f"known: {', '.join(sorted(required | optional))}"
            )
    if missing := sorted(required - listed):
        raise BundleError(f"{folder / CARD}: does not list {', '.join(missing)}")
    present = {entry.name for entry in os.scandir(folder)}
    if extra := sorted(present - listed - {CARD}):
        raise BundleError(f"{folder}: holds {', '.join(extra)}, which the card does not list")
    if missing := sorted(listed - present):
        raise BundleError(f"{folder}: {', '.join(missing)} is missing")
    for name, wanted in sorted(card.files.items()):
        if (found := _sha256(folder / name)) != wanted:
            raise BundleError(
                f"{folder / name}: sha256 is {found}, the card says {wanted}; the file was changed after export"
            )
    return card


def read_contents(folder: Path) -> Contents:
    """Verify a species bundle and parse every part of it that serving uses.

    Raises:
        BundleError: it does not verify, or a part cannot be read, is not finite or does not fit its card.
    """
    card = verify(folder)
    if not isinstance(card, Card):
        raise BundleError(f"{folder}: a base bundle came, a species bundle was wanted")
    head = read_tensors(folder / "head.safetensors")
    if set(head) != {"weight", "bias"}:
        raise BundleError(f"{folder / 'head.safetensors'}: holds {', '.join(sorted(head))}; wanted weight and bias")
    labels = len(card.tasks)
    if head["weight"].ndim != 2 or len(head["weight"]) != labels or head["bias"].shape != (labels,):
        raise BundleError(
            f"{folder / 'head.safetensors'}: weight {head['weight'].shape} and bias {head['bias'].shape} "
            f"do not fit the {labels} task(s) of the card"
        )
    golden = read_golden(folder / "golden.json")
    for number, answer in enumerate(golden):
        if len(answer.logits) != labels:
            raise BundleError(
                f"{folder / 'golden.json'}: entry {number} has {len(answer.logits)} logit(s) for {labels} task(s)"
            )
    read_arrays(folder / "drift.npz")
    return Contents(
        card=card,
        digest=digest(folder),
        adapter=read_tensors(folder / "adapter.safetensors"),
        head_weight=head["weight"],
        head_bias=head["bias"],
        golden=golden,
    )


def read_tensors(path: Path) -> dict[str, Floats]:
    """The tensors of a safetensors file, all float32 and finite.

    Raises:
        BundleError: not safetensors, a header out of bounds, another number type, NaN or infinity.
    """
    _check_header(path)
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
    except (SafetensorError, TypeError, ValueError, OSError) as error:
        raise BundleError(f"{path}: not a safetensors file: {error}") from error
    for name, tensor in tensors.items():
        if tensor.dtype != np.float32:
            raise BundleError(f"{path}: tensor {name!r} is {tensor.dtype}; wanted float32")
        if not np.isfinite(tensor).all():
            raise BundleError(f"{path}: tensor {name!r} holds NaN or infinity")
    return tensors


def read_arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    """The arrays of an ``.npz`` file; plain numbers and text only, never pickled objects.

    Raises:
        BundleError: not an npz file, larger than 64 MiB unpacked, or an array needs pickle.
    """
    try:
        with zipfile.ZipFile(path) as packed:
            size = sum(member.file_size for member in packed.infolist())
        if size > _MAX_ARRAYS:
            raise BundleError(f"{path}: {size} bytes unpacked; at most {_MAX_ARRAYS} are read")
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise BundleError(f"{path}: not a plain .npz file: {error}") from error
    # numpy hands over a member that is no array as its raw bytes.
    if odd := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
        raise BundleError(f"{path}: not a plain .npz file: {odd[0]} is no array")
    return arrays


def read_golden(path: Path) -> tuple[Golden, ...]:
    """The golden answers of a bundle, at least four.

    Raises:
        BundleError: not JSON, too few, or an entry with an unknown field or a value out of range.
    """
    try:
        golden = _GOLDEN.validate_json(_read_regular(path, _MAX_GOLDEN))
    except ValidationError as error:
        first = error.errors()[0]
        raise BundleError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    for number, answer in enumerate(golden):
        if answer.centre is not None and answer.centre >= len(answer.sequence):
            raise BundleError(
                f"{path}: entry {number}: centre {answer.centre} lies outside its {len(answer.sequence)} bases"
            )
    return golden


def write_golden(path: Path, golden: tuple[Golden, ...]) -> None:
    """Write golden answers in the canonical spelling."""
    path.write_bytes(canonical([asdict(answer) for answer in golden]))


def write_card(folder: Path, card: Card | BaseCard) -> str:
    """Hash what lies in `folder`, write card.json with those hashes (`card.files` is replaced), give the digest.

    Raises:
        BundleError: the folder is not a bundle of that card's kind (checked by reading it back).
    """
    files = {path.name: _sha256(path) for path in sorted(folder.iterdir()) if path.name != CARD}
    try:
        (folder / CARD).write_bytes(encode(replace(card, files=files)))
    except ValueError as error:
        raise BundleError(f"{folder / CARD}: a number of the card is NaN or infinite; mend the evaluation") from error
    verify(folder)
    return digest(folder)


def _open_regular(path: Path) -> int:
    """A file descriptor of a regular file with one name; the caller closes it.

    A hard link is refused because whoever holds its other name could change the bytes after the check.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read as a plain file: {error.strerror}") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        os.close(descriptor)
        kind = f"a file with {status.st_nlink} names (hard links)" if status.st_nlink != 1 else "no regular file"
        raise BundleError(f"{path}: {kind}; a bundle holds plain files only")
    return descriptor


def _read_regular(path: Path, limit: int) -> bytes:
    with os.fdopen(_open_regular(path), "rb") as file:
        raw = file.read(limit + 1)
    if len(raw) > limit:
        raise BundleError(f"{path}: longer than {limit} bytes")
    return raw


def _sha256(path: Path) -> str:
    with os.fdopen(_open_regular(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_header(path: Path) -> None:
    """Refuse a safetensors header that would make the reader allocate what the file does not hold."""
    with os.fdopen(_open_regular(path), "rb") as file:
        prefix = file.read(8)
        size = os.fstat(file.fileno()).st_size
    if len(prefix) < 8:
        raise BundleError(f"{path}: {len(prefix)} bytes; not a safetensors file")
    (header,) = struct.unpack("<Q", prefix)
    if header > min(_MAX_HEADER, size - 8):
        raise BundleError(
            f"{path}: a header of {header} bytes is claimed in a file of {size}; at most {_MAX_HEADER} are read"
        )
