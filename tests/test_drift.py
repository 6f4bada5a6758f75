"""The drift profile: identities of the Markov model, the verdicts of `match`, and the file."""

import math
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from episome import drift
from episome.sequence import reverse_complement
from episome.types import EpisomeError


def dna(seed: int, length: int, weights: tuple[float, float, float, float] = (0.25, 0.25, 0.25, 0.25)) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), size=length, p=weights))


AT_RICH = (0.35, 0.15, 0.15, 0.35)
GC_RICH = (0.15, 0.35, 0.35, 0.15)


@pytest.fixture(scope="module")
def profiles() -> dict[str, drift.Profile]:
    return {
        "low": drift.fit([dna(seed, 400, AT_RICH) for seed in range(100)]),
        "high": drift.fit([dna(seed, 400, GC_RICH) for seed in range(100, 200)]),
    }


def test_rows_of_the_model_are_distributions(profiles: dict[str, drift.Profile]) -> None:
    table = profiles["low"].transitions
    assert table.shape == (1024, 4)
    assert table.dtype == np.float32
    np.testing.assert_allclose(np.exp(table.astype(float)).sum(axis=1), 1, atol=1e-6)


def test_a_single_base_is_counted_on_both_strands_with_half_a_pseudo_count() -> None:
    # AAAAAA holds one 6-mer; its other strand is TTTTTT. After AAAAA: A 1.5, the others 0.5 each.
    table = drift.fit(["AAAAAA"]).transitions
    np.testing.assert_allclose(table[0], np.log([1.5 / 3, 0.5 / 3, 0.5 / 3, 0.5 / 3]), rtol=1e-6)
    np.testing.assert_allclose(table[1023], np.log([0.5 / 3, 0.5 / 3, 0.5 / 3, 1.5 / 3]), rtol=1e-6)
    np.testing.assert_allclose(table[1:1023], math.log(0.25), rtol=1e-6)


def test_an_asymmetric_sixmer_lands_in_its_reverse_complement_cell() -> None:
    # AACGTC -> reverse complement GACGTT; contexts AACGT (27) and GACGT (539).
    table = drift.fit(["AACGTC"]).transitions
    assert table[0 * 256 + 0 * 64 + 1 * 16 + 2 * 4 + 3].argmax() == 1
    assert table[2 * 256 + 0 * 64 + 1 * 16 + 2 * 4 + 3].argmax() == 3


def test_profile_does_not_depend_on_strand_or_order() -> None:
    sequences = [dna(seed, 120) + "N" * (seed % 3) for seed in range(20)]
    plain = drift.fit(sequences)
    turned = drift.fit([reverse_complement(s) for s in reversed(sequences)])
    np.testing.assert_array_equal(plain.transitions, turned.transitions)
    assert (plain.gc_mean, plain.gc_sd, plain.n_share_mean) == (turned.gc_mean, turned.gc_sd, turned.n_share_mean)


def test_statistics_are_those_of_the_sequences() -> None:
    profile = drift.fit(["GGGGGGGG", "AAAAAAAA", "GGAANNNN", "NNNNNNNNNNNN"])
    assert profile.records == 4
    assert profile.gc_mean == pytest.approx(0.5)
    assert profile.gc_sd == pytest.approx(np.std([1, 0, 0.5]))
    assert profile.n_share_mean == pytest.approx((0.5 + 1) / 4)
    assert profile.length_quantiles[0] == 8
    assert profile.length_quantiles[-1] == 12


@pytest.mark.parametrize("sequences", [[], ["NNNN"]])
def test_fit_refuses_what_has_no_base(sequences: list[str]) -> None:
    with pytest.raises(EpisomeError, match="none with a base other than N"):
        drift.fit(sequences)


def test_likelihood_is_the_chain_rule_written_out(profiles: dict[str, drift.Profile]) -> None:
    sequence = dna(3, 60)
    table = profiles["low"].transitions
    by_hand = 0.0
    for at in range(5, len(sequence)):
        context = 0
        for base in sequence[at - 5 : at]:
            context = context * 4 + "ACGT".index(base)
        by_hand += float(table[context, "ACGT".index(sequence[at])])
    assert drift.log_likelihood(profiles["low"], sequence) == pytest.approx(by_hand, rel=1e-9)


def test_an_n_drops_exactly_the_sixmers_it_touches(profiles: dict[str, drift.Profile]) -> None:
    left, right = dna(4, 50), dna(5, 50)
    profile = profiles["high"]
    apart = drift.log_likelihood(profile, left) + drift.log_likelihood(profile, right)
    assert drift.log_likelihood(profile, left + "N" + right) == pytest.approx(apart)


@pytest.mark.parametrize("sequence", ["", "A", "ACGTA", "NNNNNNNNNN"])
def test_without_a_sixmer_the_likelihood_is_zero(profiles: dict[str, drift.Profile], sequence: str) -> None:
    assert drift.log_likelihood(profiles["low"], sequence) == 0


def test_own_other_and_unclear_sequences(profiles: dict[str, drift.Profile]) -> None:
    own = drift.match(dna(900, 300, AT_RICH), "low", profiles, 10)
    other = drift.match(dna(901, 300, GC_RICH), "low", profiles, 10)
    unclear = drift.match(dna(902, 300, AT_RICH), "low", profiles, 1000)
    assert (own.status, own.best_species) == ("match", "low")
    assert (other.status, other.best_species) == ("mismatch", "high")
    assert own.margin_nats > 10
    assert other.margin_nats < -10
    assert unclear.status == "undecided"


def test_margin_is_the_difference_of_likelihoods_and_turns_with_own(profiles: dict[str, drift.Profile]) -> None:
    sequence = dna(7, 300, AT_RICH)
    difference = drift.log_likelihood(profiles["low"], sequence) - drift.log_likelihood(profiles["high"], sequence)
    assert drift.match(sequence, "low", profiles, 10).margin_nats == pytest.approx(difference)
    assert drift.match(sequence, "high", profiles, 10).margin_nats == pytest.approx(-difference)


def test_a_long_sequence_counts_as_its_average_stretch_of_training_length(profiles: dict[str, drift.Profile]) -> None:
    assert profiles["low"].length_quantiles[-1] == 400
    unit = dna(15, 395, GC_RICH)
    once, often = (
        drift.match(unit + unit[:5], "low", profiles, 10),
        drift.match(unit * 40 + unit[:5], "low", profiles, 10),
    )
    assert often.margin_nats == pytest.approx(once.margin_nats)
    whole = drift.log_likelihood(profiles["low"], unit * 40) - drift.log_likelihood(profiles["high"], unit * 40)
    assert whole < 39 * once.margin_nats


def test_the_shorter_of_the_two_training_lengths_is_the_measure(profiles: dict[str, drift.Profile]) -> None:
    short = drift.fit([dna(seed, 200, GC_RICH) for seed in range(100, 300)])
    sequence = dna(16, 395, GC_RICH)
    whole = drift.log_likelihood(profiles["low"], sequence) - drift.log_likelihood(short, sequence)
    answer = drift.match(sequence, "low", {"low": profiles["low"], "short": short}, 10)
    assert answer.margin_nats == pytest.approx(whole * (200 - 5) / (395 - 5))


def test_verdict_changes_exactly_beyond_the_asked_nats(profiles: dict[str, drift.Profile]) -> None:
    sequence = dna(8, 300, GC_RICH)
    margin = drift.match(sequence, "low", profiles, 10).margin_nats
    assert drift.match(sequence, "low", profiles, -margin).status == "undecided"
    assert drift.match(sequence, "low", profiles, -margin - 1e-6).status == "mismatch"


def test_either_strand_gets_the_same_verdict(profiles: dict[str, drift.Profile]) -> None:
    for seed, weights in ((10, AT_RICH), (11, GC_RICH)):
        sequence = dna(seed, 300, weights)
        one = drift.match(sequence, "low", profiles, 10)
        two = drift.match(reverse_complement(sequence), "low", profiles, 10)
        assert one.status == two.status
        # A chain scores its first five bases only as context, so the strands differ by what those and the last
        # five weigh: ten bases of at most log(0.35 / 0.15) nats here.
        assert abs(one.margin_nats - two.margin_nats) < 10 * math.log(0.35 / 0.15)


def test_short_sequences_are_undecided(profiles: dict[str, drift.Profile]) -> None:
    sequence = dna(12, 60, GC_RICH)
    assert drift.match(sequence, "low", profiles, 1).status == "mismatch"
    assert drift.match(sequence[:59], "low", profiles, 1).status == "undecided"
    assert drift.match("N" * 500 + sequence[:59], "low", profiles, 1).status == "undecided"


def test_best_species_is_the_best_of_many(profiles: dict[str, drift.Profile]) -> None:
    flat = drift.fit([dna(seed, 400) for seed in range(300, 400)])
    answer = drift.match(dna(13, 400), "low", {**profiles, "flat": flat}, 5)
    assert (answer.status, answer.best_species) == ("mismatch", "flat")


def test_alone_no_verdict_is_possible(profiles: dict[str, drift.Profile]) -> None:
    assert drift.match(dna(1, 300), "low", {"low": profiles["low"]}, 10) == drift.Match(
        status="undecided", best_species="low", margin_nats=0.0
    )


def test_own_species_needs_a_profile(profiles: dict[str, drift.Profile]) -> None:
    with pytest.raises(EpisomeError, match="no drift profile for 'fly'; profiles: high, low"):
        drift.match("ACGT", "fly", profiles, 10)


def test_file_gives_the_profile_back_and_its_bytes_depend_on_values_alone(
    tmp_path: Path, profiles: dict[str, drift.Profile]
) -> None:
    first, second = tmp_path / "drift.npz", tmp_path / "again.npz"
    drift.save(first, profiles["low"])
    loaded = drift.load(first)
    drift.save(second, loaded)
    assert first.read_bytes() == second.read_bytes()
    np.testing.assert_array_equal(loaded.transitions, profiles["low"].transitions)
    np.testing.assert_array_equal(loaded.length_quantiles, profiles["low"].length_quantiles)
    for name in ("gc_mean", "gc_sd", "n_share_mean", "records"):
        assert getattr(loaded, name) == getattr(profiles["low"], name)
    with zipfile.ZipFile(first) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_load_names_the_missing_array(tmp_path: Path, profiles: dict[str, drift.Profile]) -> None:
    path = tmp_path / "drift.npz"
    np.savez(path, transitions=profiles["low"].transitions)
    with pytest.raises(EpisomeError, match=r"length_quantiles should be finite float64\[9\], came nothing"):
        drift.load(path)


def test_load_refuses_wrong_shape_and_pickles(tmp_path: Path) -> None:
    path = tmp_path / "drift.npz"
    np.savez(path, transitions=np.zeros((4, 4), dtype=np.float32))
    with pytest.raises(EpisomeError, match=r"transitions should be finite float32\[1024, 4\], came float32\[4, 4\]"):
        drift.load(path)
    np.savez(path, transitions=np.asarray([{"a": 1}], dtype=object))
    with pytest.raises(EpisomeError, match="not a drift profile"):
        drift.load(path)


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04 cut", b"\x93NUMPY\x01\x00"])
def test_load_refuses_damage(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "drift.npz"
    path.write_bytes(content)
    with pytest.raises(EpisomeError, match="not a drift profile"):
        drift.load(path)


def test_load_notices_a_flipped_byte(tmp_path: Path, profiles: dict[str, drift.Profile]) -> None:
    path = tmp_path / "drift.npz"
    drift.save(path, profiles["low"])
    content = bytearray(path.read_bytes())
    content[4000] ^= 1
    path.write_bytes(content)
    with pytest.raises(EpisomeError, match="not a drift profile"):
        drift.load(path)


def test_load_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(EpisomeError, match=r"absent\.npz"):
        drift.load(tmp_path / "absent.npz")


def test_one_verdict_is_cheap_enough_for_the_request_path(profiles: dict[str, drift.Profile]) -> None:
    five = {f"s{i}": profiles["low" if i % 2 else "high"] for i in range(5)}
    sequence = dna(14, 300)
    took = []
    for _ in range(200):
        start = time.perf_counter()
        drift.match(sequence, "s0", five, 10)
        took.append(time.perf_counter() - start)
    # The aim is 100 µs; the median of many leaves room for a busy machine.
    assert sorted(took)[100] < 500e-6
