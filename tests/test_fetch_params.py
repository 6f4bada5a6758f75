"""What the section `fetch` of params.yaml takes, and what it plans."""

from typing import Any

import pytest
from pydantic import ValidationError

from episome import params
from episome.sources import Fetch
from episome.types import EpisomeError
from pipelines import fetch
from tests.conftest import ROOT

FILES = {"fasta": "release-{release}/x.fa.gz", "annotation": "release-{release}/x.{release}.gtf.gz"}


def section(**changes: Any) -> Fetch:
    written = {
        "folder": "data/{release}",
        "base": "https://example.org/pub/",
        "release": 115,
        "checksums": "CHECKSUMS",
        "timeout_seconds": 1.0,
        "species": {"human": FILES},
    }
    return Fetch.model_validate(written | changes)


def test_the_projects_own_section_pins_release_115_of_four_species() -> None:
    wanted = fetch.plan(params.read(ROOT / "params.yaml").fetch, [])
    assert {file.species for file in wanted} == {"human", "mouse", "zebrafish", "fly"}
    assert len(wanted) == 8
    assert all(file.url.startswith("https://ftp.ensembl.org/pub/release-115/") for file in wanted)
    assert {file.path.parent.as_posix() for file in wanted} == {f"data/ensembl/115/{file.species}" for file in wanted}
    (fly,) = [file for file in wanted if file.species == "fly" and "gtf" in file.url]
    assert fly.path.name == "Drosophila_melanogaster.BDGP6.54.115.gtf.gz"
    assert fly.checksums == "https://ftp.ensembl.org/pub/release-115/gtf/drosophila_melanogaster/CHECKSUMS"


def test_a_species_may_have_another_host_and_another_list() -> None:
    own = FILES | {"base": "https://example.com/gold", "checksums": "none"}
    first, _, third, _ = fetch.plan(section(species={"human": FILES, "mouse": own}), [])
    assert (first.url, first.checksums) == (
        "https://example.org/pub/release-115/x.fa.gz",
        "https://example.org/pub/release-115/CHECKSUMS",
    )
    assert (third.url, third.checksums) == ("https://example.com/gold/release-115/x.fa.gz", None)


def test_a_file_may_have_a_list_of_its_own() -> None:
    own = FILES | {"aliases": "names.txt", "checksums": {"fasta": "md5sum.txt", "aliases": "none"}}
    lists = [file.checksums for file in fetch.plan(section(species={"human": own}), ["human"])]
    beside = "https://example.org/pub/release-115"
    assert lists == [f"{beside}/md5sum.txt", f"{beside}/CHECKSUMS", None]


@pytest.mark.parametrize(
    ("base", "says"),
    [
        ("ftp://ftp.ensembl.org/pub", "https only; .*at https://ftp.ensembl.org/pub"),
        ("http://example.org/pub", "wanted https://host/path"),
        ("https://", "wanted https://host/path"),
        ("ftp.ensembl.org/pub", "wanted https://host/path"),
    ],
)
def test_a_base_that_is_not_https_is_refused(base: str, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        section(base=base)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("release-115/fasta/", "species.human.fasta: .*wanted the path of a file below https://example.org/pub"),
        ("/release-115/x.fa.gz", "wanted the path of a file"),
        ("current_fasta/x.fa.gz", "moves with every release"),
    ],
)
def test_a_path_that_is_no_file_of_one_release_is_refused(path: str, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        section(species={"human": FILES | {"fasta": path}})


def test_an_unknown_species_is_named_with_the_known_ones() -> None:
    with pytest.raises(EpisomeError, match=r"no species yeti under .*there: human"):
        fetch.plan(section(), ["human", "yeti"])


def test_without_the_section_the_message_says_where_it_goes() -> None:
    with pytest.raises(EpisomeError, match=r"params.yaml: no section `fetch`.*docs/data.md"):
        fetch.plan(None, [])
