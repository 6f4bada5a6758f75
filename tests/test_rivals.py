"""The rivals on rows whose answer is known: what they find, repeat, leave out and refuse."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError

from episome import grid, metrics, params
from episome.params import Params
from episome.rivalry import Cnn
from episome.rivals import cnn, lstm, roster, wordvectors
from episome.rivals.roster import NAMES, Name
from episome.rivals.words import codes, words
from episome.sequence import reverse_complement
from episome.types import EpisomeError, Task

ROOT = Path(__file__).resolve().parent.parent
WINDOW = Task(name="toy", scope="window", window=60)
SITE = Task(name="toy", scope="site", window=60, motif="GT")
WHOLE = Task(name="toy", scope="sequence")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def numbers(strand_free: tuple[str, ...] = ()) -> Params:
    """The project's, with small networks and few epochs."""
    chosen = params.read(ROOT / "params.yaml")
    own = chosen.rivals
    small = own.model_copy(
        update={
            "cnn": own.cnn.model_copy(update={"filters": 16, "widths": (9, 5), "epochs": 8, "learning_rate": 1e-2}),
            "lstm": own.lstm.model_copy(update={"hidden": 12, "epochs": 6, "learning_rate": 2e-2, "per_step": 400}),
            "word2vec_nb": own.word2vec_nb.model_copy(update={"size": 12, "epochs": 2}),
        }
    )
    train = chosen.train.model_copy(update={"strand_free": strand_free})
    evaluate = chosen.evaluate.model_copy(update={"baseline_k": 2})
    return chosen.model_copy(update={"rivals": small, "train": train, "evaluate": evaluate})


def rows(n: int, seed: int, mark: Callable[[np.random.Generator, list[str], int], None]) -> pd.DataFrame:
    """Random 60-mers that `mark` tells apart."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    found = []
    for label in labels:
        bases = random.choice(list("ACGT"), 60).tolist()
        mark(random, bases, int(label))
        found.append("".join(bases))
    return pd.DataFrame({"sequence": found, "label_toy": labels.astype(np.int8)})


def gc_rich(random: np.random.Generator, bases: list[str], label: int) -> None:
    share = 0.65 if label else 0.35
    bases[:] = random.choice(list("ACGT"), 60, p=[(1 - share) / 2, share / 2, share / 2, (1 - share) / 2]).tolist()


def motif(random: np.random.Generator, bases: list[str], label: int) -> None:
    """GATTACAGATT anywhere, in positives; a shuffle of it in negatives."""
    at = int(random.integers(0, 49))
    bases[at : at + 11] = list("GATTACAGATT") if label else list(random.permutation(list("GATTACAGATT")))


def either_strand(random: np.random.Generator, bases: list[str], label: int) -> None:
    motif(random, bases, label)
    if random.random() < 0.5:
        bases[:] = list(reverse_complement("".join(bases)))


def central(random: np.random.Generator, bases: list[str], label: int) -> None:
    """GTAAGT at the centre in positives, ten bases before it in negatives, where all that has no place is alike."""
    bases[30:32] = list("GT")
    at = 30 if label else 20
    bases[at : at + 6] = list("GTAAGT")


def nothing(random: np.random.Generator, bases: list[str], label: int) -> None:
    """Says nothing."""


def auroc(name: Name, mark: Callable[..., None], task: Task = WINDOW, strand_free: tuple[str, ...] = ()) -> float:
    """On test rows, after training on 300."""
    fitted = roster.fit(name, rows(300, 0, mark), rows(80, 1, mark), task, seed=3, numbers=numbers(strand_free))
    test = rows(120, 2, mark)
    return metrics.auroc(test["label_toy"], fitted.score(list(test["sequence"])))


@pytest.mark.parametrize("name", NAMES)
def test_composition_is_found_and_the_threshold_calls_it(name: Name) -> None:
    fitted = roster.fit(name, rows(200, 0, gc_rich), rows(80, 1, gc_rich), WINDOW, seed=3, numbers=numbers())
    test = rows(120, 2, gc_rich)
    scores = fitted.score(list(test["sequence"]))
    assert scores.dtype == np.float64
    assert metrics.auroc(test["label_toy"], scores) > 0.95
    assert metrics.mcc(test["label_toy"], scores, fitted.threshold) > 0.75
    assert fitted.seconds > 0
    assert bool(fitted.curve) == (name in {"cnn", "lstm"})


def test_a_planted_word_is_found_by_the_cnn_and_nothing_where_nothing_is() -> None:
    assert auroc("cnn", motif) > 0.9
    assert abs(auroc("cnn", nothing) - 0.5) < 0.15


def test_both_strands_find_what_lies_on_either() -> None:
    assert auroc("cnn", either_strand, strand_free=("toy",)) > 0.85


@pytest.mark.parametrize("name", ["cnn", "lstm"])
def test_sites_are_told_by_what_is_at_the_centre(name: Name) -> None:
    assert auroc(name, central, SITE) > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_a_second_fit_is_equal_to_the_bit(name: Name) -> None:
    learn, judge, test = (rows(60, seed, gc_rich) for seed in range(3))
    first, second = (roster.fit(name, learn, judge, WINDOW, seed=3, numbers=numbers()) for _ in range(2))
    asked = list(test["sequence"])
    np.testing.assert_array_equal(first.score(asked), second.score(asked))
    assert (first.threshold, first.curve) == (second.threshold, second.curve)
    if name != "kmer":
        other = roster.fit(name, learn, judge, WINDOW, seed=4, numbers=numbers())
        assert not np.array_equal(first.score(asked), other.score(asked))


def test_the_other_strand_gets_the_same_answer_to_the_bit_where_strand_is_moot() -> None:
    learn, judge, test = (rows(60, seed, either_strand) for seed in range(3))
    asked = [sequence[: 20 + k] for k, sequence in enumerate(test["sequence"][:40])]
    other = [reverse_complement(sequence) for sequence in asked]
    free, bound = (
        roster.fit("cnn", learn, judge, WINDOW, seed=3, numbers=numbers(named)) for named in (("toy",), ("promoter",))
    )
    np.testing.assert_array_equal(free.score(asked), free.score(other))
    assert not np.allclose(bound.score(asked), bound.score(other))


@pytest.mark.parametrize("name", ["cnn", "lstm"])
@pytest.mark.parametrize("task", [WHOLE, SITE])
def test_batch_mates_of_other_lengths_change_no_answer(name: Name, task: Task) -> None:
    learn, judge, test = (rows(60, seed, gc_rich) for seed in range(3))
    fitted = roster.fit(name, learn, judge, task, seed=3, numbers=numbers())
    asked = [*(sequence[:k] for k, sequence in enumerate(test["sequence"], 1)), "N", "NNNNN", "AC"]
    alone = np.concatenate([fitted.score([sequence]) for sequence in asked])
    np.testing.assert_allclose(fitted.score(asked), alone, atol=1e-5)
    assert np.isfinite(alone).all()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_asked_is_nothing_answered(name: Name) -> None:
    fitted = roster.fit(name, rows(40, 0, gc_rich), rows(20, 1, gc_rich), WINDOW, seed=3, numbers=numbers())
    assert fitted.score([]).shape == (0,)


def test_rows_without_the_label_are_left_out() -> None:
    learn, judge = rows(60, 0, gc_rich), rows(40, 1, gc_rich)
    other = rows(30, 5, nothing).assign(label_toy=np.int8(-1))
    more = pd.concat([learn, other], ignore_index=True)
    first, second = (
        roster.fit("word2vec_nb", each, judge, WINDOW, seed=3, numbers=numbers()) for each in (learn, more)
    )
    np.testing.assert_array_equal(first.score(list(judge["sequence"])), second.score(list(judge["sequence"])))


@pytest.mark.parametrize("name", NAMES)
def test_one_class_alone_is_refused_by_the_name_of_the_task(name: Name) -> None:
    both, one = rows(40, 0, gc_rich), rows(40, 1, gc_rich).assign(label_toy=np.int8(1))
    with pytest.raises(EpisomeError, match=r"task 'toy': 40 training rows, 40 of class 1; wanted both"):
        roster.fit(name, one, both, WINDOW, seed=3, numbers=numbers())
    with pytest.raises(EpisomeError, match=r"task 'toy': 40 validation rows, 40 of class 1; wanted both"):
        roster.fit(name, both, one, WINDOW, seed=3, numbers=numbers())


def test_what_is_not_there_is_refused() -> None:
    both = rows(40, 0, gc_rich)
    with pytest.raises(EpisomeError, match="no rival 'svm'; known: kmer, word2vec_nb, cnn, lstm"):
        roster.fit(cast(Name, "svm"), both, both, WINDOW, seed=3, numbers=numbers())
    with pytest.raises(EpisomeError, match="task 'exon': the training rows have no column label_exon"):
        roster.fit("kmer", both, both, Task(name="exon", scope="sequence"), seed=3, numbers=numbers())


def test_a_network_that_diverges_says_which_number_to_lower() -> None:
    chosen = numbers()
    wild = chosen.rivals.cnn.model_copy(update={"learning_rate": 1e30})
    chosen = chosen.model_copy(update={"rivals": chosen.rivals.model_copy(update={"cnn": wild})})
    with pytest.raises(EpisomeError, match=r"cnn has diverged: .*rivals\.cnn\.learning_rate"):
        roster.fit("cnn", rows(40, 0, gc_rich), rows(40, 1, gc_rich), WINDOW, seed=3, numbers=chosen)


def test_full_fine_tuning_is_for_the_mini_base() -> None:
    chosen = params.read(ROOT / "params.yaml")
    assert any(job.method == "full" for job in grid.waves(chosen, {"human_sim": ["donor"]})[1])
    large = chosen.model_copy(update={"base": chosen.base.model_copy(update={"size": "dnabert2"})})
    with pytest.raises(EpisomeError, match=r"study\.methods: 'full' with base\.size dnabert2: .*117 million"):
        grid.waves(large, {"human_sim": ["donor"]})


def test_a_filter_has_a_middle() -> None:
    shape = numbers().rivals.cnn.model_dump() | {"widths": [8]}
    with pytest.raises(ValidationError, match="wanted an odd number of bases"):
        Cnn.model_validate(shape)


def test_one_hot_is_zero_at_n_and_beyond_the_end() -> None:
    letters, there = cnn.one_hot(["ACGTN", "TT"])
    assert letters[0].T.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert letters[1].T.tolist() == [[0, 0, 0, 1], [0, 0, 0, 1], *([[0, 0, 0, 0]] * 3)]
    assert there[:, 0].tolist() == [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]


def test_words_and_their_numbers() -> None:
    assert words("ACGTNACG", 3) == ["ACG", "CGT", "ACG"]
    assert codes("ACGTNACG", 3).tolist() == [6, 27, -1, -1, -1, 6]
    assert codes("ACGTNACG", 3, 2).tolist() == [6, -1, -1]
    assert codes("AC", 3).tolist() == words("AC", 3) == []
    assert lstm.tokens_of("AC", 3, 1).tolist() == [0]
    assert lstm.tokens_of("AAAAN", 3, 1).tolist() == [1, 1, 0]


@pytest.mark.parametrize(("count", "reach"), [(1, 2), (3, 2), (9, 2), (7, 0), (4, 9)])
def test_window_weights_are_the_mean_of_window_means(count: int, reach: int) -> None:
    values = np.random.default_rng(0).normal(size=count)
    means = [values[max(0, at - reach) : at + reach + 1].mean() for at in range(count)]
    np.testing.assert_allclose(wordvectors.window_weights(count, reach) @ values / count, np.mean(means))
