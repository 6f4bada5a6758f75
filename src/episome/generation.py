"""One generation of the shelf, loaded: everything that one answer is made from, and nothing that changes.

A new generation shares the engine and the adapters it has in common with the one before, so a species that
was not touched keeps its slot in the bank and answers with the same bits.
"""

from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from episome import bundle, drift, provenance, shelf
from episome.annotate import Question
from episome.provenance import Provenance
from episome.runtime import Adapter, Device, Engine
from episome.shelf import Champions, Entry


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resident:
    """One species that answers.

    Attributes:
        entry: what the shelf says about its champion.
        engine: the base model it rides on.
        adapter: its slot in the engine's bank, and its card.
        profile: what its training sequences look like.
        made: what its rows are; None where its bundle is too old to say.
        questions: its tasks by name, in the order of the head's columns.
    """

    entry: Entry
    engine: Engine
    adapter: Adapter
    profile: drift.Profile
    made: Provenance | None
    questions: Mapping[str, Question]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Generation:
    """The species of one generation of the shelf.

    Attributes:
        number: the shelf's generation.
        residents: species that answer.
        withheld: species that are on the shelf but must not answer, with the reason.
        engines: one engine a base bundle, by the base's digest.
    """

    number: int
    residents: Mapping[str, Resident]
    withheld: Mapping[str, str]
    engines: Mapping[str, Engine]

    @property
    def profiles(self) -> dict[str, drift.Profile]:
        """Drift profiles of all species that answer."""
        return {species: resident.profile for species, resident in self.residents.items()}


EMPTY = Generation(number=0, residents={}, withheld={}, engines={})


def load(
    folder: Path,
    champions: Champions,
    *,
    threads: int,
    allow_simulated: bool,
    before: Generation,
    device: Device = "cpu",
) -> Generation:
    """Load what `before` does not have yet: all of it or nothing.

    Args:
        folder: the shelf.
        champions: what it points at.
        threads: callers that will use an engine at once.
        allow_simulated: whether species trained on simulated genomes may answer.
        before: the generation that answers now (`EMPTY` at the start); it stays usable.
        device: what must run the model; there is no falling back to another.

    Raises:
        EpisomeError: a bundle does not verify, does not fit its base, or its golden answers differ; or the device is
            not there.
    """
    engines: dict[str, Engine] = {}
    residents: dict[str, Resident] = {}
    withheld: dict[str, str] = {}
    with ExitStack() as undo:
        for species, entry in champions.species.items():
            known = before.residents.get(species)
            if known is not None and (known.entry.bundle, known.entry.base) == (entry.bundle, entry.base):
                residents[species] = replace(known, entry=entry)
                engines[entry.base] = known.engine
                continue
            found = shelf.open_bundle(folder, entry.bundle)
            if bundle.read_species_card(found).simulated and not allow_simulated:
                withheld[species] = "it was trained on simulated genomes, which serve.allow_simulated forbids"
                continue
            if entry.base not in engines:
                known_engine = before.engines.get(entry.base)
                engines[entry.base] = known_engine or _engine(folder, entry.base, threads, device, undo)
            residents[species] = _resident(entry, engines[entry.base], found, undo)
        undo.pop_all()
    return Generation(number=champions.generation, residents=residents, withheld=withheld, engines=engines)


def retire(old: Generation, alive: Collection[Generation]) -> None:
    """Free what only `old` used, adapters and engines; to be called when nothing is answered from it any more."""
    used = {(id(r.engine), r.adapter.slot) for generation in alive for r in generation.residents.values()}
    for resident in old.residents.values():
        if (id(resident.engine), resident.adapter.slot) not in used:
            resident.engine.remove(resident.adapter.slot)
    kept = {id(engine) for generation in alive for engine in generation.engines.values()}
    for engine in old.engines.values():
        if id(engine) not in kept:
            engine.close()


def _engine(folder: Path, base: str, threads: int, device: Device, undo: ExitStack) -> Engine:
    engine = Engine(shelf.open_bundle(folder, base), threads=threads, device=device)
    undo.callback(engine.close)
    return engine


def _resident(entry: Entry, engine: Engine, folder: Path, undo: ExitStack) -> Resident:
    adapter = engine.add(folder)
    undo.callback(engine.remove, adapter.slot)
    questions = {task.name: Question(task=task, column=column) for column, task in enumerate(adapter.card.tasks)}
    return Resident(
        entry=entry,
        engine=engine,
        adapter=adapter,
        profile=drift.load(folder / "drift.npz"),
        made=provenance.read(folder),
        questions=questions,
    )
