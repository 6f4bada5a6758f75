from dataclasses import replace
from pathlib import Path

import pytest

from episome import provenance
from episome.bundle import BundleError
from tests.toy_bundles import MADE

BYTES = b"""{
  "base": {
    "hub": null,
    "revision": null,
    "size": "mini"
  },
  "bootstrap": 1000,
  "citation": "nobody",
  "confidence": 0.95,
  "licence": "CC0-1.0",
  "rows": {
    "promoter": {
      "train": {
        "groups": 30,
        "negatives": 60,
        "positives": 40
      }
    }
  },
  "source": "genome"
}
"""


def test_the_bytes_are_those_of_the_page_and_read_back(tmp_path: Path) -> None:
    assert provenance.encode(MADE) == BYTES
    (tmp_path / provenance.NAME).write_bytes(BYTES)
    assert provenance.read(tmp_path) == MADE


def test_a_bundle_that_is_older_has_none(tmp_path: Path) -> None:
    assert provenance.read(tmp_path) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (BYTES.replace(b'"nobody"', b"7"), "citation: Input should be a valid string"),
        (BYTES.replace(b"mini", b"maxi"), "base.size: "),
        (BYTES.replace(b'"source"', b'"path"'), "source: Field required"),
        (BYTES.replace(b": 40", b": -1"), "positives: "),
        (BYTES.replace(b'"train"', b'"all"'), "rows.promoter"),
        (BYTES + b" ", "not in the canonical spelling"),
        (b" " * ((1 << 20) + 1), "longer than 1048576 bytes"),
    ],
)
def test_a_file_that_is_none_is_refused_by_name(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / provenance.NAME).write_bytes(content)
    with pytest.raises(BundleError, match=said):
        provenance.read(tmp_path)


def test_what_the_page_on_bundles_shows_is_one() -> None:
    page = (Path(__file__).resolve().parent.parent / "docs/bundle.md").read_text(encoding="utf-8")
    shown = replace(MADE, citation="whom to name", licence="CC-BY-4.0")
    assert provenance.encode(shown).decode() in page
