"""How the tests of fetching ask for one file of the local host."""

import hashlib
from pathlib import Path
from typing import Any

import yaml

from episome.sources import Fetch
from pipelines import fetch
from tests.conftest import ROOT
from tests.mirror import FASTA, GTF, Mirror

FOLDER = Path("data/ensembl/115/human")
HERE = FOLDER / Path(FASTA).name
ANNOTATION = FOLDER / Path(GTF).name


def settings(host: Mirror, **changes: Any) -> Fetch:
    """The human's two files, as params.yaml names them, from the local host."""
    text = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["fetch"]
    text["species"] = {"human": text["species"]["human"]}
    return Fetch.model_validate(text | {"base": f"{host.url}/pub"} | changes)


def write_params(folder: Path, chosen: Fetch) -> None:
    text = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    text["fetch"] = chosen.model_dump(mode="json")
    (folder / "params.yaml").write_text(yaml.safe_dump(text), encoding="utf-8")


def get(host: Mirror, path: Path = HERE, *, again: bool = False, **changes: Any) -> str:
    """Fetch one file as the command does."""
    chosen = settings(host, **changes)
    (wanted,) = [file for file in fetch.plan(chosen, []) if file.path.name == path.name]
    return fetch.get(wanted, fetch.Hosts(timeout=5), lambda *_: None, again=again)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def nothing_left(folder: Path) -> bool:
    """Whether no data file, pin or half download is anywhere in the project."""
    return [path for path in (folder / "data").rglob("*") if path.is_file()] == []
