"""Generations are taken up whole, old ones go when nobody answers from them, and a bad one changes nothing."""

import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from episome import shelf
from episome.annotate import Window
from episome.bundle import BundleError
from episome.generation import Generation, Resident
from episome.runtime import Engine
from serving import http
from serving.batcher import Batcher
from serving.shelf import Shelf
from tests import toy_bundles, worlds

DNA = toy_bundles.dna(3, 60)


@pytest.fixture
def at(tmp_path: Path) -> Path:
    worlds.write(tmp_path)
    return tmp_path


def ask(held: Generation, species: str) -> bytes:
    """Logits of one window, to the bit."""
    resident = held.residents[species]
    window = Window(question=resident.questions["promoter"], start=0, end=60, strand="+", text=DNA)
    batcher = Batcher(threads=1, tokens_per_run=500, queue_tokens=500, queued=lambda _: None)
    (logits,) = batcher.call(time.monotonic() + 10)([(resident, window)])
    batcher.close()
    assert isinstance(logits, np.ndarray)
    return logits.tobytes()


def slots(resident: Resident) -> list[int]:
    return [adapter.slot for adapter in resident.engine.adapters]


def test_a_new_generation_is_taken_up_and_untouched_species_answer_with_the_same_bits(at: Path) -> None:
    shelves = worlds.house(at / "shelf").shelf
    old = shelves.current
    before = {species: ask(old, species) for species in worlds.SPECIES}
    worlds.promote(at, "human_sim", seed=9, version="2")
    shelves.poll()
    assert (shelves.current.number, shelves.refused) == (3, None)
    assert shelves.current.residents["human_sim"].entry.version == "2"
    assert ask(shelves.current, "human_sim") != before["human_sim"]
    assert ask(shelves.current, "fly_sim") == before["fly_sim"]
    assert shelves.current.engines.keys() == old.engines.keys()


def test_a_lease_keeps_its_generation_until_it_ends(at: Path) -> None:
    shelves = worlds.house(at / "shelf").shelf
    with shelves.lease() as held:
        before = ask(held, "human_sim")
        worlds.promote(at, "human_sim", seed=9)
        shelves.poll()
        assert shelves.current.number == 3
        assert ask(held, "human_sim") == before
        assert len(slots(held.residents["human_sim"])) == 3
    assert held.residents["human_sim"].adapter.slot not in slots(shelves.current.residents["human_sim"])
    assert len(slots(shelves.current.residents["human_sim"])) == 2


def test_a_species_that_is_withdrawn_answers_no_more(at: Path) -> None:
    shelves = worlds.house(at / "shelf").shelf
    engine = shelves.current.residents["fly_sim"].engine
    shelf.withdraw(at / "shelf", "fly_sim")
    shelves.poll()
    assert list(shelves.current.residents) == ["human_sim"]
    assert len(engine.adapters) == 1


def test_a_new_version_of_the_same_bundle_keeps_the_slot(at: Path) -> None:
    shelves = worlds.house(at / "shelf").shelf
    old = shelves.current.residents["fly_sim"]
    shelf.point(at / "shelf", "fly_sim", worlds.retagged(old.entry, "7"))
    shelves.poll()
    new = shelves.current.residents["fly_sim"]
    assert (new.adapter.slot, new.entry.version) == (old.adapter.slot, "7")


def spoil_object(at: Path) -> None:
    target = at / "shelf" / "objects" / shelf.read(at / "shelf").species["human_sim"].bundle / "head.safetensors"
    target.chmod(0o644)
    target.write_bytes(target.read_bytes() + b"?")


def spoil_pointer(at: Path) -> None:
    (at / "shelf" / "champions.json").write_text("{}")


def lose_shelf(at: Path) -> None:
    shutil.rmtree(at / "shelf")


@pytest.mark.parametrize(
    ("spoil", "word"),
    [(spoil_object, "changed after export"), (spoil_pointer, "champions"), (lose_shelf, "gone or empty")],
)
def test_a_generation_that_is_broken_is_refused_and_the_old_one_goes_on(
    at: Path, spoil: Callable[[Path], None], word: str
) -> None:
    house = worlds.house(at / "shelf")
    before = ask(house.shelf.current, "human_sim")
    worlds.promote(at, "human_sim", seed=9)
    spoil(at)
    house.shelf.poll()
    assert house.shelf.current.number == 2
    assert ask(house.shelf.current, "human_sim") == before
    assert house.shelf.refused is not None
    assert word in house.shelf.refused.reason
    assert str(at) not in house.shelf.refused.reason
    swaps = house.watch.snapshot()["swaps"]
    assert [each["result"] for each in swaps] == ["refused", "ok"]
    house.shelf.poll()
    assert len(house.watch.snapshot()["swaps"]) == 2


def test_a_refused_generation_is_tried_again_after_a_while_and_a_newer_one_at_once(
    at: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelves = worlds.house(at / "shelf").shelf
    worlds.promote(at, "human_sim", seed=9)
    target = at / "shelf" / "objects" / shelf.read(at / "shelf").species["human_sim"].bundle / "golden.json"
    good = target.read_bytes()
    target.chmod(0o644)
    target.write_bytes(b"[]")
    shelves.poll()
    target.write_bytes(good)
    shelves.poll()
    assert shelves.current.number == 2
    monkeypatch.setattr("serving.shelf.RETRY_SECONDS", 0.0)
    shelves._retry_at = 0.0
    shelves.poll()
    assert (shelves.current.number, shelves.refused) == (3, None)


def test_an_adapter_taken_in_before_the_failure_leaves_the_bank_again(at: Path) -> None:
    shelves = worlds.house(at / "shelf").shelf
    engine = shelves.current.residents["human_sim"].engine
    worlds.promote(at, "fly_sim", seed=8)
    worlds.promote(at, "human_sim", seed=9)
    spoil_object(at)
    shelves.poll()
    assert shelves.refused is not None
    assert len(engine.adapters) == 2


def test_at_the_start_a_broken_bundle_is_an_error(at: Path) -> None:
    spoil_object(at)
    with pytest.raises(BundleError, match="changed after export"):
        worlds.house(at / "shelf")


def test_an_engine_that_was_opened_for_a_refused_generation_is_closed(
    at: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[Engine] = []
    monkeypatch.setattr(Engine, "close", lambda engine: closed.append(engine))
    spoil_object(at)
    with pytest.raises(BundleError):
        worlds.house(at / "shelf")
    assert len(closed) == 1


def test_simulated_species_are_withheld_where_they_are_not_allowed(at: Path) -> None:
    shelves = worlds.house(at / "shelf", allow_simulated=False).shelf
    assert not shelves.current.residents
    assert set(shelves.current.withheld) == set(worlds.SPECIES)
    assert shelves.ready


def test_the_thread_finds_what_is_new_and_ends_when_told(at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.shelf.POLL_SECONDS", 0.01)
    shelves = worlds.house(at / "shelf").shelf
    assert not shelves.looking
    shelves.start()
    worlds.promote(at, "human_sim", seed=9)
    until = time.monotonic() + 10
    while shelves.current.number != 3 and time.monotonic() < until:
        time.sleep(0.01)
    assert shelves.current.number == 3
    assert shelves.looking
    shelves.close()
    assert not shelves.looking


def test_a_shelf_that_is_empty_at_first_is_taken_up_when_it_fills(tmp_path: Path) -> None:
    shelves = worlds.house(tmp_path / "shelf").shelf
    shelves.poll()
    assert not shelves.ready
    assert shelves.refused is None
    worlds.write(tmp_path)
    shelves.poll()
    assert shelves.ready


def test_a_new_base_is_a_new_engine_and_the_old_one_is_closed(at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelves: Shelf = worlds.house(at / "shelf").shelf
    (old,) = shelves.current.engines.values()
    closed: list[bool] = []
    monkeypatch.setattr(old, "close", lambda: closed.append(True))
    for species in worlds.SPECIES:
        shelf.withdraw(at / "shelf", species)
    shelves.poll()
    assert closed == [True]
    assert old.adapters == ()


def test_a_swap_under_load_loses_no_call_and_mixes_no_answer(at: Path) -> None:
    house = worlds.house(at / "shelf")
    call = {"species": "human_sim", "records": [{"id": "a", "sequence": DNA}, {"id": "b", "sequence": DNA}]}
    seen: list[tuple[str, float]] = []
    done = threading.Event()
    with TestClient(http.app(house)) as client:

        def load() -> None:
            while not done.is_set():
                response = client.post("/v1/annotate", json={**call, "report": "all"})
                assert response.status_code == 200, response.text
                one, other = response.json()["results"]
                assert one["receipt"] == other["receipt"]
                assert one["tasks"] == other["tasks"]
                score = one["tasks"]["promoter"]["features"][0]["score"]
                seen.append((one["receipt"]["adapter"]["version"], score))

        with ThreadPoolExecutor(3) as pool:
            loads = [pool.submit(load) for _ in range(3)]
            for seed in (8, 9, 10):
                worlds.promote(at, "human_sim", seed=seed, version=str(seed))
                house.shelf.poll()
                count = len(seen)
                while len(seen) < count + 6:
                    time.sleep(0.01)
            done.set()
            for each in loads:
                each.result()
    versions = {version for version, _ in seen}
    assert versions == {"1", "8", "9", "10"}
    assert len({version for version, _ in seen}) == len(set(seen))
    assert len(slots(house.shelf.current.residents["human_sim"])) == 2
