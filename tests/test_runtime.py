"""One session, many species: mixing, hot adding, isolation and what is refused."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from safetensors.numpy import load_file, save_file

from episome import bundle, runtime
from episome.bundle import BundleError, CalibratedTask, Card, Golden
from episome.runtime import Engine, Row, _runs
from episome.types import EpisomeError
from tests import toy_bundles as toy

THREE = (*toy.TASKS, CalibratedTask(name="orf", scope="sequence", threshold=0.5, temperature=1.0))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base and four species: rank 8, rank 4, three tasks, and the zero adapter."""
    folder = tmp_path_factory.mktemp("bundles")
    base = toy.write_base(folder / "base")
    toy.write_species(folder / "base", folder / "human_sim", toy.card(base, "human_sim"), 1)
    toy.write_species(folder / "base", folder / "fly_sim", toy.card(base, "fly_sim", rank=4), 2)
    toy.write_species(folder / "base", folder / "fish_sim", toy.card(base, "fish_sim", tasks=THREE), 3)
    toy.write_species(folder / "base", folder / "zero_sim", toy.card(base, "zero_sim", rank=1), 0)
    return folder


@pytest.fixture
def engine(home: Path) -> Iterator[Engine]:
    engine = Engine(home / "base", threads=2, capacity=1)
    yield engine
    engine.close()


def mixed(count: int, slots: list[int]) -> list[Row]:
    """Rows of several lengths, some equal, going round the slots."""
    return [
        Row(sequence=toy.dna(seed, 40 + 20 * (seed % 5)), slot=slots[seed % len(slots)], centre=(None, seed)[seed % 2])
        for seed in range(count)
    ]


def test_a_mixed_batch_answers_as_one_by_one(home: Path, engine: Engine) -> None:
    slots = [engine.add(home / name).slot for name in ("human_sim", "fly_sim", "fish_sim")]
    rows = mixed(30, slots)
    together, pooled = engine.score(rows)
    alone = [engine.score([row]) for row in rows]
    assert together.shape == (30, 3)
    assert np.abs(together - np.concatenate([logits for logits, _ in alone])).max() < 1e-5
    assert np.abs(pooled - np.concatenate([states for _, states in alone])).max() < 1e-5
    assert not together[::3, 2].any(), "human_sim has two tasks: its third column is zero"


def test_a_row_is_the_same_to_the_bit_whatever_shares_its_run(home: Path, engine: Engine) -> None:
    """What lets the command line and the service, which batch differently, give the same numbers."""
    slots = [engine.add(home / name).slot for name in ("human_sim", "fly_sim", "fish_sim")]
    rows = [
        (engine.prepare(toy.dna(seed, length), seed), slots[seed % 3]) for seed in range(9) for length in (10, 70, 300)
    ]
    together = engine.logits(rows)[0]
    for count in (1, 2, 5):
        parts = [engine.logits(rows[start : start + count])[0] for start in range(0, len(rows), count)]
        assert np.concatenate(parts).tobytes() == together.tobytes()


def test_states_are_what_a_head_is_fed(home: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    adapters = [engine.add(home / name) for name in ("human_sim", "fish_sim")]
    asked = [(toy.dna(seed, 40 + 20 * (seed % 3)), (None, seed)[seed % 2]) for seed in range(9)]
    prepared = [engine.prepare(*each) for each in asked]
    for adapter in adapters:
        logits, pooled = engine.logits([(each, adapter.slot) for each in prepared])
        states = engine.states(prepared, adapter.slot)
        size = engine.card.model.hidden_size
        assert states.shape == (9, 2 * size)
        assert states[:, :size].tobytes() == pooled.tobytes()
        head = load_file(adapter.folder / "head.safetensors")
        features = np.concatenate([states, np.stack([each.composition for each in prepared])], axis=1)
        wanted = features @ head["weight"].T + head["bias"]
        assert np.abs(logits[:, : len(adapter.card.tasks)] - wanted).max() < 1e-4
        monkeypatch.setattr(runtime, "_HANDED_ON", 1)
        assert engine.states(prepared, adapter.slot).tobytes() == states.tobytes()
    assert engine.states([], adapters[0].slot).shape == (0, 2 * size)
    with pytest.raises(EpisomeError, match="no adapter in slot 9; slots in use"):
        engine.states(prepared, 9)


def test_species_answer_differently(home: Path, engine: Engine) -> None:
    human, fly = engine.add(home / "human_sim").slot, engine.add(home / "fly_sim").slot
    ours, theirs = (engine.score([Row(sequence=toy.dna(1, 80), slot=slot, centre=None)])[1] for slot in (human, fly))
    assert np.abs(ours - theirs).max() > 1e-3


def test_logits_stay_bit_identical_while_others_come_and_go(home: Path, engine: Engine) -> None:
    human = engine.add(home / "human_sim").slot
    rows = [engine.prepare(toy.dna(seed, 60), 30) for seed in range(8)]
    before = engine.logits([(row, human) for row in rows])[0]
    fly = engine.add(home / "fly_sim").slot
    engine.add(home / "fish_sim")
    engine.remove(fly)
    engine.add(home / "zero_sim")
    after = engine.logits([(row, human) for row in rows])[0]
    assert after.shape == (8, 3)
    assert before.tobytes() == after[:, :2].tobytes()


def test_the_zero_adapter_is_the_base(home: Path, engine: Engine, tmp_path: Path) -> None:
    """A zero B leaves the base's states, whatever A is; so does an adapter of another rank with a zero B."""
    zero = engine.add(home / "zero_sim").slot
    other = tmp_path / "other"
    toy.write_species(home / "base", other, toy.card(engine.digest, "other", rank=8), 0)
    also_zero = engine.add(other).slot
    human = engine.add(home / "human_sim").slot
    states = [engine.score([Row(sequence=toy.dna(4, 90), slot=s, centre=None)])[1] for s in (zero, also_zero, human)]
    assert np.array_equal(states[0], states[1])
    assert not np.array_equal(states[0], states[2])


def test_a_smaller_rank_is_the_same_adapter_padded(home: Path, engine: Engine, tmp_path: Path) -> None:
    """Rank 4 with alpha 16 equals the same factors written out at rank 8 with alpha 32."""
    small = engine.add(home / "fly_sim")
    wide = tmp_path / "wide"
    card = replace(small.card, lora=replace(small.card.lora, rank=8, alpha=32.0), species="wide")
    wide.mkdir()
    for name in ("head.safetensors", "golden.json", "drift.npz"):
        (wide / name).write_bytes((home / "fly_sim" / name).read_bytes())
    factors = load_file(home / "fly_sim" / "adapter.safetensors")
    padded = {key: np.zeros([8 if size == 4 else size for size in f.shape], np.float32) for key, f in factors.items()}
    for key, factor in factors.items():
        padded[key][tuple(slice(size) for size in factor.shape)] = factor
    save_file(padded, wide / "adapter.safetensors")
    bundle.write_card(wide, card)
    slot = engine.add(wide).slot
    first, second = (engine.score([Row(sequence=toy.dna(4, 90), slot=s, centre=9)])[0] for s in (small.slot, slot))
    assert np.abs(first - second).max() < 1e-6


def test_removed_slots_are_never_another_species(home: Path, engine: Engine) -> None:
    human = engine.add(home / "human_sim").slot
    row = engine.prepare("ACGTACGTACGT", None)
    engine.remove(human)
    fly = engine.add(home / "fly_sim")
    assert fly.slot != human
    assert [adapter.card.species for adapter in engine.adapters] == ["fly_sim"]
    with pytest.raises(EpisomeError, match=rf"no adapter in slot {human}; slots in use: \[{fly.slot}\]"):
        engine.logits([(row, human)])
    with pytest.raises(EpisomeError, match="no adapter in slot"):
        engine.remove(human)


def test_adapters_come_and_go_under_load(home: Path, engine: Engine) -> None:
    human = engine.add(home / "human_sim").slot
    rows = [(engine.prepare(toy.dna(seed, 60 + seed), 30), human) for seed in range(6)]
    wanted = engine.logits(rows)[0].tobytes()
    stop = threading.Event()
    wrong: list[int] = []

    def ask() -> None:
        while not stop.is_set():
            if engine.logits(rows)[0][:, :2].tobytes() != wanted:
                wrong.append(1)

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    for _ in range(5):
        engine.remove(engine.add(home / "fly_sim").slot)
    stop.set()
    for thread in asking:
        thread.join()
    assert wrong == []


def test_probabilities_are_calibrated_and_never_overflow(home: Path, engine: Engine) -> None:
    adapter = engine.add(home / "human_sim")
    logits = np.array([[0.0, 0.8, 5.0], [1.5, -1e5, 5.0]], np.float32)
    probabilities = adapter.probabilities(logits)
    wanted = [[0.5, 1 / (1 + np.exp(-1.0))], [1 / (1 + np.exp(-1.0)), 0.0]]
    assert probabilities.dtype == np.float32
    assert np.allclose(probabilities, wanted, atol=1e-6)
    assert adapter.drift.is_file()


def test_the_same_sequence_in_any_spelling(home: Path, engine: Engine) -> None:
    slot = engine.add(home / "human_sim").slot
    spellings = ["ACGTTTGACCAGTN", "acgtttgaccagtn", "ACGUUUGACCAGUR"]
    logits = engine.score([Row(sequence=text, slot=slot, centre=3) for text in spellings])[0]
    assert np.abs(logits - logits[0]).max() < 1e-6


def test_too_long_is_refused_with_the_numbers(engine: Engine) -> None:
    bases = 1500 * engine.tokenizer.longest
    with pytest.raises(EpisomeError, match=rf"{bases} bases is \d+ tokens; this base takes 1500 at most"):
        engine.prepare(toy.dna(1, bases), None)


def test_what_no_token_is_long_enough_for_is_refused_without_being_tokenised(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    beyond = 1500 * engine.tokenizer.longest + 1
    monkeypatch.setattr(engine.tokenizer, "encode", None)
    with pytest.raises(EpisomeError, match=f"{beyond} bases is more than 1500 tokens; this base takes 1500 at most"):
        engine.prepare("A" * beyond, None)


def test_nothing_to_score_is_no_error(home: Path, engine: Engine) -> None:
    engine.add(home / "human_sim")
    logits, pooled = engine.logits([])
    assert logits.shape == (0, 2)
    assert pooled.shape == (0, 24)


def test_runs_hold_equal_lengths_within_the_budget() -> None:
    lengths = [5, 9, 5, 5, 9, 5, 30]
    runs = _runs(lengths, tokens_per_run=12, threads=1)
    assert sorted(index for run in runs for index in run) == list(range(7))
    assert all(len({lengths[index] for index in run}) == 1 for run in runs)
    assert all(len(run) == 1 or sum(lengths[index] for index in run) <= 12 for run in runs)
    assert len(_runs([10] * 8, tokens_per_run=4096, threads=2)) == 2, "equal rows are shared out over the threads"
    assert _runs([], tokens_per_run=12, threads=1) == []


def test_cuda_on_a_cpu_installation_is_an_error_and_never_a_cpu(home: Path) -> None:
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this installation has CUDA")
    with pytest.raises(EpisomeError, match=r"CUDAExecutionProvider is not in this installation.*serve-gpu"):
        Engine(home / "base", threads=1, device="cuda")


def test_a_provider_that_falls_back_is_an_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime lists CUDA but starts on the CPU when its libraries are missing."""
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    start = ort.InferenceSession

    def fall_back(path: str, options: ort.SessionOptions, **_: object) -> ort.InferenceSession:
        return start(path, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(ort, "InferenceSession", fall_back)
    with pytest.raises(EpisomeError, match="CUDAExecutionProvider could not be started"):
        Engine(home / "base", threads=1, device="cuda")


def test_the_cpu_provider_is_named(engine: Engine) -> None:
    assert engine.provider == "CPUExecutionProvider"


def test_onnxruntime_writes_nothing_on_stderr(home: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from episome.runtime import Engine, Row\n"
        f"home = Path({str(home)!r}); e = Engine(home / 'base', threads=2); s = e.add(home / 'human_sim').slot\n"
        "e.score([Row(sequence='ACGT' * 30, slot=s, centre=None)]); e.close()\n"
        "assert not {'torch', 'transformers', 'onnx', 'pandas', 'scipy', 'sklearn'} & set(sys.modules)"
    )
    source = Path(bundle.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(source)},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def rewritten(home: Path, folder: Path, **changes: Any) -> Path:
    """A copy of human_sim whose card says something else, hashes and all."""
    folder.mkdir()
    for name in ("adapter.safetensors", "head.safetensors", "drift.npz", "golden.json"):
        (folder / name).write_bytes((home / "human_sim" / name).read_bytes())
    card = bundle.read_species_card(home / "human_sim")
    bundle.write_card(folder, replace(card, **changes))
    return folder


def refuses(engine: Engine, folder: Path, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        engine.add(folder)
    assert engine.adapters == ()


def card_of(home: Path) -> Card:
    return bundle.read_species_card(home / "human_sim")


def test_another_base_is_refused(home: Path, engine: Engine, tmp_path: Path) -> None:
    refuses(engine, rewritten(home, tmp_path / "x", base="a" * 64), "trained on the base aaaa")


def test_another_species_is_refused(home: Path, engine: Engine) -> None:
    with pytest.raises(BundleError, match="of species 'human_sim'; wanted 'fly_sim'"):
        engine.add(home / "human_sim", species="fly_sim")
    assert engine.add(home / "human_sim", species="human_sim").card.species == "human_sim"


def test_another_composition_is_refused(home: Path, engine: Engine, tmp_path: Path) -> None:
    other = replace(card_of(home).composition, k=3)
    refuses(engine, rewritten(home, tmp_path / "x", composition=other), "head over Composition")


def test_altered_golden_answers_are_refused(home: Path, engine: Engine, tmp_path: Path) -> None:
    folder = rewritten(home, tmp_path / "x")
    answers = bundle.read_golden(folder / "golden.json")
    logits = (answers[0].logits[0] + 0.001, answers[0].logits[1])
    first = Golden(sequence=answers[0].sequence, centre=answers[0].centre, logits=logits)
    bundle.write_golden(folder / "golden.json", (first, *answers[1:]))
    bundle.write_card(folder, card_of(home))
    refuses(engine, folder, "golden answer 0 is .*it is not served")


def test_altered_weights_under_a_fresh_card_are_refused_by_the_golden_answers(
    home: Path, engine: Engine, tmp_path: Path
) -> None:
    folder = rewritten(home, tmp_path / "x")
    factors = load_file(folder / "adapter.safetensors")
    save_file({key: factor * np.float32(1.01) for key, factor in factors.items()}, folder / "adapter.safetensors")
    bundle.write_card(folder, card_of(home))
    refuses(engine, folder, "golden answer")


def test_a_rank_beyond_the_bank_is_refused(home: Path, engine: Engine, tmp_path: Path) -> None:
    lora = replace(card_of(home).lora, rank=16)
    refuses(engine, rewritten(home, tmp_path / "x", lora=lora), "rank 16 does not fit into a bank of rank 8")


def test_factors_that_do_not_fit_the_card_are_refused(home: Path, engine: Engine, tmp_path: Path) -> None:
    lora = card_of(home).lora
    lower = replace(lora, rank=4)
    refuses(engine, rewritten(home, tmp_path / "rank", lora=lower), r"shape \(8, 24\); wanted \(4, 24\)")
    fewer = replace(lora, targets=lora.targets[:2])
    refuses(engine, rewritten(home, tmp_path / "fewer", lora=fewer), r"which its card does not announce \(8 key")
    folder = rewritten(home, tmp_path / "missing")
    factors = load_file(folder / "adapter.safetensors")
    del factors[min(factors)]
    save_file(factors, folder / "adapter.safetensors")
    bundle.write_card(folder, card_of(home))
    refuses(engine, folder, r"adapter without base_model.*1 key")
    head = replace(lora, targets=(*lora.targets, "classifier"))
    refuses(engine, rewritten(home, tmp_path / "foreign", lora=head), "adapter on classifier, the base's graph")


def test_a_head_over_other_features_is_refused(home: Path, engine: Engine, tmp_path: Path) -> None:
    folder = rewritten(home, tmp_path / "x")
    save_file({"weight": np.zeros((2, 7), np.float32), "bias": np.zeros(2, np.float32)}, folder / "head.safetensors")
    bundle.write_card(folder, card_of(home))
    refuses(engine, folder, r"head over 7 features; this base has \d+")


def test_a_base_whose_graph_is_no_graph_is_refused(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "base.onnx").write_bytes(b"not a graph")
    (folder / "tokenizer.json").write_bytes((home / "base" / "tokenizer.json").read_bytes())
    card = bundle.read_base_card(home / "base")
    bundle.write_card(folder, card)
    with pytest.raises(BundleError, match="onnxruntime cannot open it"):
        Engine(folder, threads=1)
    (folder / "base.onnx").write_bytes((home / "base" / "base.onnx").read_bytes())
    bundle.write_card(folder, replace(card, lora=replace(card.lora, bank_rank=4)))
    with pytest.raises(BundleError, match=r"the graph's input 'bank' is \['N', \d+\]; by the card"):
        Engine(folder, threads=1)
