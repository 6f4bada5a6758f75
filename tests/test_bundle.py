"""The format in bytes, and every kind of bundle that must not be believed."""

import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from episome import bundle
from episome.bundle import BundleError, Golden
from episome.card import decode, digest_of, encode
from tests import toy_bundles as toy


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    base = toy.write_base(folder / "base")
    toy.write_species(folder / "base", folder / "human_sim", toy.card(base, "human_sim"), 1)
    return folder


@pytest.fixture
def species(home: Path, tmp_path: Path) -> Path:
    """A copy of a good bundle, to be spoiled."""
    return Path(shutil.copytree(home / "human_sim", tmp_path / "human_sim"))


def reseal(folder: Path) -> None:
    """Write the card anew over whatever lies in the folder, as a forger would."""
    bundle.write_card(folder, bundle.read_species_card(folder))


GOLDEN_CARD = b"""{
  "base": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
  "composition": {
    "k": 2,
    "phased": true,
    "site_reach": 3
  },
  "files": {
    "drift.npz": "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
  },
  "format": 2,
  "lineage": {
    "data": "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd",
    "donor": "base",
    "params": "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee",
    "prior": "none",
    "release": "none",
    "releases": [
      "none"
    ],
    "seed": 7,
    "transfer": {
      "plan": null,
      "start": {
        "from": "nothing"
      }
    }
  },
  "lora": {
    "alpha": 16.0,
    "rank": 8,
    "targets": [
      "attention.self.Wqkv",
      "attention.output.dense",
      "mlp.gated_layers",
      "mlp.wo"
    ]
  },
  "metrics": {
    "promoter": {
      "test": {
        "mcc": {
          "value": 0.5
        }
      }
    }
  },
  "scientific_name": "Toya toya",
  "simulated": true,
  "species": "human_sim",
  "tasks": [
    {
      "labels": [
        "absent",
        "present"
      ],
      "motif": null,
      "name": "promoter",
      "scope": "window",
      "strands": "both",
      "temperature": 1.5,
      "threshold": 0.5,
      "window": 60
    },
    {
      "labels": [
        "absent",
        "present"
      ],
      "motif": "GT",
      "name": "donor",
      "scope": "site",
      "strands": "both",
      "temperature": 0.8,
      "threshold": 0.4,
      "window": 40
    }
  ],
  "taxon_id": 1,
  "tolerance": 0.0001
}
"""


def test_a_card_has_exactly_these_bytes() -> None:
    """docs/bundle.md promises them to other tools; a change here is a new format number."""
    card = replace(toy.card("a" * 64, "human_sim"), files={"drift.npz": "b" * 64})
    assert encode(card) == GOLDEN_CARD
    assert decode(GOLDEN_CARD, "card.json") == card
    assert digest_of(card) == "6498a761343140a805042f5788013d878dff60058bf95f0323fa6f070a63d141"


def test_the_page_shows_a_card_that_the_code_reads(root: Path) -> None:
    page = (root / "docs" / "bundle.md").read_text(encoding="utf-8")
    cards = [block.split("```")[0] for block in page.split("```json\n")[1:]]
    base, species, golden, _ = cards
    assert isinstance(decode(base.encode(), "docs/bundle.md"), bundle.BaseCard)
    assert isinstance(decode(species.encode(), "docs/bundle.md"), bundle.Card)
    assert set(json.loads(golden)[0]) == {"sequence", "centre", "logits"}


def test_writing_twice_gives_the_same_bytes(home: Path, tmp_path: Path) -> None:
    base = toy.write_base(tmp_path / "base")
    toy.write_species(tmp_path / "base", tmp_path / "human_sim", toy.card(base, "human_sim"), 1)
    assert bundle.digest(tmp_path / "base") == bundle.digest(home / "base")
    assert bundle.digest(tmp_path / "human_sim") == bundle.digest(home / "human_sim")


def test_a_good_bundle_comes_back_whole(home: Path) -> None:
    contents = bundle.read_contents(home / "human_sim")
    assert contents.card.base == bundle.digest(home / "base")
    assert contents.digest == digest_of(contents.card)
    assert contents.head_weight.shape == (2, 2 * 24 + 20 + 192 + 24)
    assert len(contents.golden) == 4
    assert len(contents.adapter) == 2 * 4 * toy.SHAPE.num_hidden_layers
    assert bundle.verify(home / "base") == bundle.read_base_card(home / "base")


def flip(folder: Path) -> None:
    raw = bytearray((folder / "adapter.safetensors").read_bytes())
    raw[-1] ^= 1
    (folder / "adapter.safetensors").write_bytes(raw)


def truncate(folder: Path) -> None:
    raw = (folder / "head.safetensors").read_bytes()
    (folder / "head.safetensors").write_bytes(raw[:-4])


def extra(folder: Path) -> None:
    (folder / "notes.txt").write_text("hello")


def subfolder(folder: Path) -> None:
    (folder / "more").mkdir()


def missing(folder: Path) -> None:
    (folder / "drift.npz").unlink()


def symlink(folder: Path) -> None:
    (folder / "drift.npz").rename(folder.parent / "elsewhere.npz")
    (folder / "drift.npz").symlink_to(folder.parent / "elsewhere.npz")


def hardlink(folder: Path) -> None:
    os.link(folder / "drift.npz", folder.parent / "second-name.npz")


def pipe(folder: Path) -> None:
    (folder / "drift.npz").unlink()
    os.mkfifo(folder / "drift.npz")


def edited_card(folder: Path) -> None:
    card = folder / "card.json"
    card.write_bytes(card.read_bytes().replace(b'"threshold": 0.5', b'"threshold":  0.5'))


def no_card(folder: Path) -> None:
    (folder / "card.json").unlink()


def huge_card(folder: Path) -> None:
    (folder / "card.json").write_bytes(b" " * (2 << 20))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (flip, r"adapter.safetensors: sha256 is [0-9a-f]{64}, the card says"),
        (truncate, "head.safetensors: sha256 is"),
        (extra, "holds notes.txt, which the card does not list"),
        (subfolder, "holds more, which the card does not list"),
        (missing, "drift.npz is missing"),
        (symlink, "drift.npz: cannot be read as a plain file"),
        (hardlink, r"a file with 2 names \(hard links\)"),
        (pipe, "drift.npz: no regular file"),
        (edited_card, "not in the canonical spelling"),
        (no_card, "card.json: cannot be read as a plain file: No such file"),
        (huge_card, "card.json: longer than 1048576 bytes"),
    ],
)
def test_a_spoilt_folder_does_not_verify(species: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(species)
    with pytest.raises(BundleError, match=message):
        bundle.verify(species)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"species": "../human"}, "species: String should match pattern"),
        ({"surprise": 1}, "surprise: Unexpected keyword argument"),
        ({"format": 1}, "format: Input should be 2"),
        ({"taxon_id": "9606"}, "taxon_id: Input should be a valid integer"),
        ({"base": "short"}, "base: String should match pattern"),
        ({"tolerance": 0}, "tolerance: Input should be greater than 0"),
        ({"tasks": []}, "tasks: Tuple should have at least 1 item"),
    ],
)
def test_a_card_with_a_wrong_field_is_refused(species: Path, change: dict[str, object], message: str) -> None:
    card = json.loads((species / "card.json").read_bytes())
    (species / "card.json").write_bytes(bundle.canonical(card | change))
    with pytest.raises(BundleError, match=message):
        bundle.verify(species)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[1]", b'{"metrics": NaN}', b"[" * 100_000])
def test_a_card_that_is_no_card_is_refused(species: Path, raw: bytes) -> None:
    (species / "card.json").write_bytes(raw)
    with pytest.raises(BundleError, match=r"card.json: not (JSON|a card of format 2)"):
        bundle.verify(species)


def test_nan_in_the_metrics_has_no_spelling(species: Path) -> None:
    card = (species / "card.json").read_bytes()
    (species / "card.json").write_bytes(card.replace(b'"value": 0.5', b'"value": NaN'))
    with pytest.raises(BundleError, match=r"card.json: not"):
        bundle.verify(species)


def test_a_card_with_nan_is_not_written(species: Path) -> None:
    card = replace(bundle.read_species_card(species), metrics={"promoter": {"mcc": float("nan")}})
    with pytest.raises(BundleError, match="a number of the card is NaN"):
        bundle.write_card(species, card)


@pytest.mark.parametrize("name", ["../escape", "/etc/passwd", ".hidden", "weights.pkl", "base.onnx"])
def test_a_listed_name_outside_the_format_is_refused(species: Path, name: str) -> None:
    card = json.loads((species / "card.json").read_bytes())
    card["files"][name] = "0" * 64
    (species / "card.json").write_bytes(bundle.canonical(card))
    with pytest.raises(BundleError, match="is no file of this kind of bundle"):
        bundle.verify(species)


def test_a_card_that_forgets_a_file_is_refused(species: Path) -> None:
    (species / "golden.json").unlink()
    with pytest.raises(BundleError, match=r"does not list golden.json"):
        reseal(species)


def not_finite(folder: Path) -> None:
    weight = np.full((2, 260), np.nan, np.float32)
    save_file({"weight": weight, "bias": np.zeros(2, np.float32)}, folder / "head.safetensors")


def doubles(folder: Path) -> None:
    save_file({"weight": np.zeros((2, 260)), "bias": np.zeros(2)}, folder / "head.safetensors")


def other_names(folder: Path) -> None:
    save_file({"w": np.zeros((2, 260), np.float32)}, folder / "head.safetensors")


def other_tasks(folder: Path) -> None:
    save_file({"weight": np.zeros((3, 260), np.float32), "bias": np.zeros(3, np.float32)}, folder / "head.safetensors")


def huge_header(folder: Path) -> None:
    (folder / "adapter.safetensors").write_bytes(struct.pack("<Q", 1 << 62) + b"{}")


def empty_tensors(folder: Path) -> None:
    (folder / "adapter.safetensors").write_bytes(b"")


def garbage_tensors(folder: Path) -> None:
    (folder / "adapter.safetensors").write_bytes(struct.pack("<Q", 8) + b"notjson!")


class Bomb:
    """Unpickling it would run a command."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("unpickled",)


def pickled(folder: Path) -> None:
    objects = np.empty(1, object)
    objects[0] = Bomb()
    np.savez(folder / "drift.npz", transitions=objects)


def bare_pickle(folder: Path) -> None:
    with zipfile.ZipFile(folder / "drift.npz", "w") as archive:
        archive.writestr("transitions.npy", pickle.dumps(Bomb()))


def no_zip(folder: Path) -> None:
    (folder / "drift.npz").write_bytes(b"PK nothing")


def zip_bomb(folder: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("transitions.npy", bytes(65 << 20))
    (folder / "drift.npz").write_bytes(packed.getvalue())


def few_golden(folder: Path) -> None:
    bundle.write_golden(folder / "golden.json", (Golden(sequence="ACGT", centre=None, logits=(0.0, 0.0)),) * 3)


def golden_outside(folder: Path) -> None:
    bundle.write_golden(folder / "golden.json", (Golden(sequence="ACGT", centre=4, logits=(0.0, 0.0)),) * 4)


def golden_width(folder: Path) -> None:
    bundle.write_golden(folder / "golden.json", (Golden(sequence="ACGT", centre=3, logits=(0.0,)),) * 4)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (not_finite, "tensor 'weight' holds NaN or infinity"),
        (doubles, "tensor 'bias' is float64; wanted float32"),
        (other_names, "holds w; wanted weight and bias"),
        (other_tasks, r"do not fit the 2 task\(s\)"),
        (huge_header, "a header of 4611686018427387904 bytes is claimed"),
        (empty_tensors, "0 bytes; not a safetensors file"),
        (garbage_tensors, "adapter.safetensors: not a safetensors file"),
        (pickled, "drift.npz: not a plain .npz file"),
        (bare_pickle, "transitions is no array"),
        (no_zip, "drift.npz: not a plain .npz file"),
        (zip_bomb, "68157440 bytes unpacked; at most"),
        (few_golden, "golden.json: .*at least 4"),
        (golden_outside, "entry 0: centre 4 lies outside its 4 bases"),
        (golden_width, r"entry 0 has 1 logit\(s\) for 2 task\(s\)"),
    ],
)
def test_wrong_contents_are_refused_even_under_a_fresh_card(
    species: Path, spoil: Callable[[Path], None], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(species)
    reseal(species)
    monkeypatch.chdir(species.parent)
    with pytest.raises(BundleError, match=message):
        bundle.read_contents(species)
    assert not (species.parent / "unpickled").exists()


def test_the_kind_of_bundle_is_asked_for(home: Path) -> None:
    with pytest.raises(BundleError, match="a base bundle came, a species bundle was wanted"):
        bundle.read_species_card(home / "base")
    with pytest.raises(BundleError, match="a base bundle came, a species bundle was wanted"):
        bundle.read_contents(home / "base")
    with pytest.raises(BundleError, match="bundle of species 'human_sim' came, a base bundle was wanted"):
        bundle.read_base_card(home / "human_sim")
