import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from episome import tokenizer
from episome.sequence import SequenceError, normalise
from episome.tokenizer import Tokenizer, centre_token
from episome.types import EpisomeError

RNG = np.random.default_rng(0)
TEXTS = ["".join(RNG.choice(list("ACGT"), 200, p=[0.4, 0.3, 0.2, 0.1])) for _ in range(60)]
MINI = tokenizer.train(TEXTS, 64)

messy = st.text("ACGTUNRYacgtunry", min_size=1, max_size=300)


@pytest.fixture(scope="session")
def published(shared: Path) -> Tokenizer:
    return Tokenizer.load(shared / "reference/dnabert2/tokenizer.json")


def test_the_published_tokenizer_gives_the_published_ids(published: Tokenizer, shared: Path) -> None:
    cases = json.loads((shared / "reference/dnabert2/tokenizer_cases.json").read_text())
    assert [published.encode(case["sequence"]).ids.tolist() for case in cases] == [c["input_ids"] for c in cases]
    assert (published.vocab_size, published.unk_id, published.cls_id) == (4096, 0, 1)
    assert (published.sep_id, published.pad_id, published.mask_id) == (2, 3, 4)


def test_a_trained_tokenizer_is_of_the_published_kind(published: Tokenizer, shared: Path, tmp_path: Path) -> None:
    MINI.save(tmp_path / "tokenizer.json")
    ours = json.loads((tmp_path / "tokenizer.json").read_text())
    theirs = json.loads((shared / "reference/dnabert2/tokenizer.json").read_text())
    assert [ours[k] == theirs[k] for k in theirs if k != "model"] == [True] * (len(theirs) - 1)
    kind = {key: value for key, value in theirs["model"].items() if key not in ("vocab", "merges")}
    assert {key: ours["model"][key] for key in kind} == kind


@given(messy)
def test_offsets_tile_the_sequence(raw: str) -> None:
    encoding = MINI.encode(raw)
    assert encoding.offsets[0].tolist() == [0, 0]
    assert encoding.offsets[-1].tolist() == [len(raw), len(raw)]
    inner = encoding.offsets[1:-1]
    assert inner[0, 0] == 0
    assert inner[-1, 1] == len(raw)
    assert (inner[1:, 0] == inner[:-1, 1]).all()
    assert (encoding.ids[0], encoding.ids[-1]) == (MINI.cls_id, MINI.sep_id)


@given(messy)
def test_the_centre_token_covers_its_base(raw: str) -> None:
    encoding = MINI.encode(raw)
    for base in range(len(raw)):
        start, end = encoding.offsets[centre_token(encoding, base)]
        assert start <= base < end


@given(messy)
def test_case_and_uracil_never_reach_the_vocabulary_and_n_is_one_unknown_a_base(raw: str) -> None:
    clean = normalise(raw).sequence
    encoding = MINI.encode(raw)
    assert encoding.ids.tolist() == MINI.encode(clean).ids.tolist()
    unknown = encoding.offsets[encoding.ids == MINI.unk_id]
    assert unknown[:, 0].tolist() == [i for i, base in enumerate(clean) if base == "N"]


@given(st.lists(messy, min_size=1, max_size=8))
def test_many_at_once_are_the_same_as_one_by_one(raws: list[str]) -> None:
    many = MINI.encode_many(raws)
    one = [MINI.encode(raw) for raw in raws]
    assert [e.ids.tolist() for e in many] == [e.ids.tolist() for e in one]
    assert [e.offsets.tolist() for e in many] == [e.offsets.tolist() for e in one]
    ids, mask = MINI.pad(many)
    assert ids.shape == mask.shape == (len(raws), max(len(e.ids) for e in one))
    assert [row[m == 1].tolist() for row, m in zip(ids, mask, strict=True)] == [e.ids.tolist() for e in one]
    assert (ids[mask == 0] == MINI.pad_id).all()


def test_training_is_deterministic_and_ignores_case_and_n(tmp_path: Path) -> None:
    again = tokenizer.train([t.lower() for t in TEXTS], 64)
    MINI.save(tmp_path / "a.json")
    again.save(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    model = json.loads((tmp_path / "a.json").read_text())["model"]
    assert list(model["vocab"])[:9] == [*tokenizer.SPECIALS, *"ACGT"]
    assert len(model["vocab"]) == MINI.vocab_size == 64
    with_n = tokenizer.train(["NACNCAN"] * 20, 32)
    with_n.save(tmp_path / "n.json")
    # AC and CA lie on either side of an N: both are learnt, and nothing that would span it.
    assert set(json.loads((tmp_path / "n.json").read_text())["model"]["vocab"]) == {
        *tokenizer.SPECIALS, *"ACGT", "AC", "CA",
    }  # fmt: skip


def test_what_is_saved_loads_to_the_same_answers(tmp_path: Path) -> None:
    MINI.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    assert loaded.encode(TEXTS[0]).ids.tolist() == MINI.encode(TEXTS[0]).ids.tolist()
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "tokenizer.json").read_bytes()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a tokenizer.json"),
        ("[]", "not a tokenizer.json"),
        ('{"model": {"type": "WordLevel"}}', "'WordLevel'; wanted: BPE"),
    ],
)
def test_what_is_no_tokenizer_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(EpisomeError, match=message):
        Tokenizer.load(tmp_path / "tokenizer.json")


def test_a_missing_file_or_special_token_is_named(tmp_path: Path) -> None:
    with pytest.raises(EpisomeError, match="no such file"):
        Tokenizer.load(tmp_path / "tokenizer.json")
    MINI.save(tmp_path / "tokenizer.json")
    text = (tmp_path / "tokenizer.json").read_text().replace("[MASK]", "[HIDE]")
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(EpisomeError, match=r"without \[MASK\]"):
        Tokenizer.load(tmp_path / "tokenizer.json")


def test_a_vocabulary_without_room_for_the_bases_is_refused() -> None:
    with pytest.raises(EpisomeError, match="at least 9"):
        tokenizer.train(TEXTS, 8)


def test_a_base_outside_and_a_wrong_letter_are_refused() -> None:
    with pytest.raises(EpisomeError, match="base 4 lies outside a sequence of 4"):
        centre_token(MINI.encode("ACGT"), 4)
    with pytest.raises(SequenceError, match="position 2"):
        MINI.encode_many(["ACGT", "A-GT"])
