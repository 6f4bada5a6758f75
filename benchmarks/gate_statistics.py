"""How often the gate accepts a version that changed nothing, and one that lost exactly what may not be lost.

python benchmarks/gate_statistics.py [REPETITIONS]; numbers of params.yaml, prints a Markdown table.

Simulated are two versions of one model on the same rows, by the latent score behind each call: a centre by class, and
noise that the two versions share up to a correlation. *No change* is not the same answers: it is two versions as good
as each other whose answers differ by noise, here in the share `gate.max_flips` of the calls, the most that the gate
lets pass on the golden sequences. *The margin lost* is the same noise with the second version's centre moved until its
true MCC is `gate.max_loss_mcc` lower. Rows come in homology clusters of one label whose noise, and whose change of
noise, is correlated; that correlation is `homology.identity`, as if answers were as alike as sequences.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import multivariate_normal, norm

from episome import gate, params
from episome.gate import Limits, Scored, Suite
from pipelines import gate as stage

ROWS = 2000
CLUSTER = 10
MCC = 0.64
"""Of the champion: the mean over the eight test sets of docs/benchmarks.md."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is simulated.

    Attributes:
        rows: of the suite.
        cluster: rows of a homology cluster, all of one label.
        correlation: of the noise of two rows of a cluster.
        flips: share of the rows that two versions call otherwise when neither is better.
        mcc: of the champion.
    """

    rows: int = ROWS
    cluster: int = CLUSTER
    correlation: float
    flips: float
    mcc: float = MCC


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Share of the repetitions in which the challenger was accepted, and its standard error."""

    accepted: float
    error: float


def centre(mcc: float) -> float:
    """Distance of each class from the threshold, in standard deviations, that gives this MCC with classes of a size."""
    return float(norm.ppf((1 + mcc) / 2))


@cache
def shared(world: World) -> float:
    """Correlation of two versions' noise at which the share `flips` of the calls differs."""
    middle, wrong = centre(world.mcc), (1 - world.mcc) / 2

    def excess(correlation: float) -> float:
        both = multivariate_normal(cov=[[1, correlation], [correlation, 1]]).cdf([-middle, -middle])
        return float(2 * (wrong - both) - world.flips)

    return float(brentq(excess, 0.0, 1 - 1e-9))


def suite(
    world: World, lost: float, random: np.random.Generator
) -> tuple[NDArray[np.int_], NDArray[np.int_], Scored, Scored]:
    """Labels, clusters, champion and challenger of one drawn suite; the challenger's true MCC is `lost` lower."""
    clusters = np.repeat(np.arange(world.rows // world.cluster), world.cluster)
    labels = (random.permutation(clusters[-1] + 1) % 2)[clusters]
    side, alike = 2 * labels - 1, shared(world)
    first = _noise(world, clusters, random)
    second = alike * first + np.sqrt(1 - alike**2) * _noise(world, clusters, random)
    champion = Scored(probabilities=centre(world.mcc) * side + first, threshold=0.0)
    challenger = Scored(probabilities=centre(world.mcc - lost) * side + second, threshold=0.0)
    return labels, clusters, champion, challenger


def _noise(world: World, clusters: NDArray[np.int_], random: np.random.Generator) -> NDArray[np.float64]:
    """Standard normal, correlated within clusters."""
    common = random.standard_normal(clusters[-1] + 1)[clusters]
    own = random.standard_normal(len(clusters))
    return np.sqrt(world.correlation) * common + np.sqrt(1 - world.correlation) * own


def accepted(
    world: World, limits: Limits, *, lost: float, repetitions: int, whole_clusters: bool = True, seed: int = 0
) -> Rates:
    """How often `gate.compare` accepts the challenger.

    Args:
        world: what is simulated.
        limits: of the gate.
        lost: true MCC that the challenger lost.
        repetitions: suites drawn.
        whole_clusters: False: the ordinary bootstrap, which draws rows.
        seed: of everything drawn; the same suites for every kind of bootstrap.
    """
    everything = Suite(name="suite", rows=np.ones(world.rows, bool))
    passed = 0
    for repetition in range(repetitions):
        labels, clusters, old, new = suite(world, lost, np.random.default_rng([seed, repetition]))
        groups = clusters if whole_clusters else np.arange(world.rows)
        passed += gate.compare(everything, labels, groups, old, new, replace(limits, seed=repetition)).passed
    share = passed / repetitions
    return Rates(accepted=share, error=float(np.sqrt(share * (1 - share) / repetitions)))


def lines(chosen: params.Params, repetitions: int) -> Iterator[str]:
    """The table, a line at a time."""
    limits = stage.limits(chosen)
    clustered = World(correlation=chosen.homology.identity, flips=chosen.gate.max_flips)
    head = ("rows", "clusters of", "correlation", "flips", "bootstrap of", "confidence")
    yield f"| {' | '.join(head)} | no change: rejected | margin lost: accepted |"
    yield "|" + "---|" * (len(head) + 2)
    rows = f"rows ({repetitions // 4} repetitions)"
    for world, confidence, drawn in (
        (clustered, limits.confidence, "clusters"),
        (clustered, 0.95, "clusters"),
        (clustered, limits.confidence, rows),
        (clustered, 0.95, rows),
        (replace(clustered, rows=1000), limits.confidence, "clusters"),
        (replace(clustered, rows=500), limits.confidence, "clusters"),
        (replace(clustered, flips=2 * clustered.flips), limits.confidence, "clusters"),
        (replace(clustered, correlation=0.0), limits.confidence, "clusters"),
        (replace(clustered, correlation=1.0), limits.confidence, "clusters"),
    ):
        whole = drawn == "clusters"
        kept, let_through = (
            accepted(
                world,
                replace(limits, confidence=confidence),
                lost=lost,
                repetitions=repetitions if whole else repetitions // 4,
                whole_clusters=whole,
            )
            for lost in (0.0, limits.max_loss)
        )
        about = (world.rows, world.cluster, f"{world.correlation:.1f}", f"{world.flips:.0%}", drawn, confidence)
        yield (
            f"| {' | '.join(map(str, about))} | "
            f"{1 - kept.accepted:.1%} ± {kept.error:.1%} | {let_through.accepted:.1%} ± {let_through.error:.1%} |"
        )


def main() -> None:
    """Print the table."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    for line in lines(params.read(), repetitions):
        print(line, flush=True)


if __name__ == "__main__":
    main()
