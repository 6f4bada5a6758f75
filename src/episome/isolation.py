"""Whether other adapters answer to the bit as before when a new one comes to their base."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from episome import bundle
from episome.bundle import BundleError
from episome.gate import Check
from episome.runtime import Adapter, Engine, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """What a new adapter does to others.

    Attributes:
        answers: how many answers of others were compared.
        changed: others of which an answer differs in a bit.
        untested: others that do not load, and why; not the newcomer's fault, and nothing is known of them.
    """

    answers: int
    changed: tuple[str, ...]
    untested: Mapping[str, str]


def tried(base: Path, others: Mapping[str, Path], newcomer: Path, *, threads: int) -> Isolation:
    """Ask every other adapter its golden sequences, without the newcomer, beside it, and in runs that it shares.

    Args:
        base: the base bundle.
        others: name → bundle of each other adapter on this base.
        newcomer: the bundle that joins them.
        threads: of the engine.

    Raises:
        BundleError: base or newcomer do not load.
    """
    engine = Engine(base, threads=threads)
    try:
        there: dict[str, Adapter] = {}
        untested: dict[str, str] = {}
        for name, folder in others.items():
            try:
                there[name] = engine.add(folder)
            except BundleError as error:
                untested[name] = str(error)
        rows = {name: _rows(adapter) for name, adapter in there.items()}
        before = {name: _bits(engine, asked, there[name]) for name, asked in rows.items()}
        new = engine.add(newcomer)
        changed = [
            name
            for name, asked in rows.items()
            if any(_bits(engine, asked, there[name], mixed) != before[name] for mixed in ((), _as(asked, new)))
        ]
    finally:
        engine.close()
    return Isolation(answers=sum(map(len, rows.values())), changed=tuple(changed), untested=untested)


def check(found: Isolation, others: Sequence[str]) -> Check:
    """The line of a gate report; that nobody else was there is said, and is no failure."""
    if found.changed or found.untested:
        message = "; ".join(
            [f"answers of {name} differ in a bit when this version is there" for name in found.changed]
            + [f"{name} does not load ({why})" for name, why in found.untested.items()]
        )
        return Check(name="isolation", passed=False, message=message, n=found.answers, limit=0.0)
    message = (
        f"{found.answers} answers of {', '.join(others)} are equal to the bit with this version and without"
        if others
        else "no other adapter among the inputs of this gate; `episome promote` asks all that are on the shelf"
    )
    return Check(name="isolation", passed=True, message=message, n=found.answers, limit=0.0)


def _rows(adapter: Adapter) -> list[Row]:
    golden = bundle.read_golden(adapter.folder / "golden.json")
    return [Row(sequence=each.sequence, slot=adapter.slot, centre=each.centre) for each in golden]


def _as(rows: Sequence[Row], adapter: Adapter) -> tuple[Row, ...]:
    """The same sequences, asked of another adapter."""
    return tuple(Row(sequence=row.sequence, slot=adapter.slot, centre=row.centre) for row in rows)


def _bits(engine: Engine, rows: Sequence[Row], adapter: Adapter, mixed: Sequence[Row] = ()) -> bytes:
    """Bytes of an adapter's own logits, and of the mean states, when `mixed` rows are asked in the same call."""
    logits, pooled = engine.score([*mixed, *rows])
    own = logits[len(mixed) :, : len(adapter.card.tasks)]
    return own.tobytes() + pooled[len(mixed) :].tobytes()
