"""Publishing whole or not at all, and one pointer that moves atomically."""

import json
import threading
from pathlib import Path

import pytest

from episome import bundle, shelf
from episome.bundle import BundleError
from episome.shelf import Champions, Entry
from tests import toy_bundles as toy


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    base = toy.write_base(folder / "base")
    for seed, name in enumerate(("human_sim", "fly_sim"), start=1):
        toy.write_species(folder / "base", folder / name, toy.card(base, name), seed)
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "shelf"


def entry(home: Path, name: str, version: str = "1") -> Entry:
    return Entry(
        bundle=bundle.digest(home / name),
        base=bundle.digest(home / "base"),
        version=version,
        git_commit="0" * 40,
        gate="a" * 64,
        data="d" * 64,
    )


def test_nothing_was_ever_promoted(place: Path) -> None:
    assert shelf.read(place) == Champions(generation=0, species={})


def test_published_bundles_are_found_by_hash(home: Path, place: Path) -> None:
    digest = shelf.publish(place, home / "human_sim")
    folder = shelf.open_bundle(place, digest)
    assert folder == place / "objects" / digest
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        path.name: path.read_bytes() for path in (home / "human_sim").iterdir()
    }
    assert shelf.publish(place, home / "human_sim") == digest
    assert [path.name for path in (place / "objects").iterdir()] == [digest]


def test_every_change_is_a_new_generation(home: Path, place: Path) -> None:
    for name in ("base", "human_sim", "fly_sim"):
        shelf.publish(place, home / name)
    assert shelf.point(place, "human_sim", entry(home, "human_sim")).generation == 1
    both = shelf.point(place, "fly_sim", entry(home, "fly_sim"))
    assert both == shelf.read(place)
    assert list(both.species) == ["fly_sim", "human_sim"]
    rest = shelf.withdraw(place, "human_sim")
    assert (rest.generation, list(rest.species)) == (3, ["fly_sim"])
    with pytest.raises(BundleError, match="no champion of 'human_sim'; there are: fly_sim"):
        shelf.withdraw(place, "human_sim")
    assert (place / "objects" / bundle.digest(home / "human_sim")).is_dir()


def test_a_pointer_to_what_is_not_there_is_refused(home: Path, place: Path) -> None:
    shelf.publish(place, home / "human_sim")
    with pytest.raises(BundleError, match=r"no bundle [0-9a-f]{64}; publish it first"):
        shelf.point(place, "human_sim", entry(home, "human_sim"))
    assert shelf.read(place).generation == 0


def test_a_pointer_to_another_species_or_base_is_refused(home: Path, place: Path, tmp_path: Path) -> None:
    for name in ("base", "human_sim", "fly_sim"):
        shelf.publish(place, home / name)
    with pytest.raises(BundleError, match="is of species 'fly_sim'; wanted 'human_sim'"):
        shelf.point(place, "human_sim", entry(home, "fly_sim"))
    with pytest.raises(BundleError, match="is of a base; wanted 'human_sim'"):
        shelf.point(place, "human_sim", entry(home, "base"))
    foreign = tmp_path / "foreign"
    card = toy.card("b" * 64, "human_sim")
    toy.write_species(home / "base", tmp_path / "good", toy.card(bundle.digest(home / "base"), "human_sim"), 4)
    (tmp_path / "good").rename(foreign)
    bundle.write_card(foreign, card)
    shelf.publish(place, foreign)
    with pytest.raises(BundleError, match="needs the base bbbb"):
        shelf.point(
            place,
            "human_sim",
            Entry(
                bundle=bundle.digest(foreign),
                base=bundle.digest(home / "base"),
                version="1",
                git_commit="0" * 40,
                gate="a" * 64,
                data="d" * 64,
            ),
        )


def test_a_broken_bundle_never_reaches_the_shelf(home: Path, place: Path, tmp_path: Path) -> None:
    spoilt = tmp_path / "spoilt"
    spoilt.mkdir()
    for path in (home / "human_sim").iterdir():
        (spoilt / path.name).write_bytes(path.read_bytes())
    (spoilt / "drift.npz").write_bytes(b"")
    with pytest.raises(BundleError, match=r"drift.npz: sha256"):
        shelf.publish(place, spoilt)
    assert not place.exists()


def test_a_copy_that_fails_leaves_nothing(home: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def disk_full(source: Path, target: Path) -> None:
        target.write_bytes(b"")
        raise OSError(28, "No space left on device", str(source))

    monkeypatch.setattr(shelf, "_copy", disk_full)
    with pytest.raises(OSError, match="No space left"):
        shelf.publish(place, home / "human_sim")
    assert list((place / "objects").iterdir()) == []


def test_what_a_killed_copy_left_is_swept(home: Path, place: Path) -> None:
    (place / "objects" / ".new-dead").mkdir(parents=True)
    digest = shelf.publish(place, home / "human_sim")
    assert [path.name for path in (place / "objects").iterdir()] == [digest]


def test_rot_on_the_shelf_is_found(home: Path, place: Path) -> None:
    digest = shelf.publish(place, home / "human_sim")
    rotten = place / "objects" / digest / "golden.json"
    rotten.chmod(0o644)
    rotten.write_bytes(b"[]")
    with pytest.raises(BundleError, match=r"golden.json: sha256"):
        shelf.open_bundle(place, digest)
    with pytest.raises(BundleError, match=r"golden.json: sha256"):
        shelf.publish(place, home / "human_sim")


def test_a_bundle_under_another_name_is_refused(home: Path, place: Path) -> None:
    digest = shelf.publish(place, home / "human_sim")
    (place / "objects" / digest).rename(place / "objects" / ("c" * 64))
    with pytest.raises(BundleError, match=f"holds the bundle {digest}; wanted cccc"):
        shelf.open_bundle(place, "c" * 64)


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b'{"generation": -1, "species": {}}', b'{"generation": 1, "species": {"../x": {}}}']
)
def test_a_pointer_file_that_is_none_is_refused(place: Path, raw: bytes) -> None:
    place.mkdir()
    (place / "champions.json").write_bytes(raw)
    with pytest.raises(BundleError, match=r"champions.json: "):
        shelf.read(place)


def test_readers_only_ever_see_whole_pointers_and_no_change_is_lost(home: Path, place: Path) -> None:
    for name in ("base", "human_sim", "fly_sim"):
        shelf.publish(place, home / name)
    seen: list[int] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.append(shelf.read(place).generation)

    def move(name: str) -> None:
        for version in range(10):
            shelf.point(place, name, entry(home, name, str(version)))

    looking = threading.Thread(target=look)
    moving = [threading.Thread(target=move, args=(name,)) for name in ("human_sim", "fly_sim")]
    for thread in (looking, *moving):
        thread.start()
    for thread in moving:
        thread.join()
    done.set()
    looking.join()
    assert seen == sorted(seen)
    assert shelf.read(place).generation == 20
    assert json.loads((place / "champions.json").read_bytes())["species"]["fly_sim"]["version"] == "9"
