"""What the service answers from: one generation of the shelf at a time, taken up while it runs.

A new generation is verified and loaded beside the old one; then one pointer moves. Whoever holds a lease goes on
with the generation the lease was taken on, so an answer never mixes two.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from episome import generation, shelf
from episome.generation import EMPTY, Generation
from episome.shelf import Champions
from episome.types import EpisomeError
from monitoring.watch import Loaded, Watch

POLL_SECONDS = 1.0
RETRY_SECONDS = 30.0

_LOG = logging.getLogger("episome.serving")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A generation of the shelf that could not be taken up, and why."""

    generation: int | None
    reason: str


class Shelf:
    """The current generation, and the thread that looks for the next."""

    def __init__(self, folder: Path, *, threads: int, allow_simulated: bool, watch: Watch) -> None:
        """Answer from nothing yet; see `take_up`.

        Args:
            folder: the shelf.
            threads: of each engine.
            allow_simulated: whether species trained on simulated genomes may answer.
            watch: told about every attempt.
        """
        self._folder = folder
        self._threads = threads
        self._allow_simulated = allow_simulated
        self._watch = watch
        self._lock = threading.Lock()
        self._alive = [EMPTY]
        self._leases: Counter[int] = Counter()
        self._retry_at = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name="episome-shelf", daemon=True)
        self.refused: Refused | None = None

    @property
    def current(self) -> Generation:
        """What the next answer is made from."""
        return self._alive[-1]

    @property
    def ready(self) -> bool:
        """Whether there is anything to answer from."""
        return self.current is not EMPTY

    @property
    def looking(self) -> bool:
        """Whether the thread that looks for new generations lives."""
        return self._thread.is_alive()

    @contextmanager
    def lease(self) -> Iterator[Generation]:
        """The current generation, kept loaded for the length of the block."""
        with self._lock:
            held = self.current
            self._leases[id(held)] += 1
        try:
            yield held
        finally:
            with self._lock:
                self._leases[id(held)] -= 1
                self._sweep()

    def take_up(self) -> None:
        """Load the shelf's generation where it is not the current one, and answer from it.

        Raises:
            EpisomeError: it cannot be taken up; the current one stays.
        """
        self._take_up(shelf.read(self._folder))

    def poll(self) -> None:
        """Take up a new generation if there is one; what goes wrong is kept in `refused` and tried again later."""
        number = None
        try:
            champions = shelf.read(self._folder)
            number = champions.generation
            known = self.refused is not None and self.refused.generation == number
            if not known or time.monotonic() >= self._retry_at:
                self._take_up(champions)
                self.refused = None
        except (EpisomeError, OSError) as error:
            self._refuse(Refused(generation=number, reason=str(error).replace(str(self._folder), "shelf")))

    def start(self) -> None:
        """Begin to look for new generations."""
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _take_up(self, champions: Champions) -> None:
        current = self.current
        if champions.generation == current.number:
            return
        if champions.generation == 0:
            raise EpisomeError(f"{self._folder}: the shelf is gone or empty")
        loaded = generation.load(
            self._folder, champions, threads=self._threads, allow_simulated=self._allow_simulated, before=current
        )
        with self._lock:
            self._alive.append(loaded)
            self._sweep()
        self._watch.swapped(loaded.number, _told(loaded))
        _LOG.info("generation %d of the shelf serves %s", loaded.number, ", ".join(loaded.residents) or "no species")

    def _refuse(self, refused: Refused) -> None:
        self._retry_at = time.monotonic() + RETRY_SECONDS
        if refused != self.refused:
            _LOG.error("generation %s of the shelf is refused: %s", refused.generation, refused.reason)
            self._watch.refused(refused.generation or 0, refused.reason)
        self.refused = refused

    def _sweep(self) -> None:
        """Unload the generations that nobody answers from any more; the lock is held."""
        for old in [each for each in self._alive[:-1] if not self._leases[id(each)]]:
            self._alive.remove(old)
            del self._leases[id(old)]
            generation.retire(old, self._alive)

    def _look(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            self.poll()


def _told(loaded: Generation) -> list[Loaded]:
    return [
        Loaded(
            species=species,
            version=resident.entry.version,
            bundle=resident.entry.bundle,
            simulated=resident.adapter.card.simulated,
            profile=resident.profile,
        )
        for species, resident in loaded.residents.items()
    ]
