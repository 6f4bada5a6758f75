"""The simulation behind docs/benchmarks.md, with few repetitions and bounds that chance rarely crosses."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import gate_statistics as statistics
from benchmarks.gate_statistics import World, accepted
from episome import metrics
from episome.gate import Limits

LIMITS = Limits(max_loss=0.03, min_rows=40, confidence=0.97, bootstrap=150, seed=7)
HOMOLOGOUS = World(correlation=0.8, flips=0.02)
COPIES = World(correlation=1.0, flips=0.02)


def test_what_is_simulated_is_what_is_said() -> None:
    world = replace(HOMOLOGOUS, rows=200_000)
    labels, clusters, old, new = statistics.suite(world, 0.0, np.random.default_rng(1))
    _, _, _, worse = statistics.suite(world, 0.03, np.random.default_rng(1))
    scores = [metrics.mcc(labels, version.probabilities, 0.0) for version in (old, new, worse)]
    assert scores == pytest.approx([0.64, 0.64, 0.61], abs=0.01)
    assert (old.calls() != new.calls()).mean() == pytest.approx(0.02, abs=0.003)
    assert np.unique(clusters).size == 20_000
    assert all(np.unique(labels[clusters == cluster]).size == 1 for cluster in range(50))
    noise = (old.probabilities - statistics.centre(0.64) * (2 * labels - 1)).reshape(-1, 10)
    assert np.corrcoef(noise[:, 0], noise[:, 1])[0, 1] == pytest.approx(0.8, abs=0.02)


def test_a_version_that_changed_nothing_is_mostly_accepted() -> None:
    assert accepted(HOMOLOGOUS, LIMITS, lost=0.0, repetitions=40).accepted >= 0.85


def test_a_loss_of_the_margin_is_rarely_accepted_and_a_larger_one_hardly_ever() -> None:
    assert accepted(HOMOLOGOUS, LIMITS, lost=0.03, repetitions=60).accepted <= 0.15
    assert accepted(HOMOLOGOUS, LIMITS, lost=0.08, repetitions=20).accepted == 0


def test_drawing_rows_instead_of_clusters_lets_losses_through() -> None:
    rows, clusters = (
        accepted(COPIES, LIMITS, lost=0.03, repetitions=40, whole_clusters=whole).accepted for whole in (False, True)
    )
    assert rows > 0.15
    assert clusters <= 0.15
