"""What came out of benchmarks/streams.py, as Markdown.

    python benchmarks/streams_report.py [PROJECT]

Intervals are percentiles of draws of whole homology groups and of seeds, the same draws for all methods. A stream
counts once every method has done every seed of it.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.streams import (
    JOINT,
    METHODS,
    SEEDS,
    STREAMS,
    Lab,
    Run,
    Setting,
    Suite,
    labels_of,
    laboratory,
    matrix,
    read,
)
from episome import metrics, significance, streams
from episome.streams import Floats

DRAWS = 500
Metric = Callable[[Floats], Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A number with its draws.

    Attributes:
        seeds: float64[seeds], means over streams.
        draws: float64[draws].
    """

    seeds: Floats
    draws: Floats

    @property
    def mean(self) -> float:
        return float(self.seeds.mean())

    def shown(self, places: int = 3) -> str:
        low, high = np.nanquantile(self.draws, [0.025, 0.975])
        return f"{self.mean:+.{places}f} [{low:+.{places}f}, {high:+.{places}f}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """AUROC of one method on one stream.

    Attributes:
        exact: float64[seeds, steps, suites].
        drawn: float64[seeds, draws, steps, suites].
    """

    exact: Floats
    drawn: Floats


Table = dict[str, dict[str, Scored]]
"""Stream → method → scores."""


def main(project: Path) -> None:
    """Print all tables of all families."""
    for family in STREAMS:
        runs = [run for run in read(project / f"{family}.jsonl") if run.split == "test"]
        names = complete(family, runs)
        print(f"## {family.capitalize()}\n")
        print("\n".join(tuned(project, family)), end="\n\n")
        if left_out := [name for name in STREAMS[family] if name not in names]:
            print(f"**Not measured: {'; '.join(left_out)}.**\n")
        if not names:
            continue
        table = scored(project, family, runs, names)
        picked = drawn_seeds(len(SEEDS))
        seconds = sum(run.seconds for run in runs if run.stream in names)
        print(f"Seeds {', '.join(map(str, SEEDS))}; {len(names)} streams; {seconds:,.0f} CPU seconds.\n")
        for part in (
            whole(table, picked, {run.method: run.setting for run in runs}),
            lines(table, picked),
            ties(table, picked),
            each(table),
        ):
            print("\n".join(part), end="\n\n")


def tuned(project: Path, family: str) -> Iterator[str]:
    """What each weight kept and learned on the tuning seeds, by validation rows; one row a run as far as they are."""
    yield "| tuning stream, seed | method | λ | share | forgetting | learned |\n|---|---|---|---|---|---|"
    for run in read(project / f"{family}.jsonl"):
        if run.split == "val":
            scores = matrix(laboratory(project, family, run.stream, run.seed, run.split), run)
            said = f"{float(streams.forgetting(scores)):+.3f} | {float(streams.learning(scores)):.3f}"
            yield f"| {run.stream}, {run.seed} | {run.method} | {told(run.setting)} | {said} |"


def complete(family: str, runs: list[Run]) -> list[str]:
    """Streams of which no run is missing."""
    done = {(run.stream, run.method, run.seed) for run in runs}
    wanted = [(method, seed) for method in (*METHODS, JOINT) for seed in SEEDS]
    return [name for name in STREAMS[family] if all((name, *pair) in done for pair in wanted)]


def told(setting: Setting) -> str:
    """λ and share as two cells; one that is off is a dash."""
    return " | ".join(f"{value:g}" if value else "–" for value in setting)


def scored(project: Path, family: str, runs: list[Run], names: list[str]) -> Table:
    """AUROC of all runs, on the rows as they are and on draws of their groups."""
    found = {(run.stream, run.method, run.seed): run for run in runs}
    table: Table = {}
    for name in names:
        lab = laboratory(project, family, name, SEEDS[0], "test")
        drawn = {suite: metrics.draws(lab.rows[suite]["test"]["group"], DRAWS, lab.chosen.seed) for suite in lab.suites}
        table[name] = {}
        for method in (*METHODS, JOINT):
            own = [found[name, method, seed] for seed in SEEDS]
            table[name][method] = Scored(
                exact=np.stack([matrix(lab, run) for run in own]),
                drawn=np.stack([resampled(lab, run, drawn) for run in own]),
            )
    return table


def resampled(lab: Lab, run: Run, drawn: dict[Suite, metrics.Draws]) -> Floats:
    """AUROC float64[draws, steps, suites] of one run."""
    steps = [
        [
            metrics.area_draws(labels_of(lab, suite), np.asarray(own), drawn[suite])[0]
            for suite, own in zip(lab.suites, step, strict=True)
        ]
        for step in run.scores
    ]
    return np.moveaxis(np.array(steps), -1, 0)


def drawn_seeds(count: int) -> Floats:
    """How often each seed is in each draw, as shares: float64[seeds, draws]."""
    picked = np.random.default_rng(0).integers(count, size=(count, DRAWS))
    return np.stack([(picked == seed).mean(axis=0) for seed in range(count)])


def value(
    table: Table, method: str, metric: Callable[[Scored, dict[str, Scored]], tuple[Floats, Floats]], picked: Floats
) -> Value:
    """A metric of one method, mean over streams; `metric` answers float64[seeds] and float64[seeds, draws]."""
    parts = [metric(of[method], of) for of in table.values()]
    exact, drawn = (np.mean([part[k] for part in parts], axis=0) for k in (0, 1))
    return Value(seeds=exact, draws=(drawn * picked).sum(axis=0))


def plain(metric: Metric) -> Callable[[Scored, dict[str, Scored]], tuple[Floats, Floats]]:
    """A metric of R alone."""
    return lambda own, _: (metric(own.exact), metric(own.drawn))


def gain(own: Scored, all_: dict[str, Scored]) -> tuple[Floats, Floats]:
    """Gain on the new suites, counted from what naive had of them the step before."""
    naive = all_["naive"]
    return streams.gain(own.exact, before(naive.exact)), streams.gain(own.drawn, before(naive.drawn))


def before(scores: Floats) -> Floats:
    """R[..., j − 1, j]; of the first, which nobody looks at, R[..., 0, 0]."""
    upper = np.diagonal(scores, offset=1, axis1=-2, axis2=-1)
    return np.concatenate([scores[..., 0, :1], upper], axis=-1)


def forward(own: Scored, _: dict[str, Scored]) -> tuple[Floats, Floats]:
    """Forward transfer; a head that has learned nothing answers 0 to all, which is an AUROC of ½."""
    blind = np.full(own.exact.shape[-1], 0.5)
    return streams.forward_transfer(own.exact, blind), streams.forward_transfer(own.drawn, blind)


def intransigence(own: Scored, all_: dict[str, Scored]) -> tuple[Floats, Floats]:
    """Against the joint training of the same seed."""
    joint = all_[JOINT]
    pairs = ((own.exact, joint.exact), (own.drawn, joint.drawn))
    exact, drawn = (streams.intransigence(scores, best[..., -1, :]) for scores, best in pairs)
    return exact, drawn


def whole(table: Table, picked: Floats, chosen: dict[str, Setting]) -> Iterator[str]:
    """The table of all methods."""
    yield (
        "| method | λ | share | AUROC at the end | BWT | FWT | forgetting | worst task | intransigence "
        "| gain on the new | gain kept |\n|---|---|---|---|---|---|---|---|---|---|---|"
    )
    naive = value(table, "naive", gain, picked)
    for method in METHODS:
        shown = [
            value(table, method, metric, picked).shown()
            for metric in (plain(streams.backward_transfer), forward, plain(streams.forgetting))
        ]
        end, rest = value(table, method, plain(streams.average), picked), value(table, method, gain, picked)
        worst = max(float(streams.worst(of[method].exact.mean(axis=0))) for of in table.values())
        held = value(table, method, intransigence, picked)
        cells = [method, told(chosen[method]), f"{end.mean:.3f}", *shown, f"{worst:+.3f}", held.shown(), rest.shown()]
        yield f"| {' | '.join([*cells, ratio(rest, naive)])} |"
    ends = [of[JOINT].exact[:, -1, :].mean() for of in table.values()]
    yield f"| {JOINT} | – | – | {np.mean(ends):.3f} | – | – | – | – | 0 by definition | – | – |"


def ratio(one: Value, other: Value) -> str:
    """One over the other, in percent."""
    low, high = np.nanquantile(one.draws / other.draws, [0.025, 0.975])
    return f"{100 * one.mean / other.mean:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"


LEAST_KEPT = {"EWC ΔW": 0.6, "EWC ΔW + LwF": 0.6, "EWC ΔW + LwF + replay": 0.8, "full": 1.0}
"""What a guarded retrain is to keep of naive's gain, by what it has of the past."""


def lines(table: Table, picked: Floats) -> Iterator[str]:
    """What was asked for, and whether it holds."""
    yield (
        "| retrain | forgetting ÷ naive's (≤ ⅓) | lower bound of BWT (> −0.02) | gain kept | all three |\n"
        "|---|---|---|---|---|"
    )
    forgot, gained = (value(table, "naive", metric, picked) for metric in (plain(streams.forgetting), gain))
    for method, least in LEAST_KEPT.items():
        back = value(table, method, plain(streams.backward_transfer), picked)
        own, new = value(table, method, plain(streams.forgetting), picked), value(table, method, gain, picked)
        bound = float(np.nanquantile(back.draws, 0.05))
        holds = [own.mean <= forgot.mean / 3, bound > -0.02, new.mean >= least * gained.mean]
        said = [
            f"{text}: {'holds' if good else 'does not hold'}"
            for text, good in zip(
                (ratio(own, forgot), f"{bound:+.3f}", f"{ratio(new, gained)} (≥ {100 * least:.0f} %)"),
                holds,
                strict=True,
            )
        ]
        yield f"| {method} | {' | '.join(said)} | {'yes' if all(holds) else 'no'} |"


def ties(table: Table, picked: Floats) -> Iterator[str]:
    """EWC of ΔW less its rivals."""
    yield (
        "| EWC ΔW less | AUROC at the end | forgetting | gain on the new | p over seeds, of the end |\n"
        "|---|---|---|---|---|"
    )
    for rival in ("L2-SP", "EWC A/B", "naive"):
        found = []
        for metric in (plain(streams.average), plain(streams.forgetting), gain):
            ours, theirs = value(table, "EWC ΔW", metric, picked), value(table, rival, metric, picked)
            found.append(Value(seeds=ours.seeds - theirs.seeds, draws=ours.draws - theirs.draws))
        flipped = significance.sign_flip(found[0].seeds)
        told = f"{flipped.p:.3f} (least {flipped.smallest:.3f})"
        yield f"| {rival} | {' | '.join(each.shown() for each in found)} | {told} |"


def each(table: Table) -> Iterator[str]:
    """Every step of every stream: what the suites before lost by it, and what the new one gained."""
    yield (
        "Mean over seeds: AUROC that the suites before lost in a step / that the new one gained in it.\n\n"
        f"| stream | step | AUROC before | {' | '.join(METHODS)} |\n|---|---|---|{'---|' * len(METHODS)}"
    )
    for name, of in table.items():
        suites = next(found[name] for found in STREAMS.values() if name in found)
        for step in range(1, len(suites)):
            kind = "new task" if suites[step].task not in {suite.task for suite in suites[:step]} else "new release"
            start = of["naive"].exact.mean(axis=0)
            cells = []
            for method in METHODS:
                own = of[method].exact.mean(axis=0)
                lost = float((own[step - 1, :step] - own[step, :step]).mean())
                cells.append(f"{lost:+.3f} / {own[step, step] - start[step - 1, step]:+.3f}")
            had = f"{start[step - 1, :step].mean():.3f} / {start[step - 1, step]:.3f}"
            to = f"{suites[step].species} {suites[step].task}"
            yield f"| {name} | {kind}: {to} | {had} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main(Path(dict(enumerate(sys.argv)).get(1, "build/streams")))
