"""A receipt is found in every form an answer is kept in, and what holds none says so."""

import gzip
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from episome import formats, receipts
from episome.answer import Answer, Refusal
from episome.receipts import ReceiptError
from tests.test_formats import BAD, FEATURES, RECEIPT, answered, pieces

OTHER = replace(RECEIPT, adapter=replace(RECEIPT.adapter, species="fly_sim", bundle="f" * 64))
ANSWERS: list[Answer | Refusal] = [answered(*FEATURES), BAD, answered(receipt=OTHER), answered()]
HTTP = json.dumps({"results": [formats.as_json(each) for each in ANSWERS]})
KEPT: dict[str, str] = {
    name: "".join(f"{line}\n" for line in write(pieces(*ANSWERS))) for name, write in formats.WRITERS.items()
}
KEPT |= {"http": HTTP, "pretty": json.dumps(json.loads(HTTP), indent=2), "half a line": KEPT["jsonl"] + '{"id": "cu'}


@pytest.mark.parametrize("name", list(KEPT))
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_the_receipts_of_an_answer_are_found_each_once(name: str, pack: type[bytes], tmp_path: Path) -> None:
    (tmp_path / "answer").write_bytes(pack(KEPT[name].encode()))
    assert receipts.of_file(tmp_path / "answer") == (RECEIPT, OTHER)


def test_the_page_of_a_species_holds_its_receipt() -> None:
    assert receipts.of_text(json.dumps({"id": "human_sim", "receipt": asdict(RECEIPT)}), "") == (RECEIPT,)


@pytest.mark.parametrize(
    "text", ["", "##gff-version 3\n", ">a\nACGT\n", "{}", '# {"simulated": true}\n# {oops\n', "[1]"]
)
def test_an_answer_without_a_receipt_is_named(text: str) -> None:
    with pytest.raises(ReceiptError, match=r"^kept\.gff3: holds no receipt; wanted an answer of Episome"):
        receipts.of_text(text, "kept.gff3")


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReceiptError, match="missing: cannot be read as an answer"):
        receipts.of_file(tmp_path / "missing")
    (tmp_path / "x").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ReceiptError, match="x: cannot be read as an answer"):
        receipts.of_file(tmp_path / "x")
    (tmp_path / "x").write_bytes(gzip.compress(b"# {}" * 99)[:-9])
    with pytest.raises(ReceiptError, match="x: cannot be read as an answer"):
        receipts.of_file(tmp_path / "x")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"base": 3}, "base: Input should be a valid string"),
        ({"adapter": {"species": "human_sim", "version": "3"}}, r"adapter.bundle: Field required"),
        ({"adapter": asdict(replace(RECEIPT.adapter, bundle="A" * 64))}, "adapter.bundle: 'AAAA.*' is no sha256"),
        ({"adapter": asdict(replace(RECEIPT.adapter, bundle="a" * 8))}, "adapter.bundle: 'a{8}' is no sha256"),
    ],
)
def test_a_broken_receipt_is_named_with_its_field(change: dict[str, object], said: str) -> None:
    with pytest.raises(ReceiptError, match=f"kept: a receipt that is none: {said}"):
        receipts.of_text(json.dumps({"receipt": asdict(RECEIPT) | change}), "kept")


def test_a_receipt_of_a_later_version_may_say_more() -> None:
    assert receipts.of_text(json.dumps({"receipt": asdict(RECEIPT) | {"weather": "fine"}}), "") == (RECEIPT,)


@pytest.mark.parametrize(
    ("word", "is_one"),
    [("a" * 64, True), ("0123abcd", True), ("abc", False), ("a" * 65, False), ("A" * 64, False), ("human_sim", False)],
)
def test_an_identifier_is_a_sha256_or_its_beginning(word: str, is_one: bool) -> None:
    assert receipts.identifies(word) is is_one
