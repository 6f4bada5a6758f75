"""Streams of retrains: what each guard and each memory keeps of the old and learns of the new.

    python benchmarks/streams.py [PROJECT] [FAMILY]

PROJECT is what benchmarks/streams_world.py has written (build/streams unless told), FAMILY ``simulated`` or ``real``
(both unless told). A stream learns its suites (one task of one species each) one after the other with one adapter and
one head row a task; heads see the encoder alone. Settings of the methods are chosen on `TUNING`, by validation rows;
what is reported is of `SEEDS`, which are others, and of test rows. A line of JSON is added to
PROJECT/FAMILY.jsonl as each run ends; a benchmark that was stopped goes on behind the last.
benchmarks/streams_report.py prints what came out.
"""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from itertools import product, starmap
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from episome import adapting, coreset, dataset, ewc, grid, guard, metrics, params, retraining, start, streams, train
from episome.alternatives import HEAD_ONLY
from episome.classifier import Classifier
from episome.dataset import MISSING
from episome.learning import Guard, Past, Train
from episome.params import Params

Split = Literal["val", "test"]
Scores = list[list[list[float]]]
"""Logits, [step][suite][row]."""


class Setting(NamedTuple):
    """What a method leaves to choose: weight of its guard, and what its coreset counts in a step."""

    weight: float = 0.0
    share: float = 0.0


Key = tuple[str, str, Setting, int, Split]


class Suite(NamedTuple):
    """Rows of one task of one species."""

    species: str
    task: str


def _there_and_back(first: str, second: str) -> tuple[Suite, ...]:
    """A release of the other species, a new task in that, and a release of the first one for the new task."""
    return Suite(first, "tis"), Suite(second, "tis"), Suite(second, "promoter"), Suite(first, "promoter")


STREAMS: dict[str, dict[str, tuple[Suite, ...]]] = {
    "simulated": {
        "human first": _there_and_back("human_sim", "fly_sim"),
        "fly first": _there_and_back("fly_sim", "human_sim"),
    },
    "real": {
        f"{species}: {first} → {second}": (Suite(species, first), Suite(species, second))
        for species in ("human", "mouse", "zebrafish", "fly")
        for first, second in (("promoter", "csorf"), ("csorf", "promoter"))
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How a retrain is done.

    Attributes:
        guard: as `Train.guard`; the other numbers likewise.
        memory: as `Train.memory`; the coreset is of `CORESET` rows a class and task.
        answers: as `Train.lwf_lambda`.
        head_only: the adapter stays as the first suite left it.
        weights: of the guard, to choose from.
        shares: likewise of the coreset, as `Train.replay_share`.
    """

    guard: Guard = "none"
    memory: Past = "none"
    answers: float = 0.0
    head_only: bool = False
    weights: tuple[float, ...] = (0.0,)
    shares: tuple[float, ...] = (0.0,)

    @property
    def settings(self) -> list[Setting]:
        """All that there is to choose from."""
        return list(starmap(Setting, product(self.weights, self.shares)))

    def numbers(self, defaults: Train, setting: Setting, epochs: int) -> Train:
        """Numbers of params.yaml but for what the benchmark sets."""
        about: dict[str, object] = {
            "learning_rate": RATE,
            "head_learning_rate": RATE,
            "epochs": epochs,
            "fisher_rows": FISHER_ROWS if self.guard.startswith("ewc") else 1,  # others do not look at it
            "guard": self.guard,
            "ewc_lambda": setting.weight,
            "ewc_kl_budget": None,
            "memory": self.memory,
            "coreset_per_class": CORESET,
            "replay_share": setting.share,
            "lwf_lambda": self.answers,
        }
        return defaults.model_copy(update=about)


SHARES = (0.05, 0.15, 0.5)
METHODS: dict[str, Method] = {
    "naive": Method(),
    "head only": Method(head_only=True),
    "L2-SP": Method(guard="l2sp", weights=(0.01, 0.03, 0.1)),
    "EWC A/B": Method(guard="ewc_factors", weights=(30.0, 100.0, 300.0)),
    "EWC ΔW": Method(guard="ewc", weights=(300.0, 1e3, 3e3)),
    "EWC ΔW + LwF": Method(guard="ewc", answers=1.0, weights=(30.0, 300.0)),
    "replay": Method(memory="coreset", shares=SHARES),
    "EWC ΔW + replay": Method(guard="ewc", memory="coreset", shares=SHARES, weights=(300.0, 1e3)),
    "EWC ΔW + LwF + replay": Method(guard="ewc", memory="coreset", answers=1.0, shares=SHARES, weights=(30.0, 300.0)),
    "full": Method(guard="ewc", memory="full", weights=(3.0, 30.0)),
}
JOINT = "joint"
"""One training on the rows of all suites; no stream."""

SEEDS = (11, 12, 13, 14, 15)
TUNING: dict[str, tuple[tuple[str, int], ...]] = {
    "simulated": (("human first", 1), ("fly first", 2)),
    "real": (("human: promoter → csorf", 1), ("human: csorf → promoter", 2)),
}
"""Streams and seeds on which the weights are chosen."""
ROWS = {
    "simulated": {"train": 400, "val": 150, "test": 400},
    "real": {"train": 300, "val": 150, "test": 400},
}
"""At most, of every suite."""
CORES, CORE = {Suite("human_sim", "promoter"), Suite("fly_sim", "promoter")}, slice(90, 210)
"""Of 300 bases, the middle 120: the base is too small to find a core promoter in the mean of all of them."""
CORESET = 25  # rows of a class of a task
EPOCHS = {"first": 5, "then": 4}
RATE = 5e-3
FISHER_ROWS = 200
FORGOTTEN = 0.25  # of what naive forgets; the weight that is chosen may not lose more on validation rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One stream by one method.

    Attributes:
        scores: logits of the suites' rows, [step][suite][row]; of ``joint`` one step.
        seconds: CPU time of the retrains and their Fisher information.
    """

    stream: str
    method: str
    weight: float
    share: float
    seed: int
    split: Split
    scores: Scores = field(repr=False)
    seconds: float

    @property
    def setting(self) -> Setting:
        return Setting(self.weight, self.share)

    @property
    def key(self) -> Key:
        return self.stream, self.method, self.setting, self.seed, self.split


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """What all runs of one stream and seed share; row frames by suite."""

    name: str
    chosen: Params
    base: Path
    suites: tuple[Suite, ...]
    rows: dict[Suite, dict[str, pd.DataFrame]]
    seed: int
    split: Split

    @property
    def tasks(self) -> list[str]:
        """In the order in which they are learned, which is that of the head's rows."""
        return list(dict.fromkeys(suite.task for suite in self.suites))

    def known(self, step: int) -> int:
        """Head rows that have learned something after a step."""
        return len({suite.task for suite in self.suites[: step + 1]})


@dataclass(frozen=True, slots=True, kw_only=True)
class First:
    """What stands after the first suite: weights, what mattered to them, and how they answer."""

    weights: dict[str, torch.Tensor]
    state: ewc.Fisher
    scores: list[list[float]]


def main(project: Path, family: str) -> None:
    """Run what is missing of a family's streams, first the tuning."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    path = project / f"{family}.jsonl"
    done = {run.key for run in read(path)}
    tried = [(method, each) for method, of in METHODS.items() for each in of.settings if len(of.settings) > 1]
    for name, seed in TUNING[family]:
        append(path, perform(laboratory(project, family, name, seed, "val"), [("naive", Setting()), *tried], done))
    chosen = choose(read(path), project, family)
    print(f"{family}: chosen: {chosen}", file=sys.stderr, flush=True)
    for name in STREAMS[family]:
        for seed in SEEDS:
            lab = laboratory(project, family, name, seed, "test")
            append(path, perform(lab, [*chosen.items(), (JOINT, Setting())], done))


def perform(lab: Lab, wanted: list[tuple[str, Setting]], done: set[Key]) -> Iterator[Run]:
    """The runs of one stream and seed that are not done yet; the first suite is learned once for all."""
    missing = [
        (method, setting) for method, setting in wanted if (lab.name, method, setting, lab.seed, lab.split) not in done
    ]
    first = learned(lab) if missing else None
    for method, setting in missing:
        began = time.process_time()
        scores = joint(lab) if method == JOINT or first is None else follow(lab, first, METHODS[method], setting)
        yield Run(
            stream=lab.name,
            method=method,
            weight=setting.weight,
            share=setting.share,
            seed=lab.seed,
            split=lab.split,
            scores=rounded(scores),
            seconds=round(time.process_time() - began, 2),
        )


def laboratory(project: Path, family: str, name: str, seed: int, split: Split) -> Lab:
    """Rows of a stream: those trained on drawn by `seed`, those judged on the same for all seeds."""
    chosen, suites = _params(project / "params.yaml"), STREAMS[family][name]
    rows = {}
    for suite in suites:
        there = rows_of(project, suite)
        rows[suite] = {
            part: drawn(there[there["split"] == part], most, seed if part == "train" else chosen.seed)
            for part, most in ROWS[family].items()
        }
    return Lab(name=name, chosen=chosen, base=project / "models/base", suites=suites, rows=rows, seed=seed, split=split)


_params = cache(params.read)


@cache
def rows_of(project: Path, suite: Suite) -> pd.DataFrame:
    """Rows labelled for the suite's task, with no other label."""
    rows = dataset.read(project / "data/windows" / suite.species / "rows.parquet")
    own = dataset.label_column(suite.task)
    others = [dataset.label_column(task) for task in dataset.tasks(rows) if task != suite.task]
    asked = rows[rows[own] >= 0].drop(columns=others)
    return asked.assign(sequence=asked["sequence"].str[CORE]) if suite in CORES else asked


def drawn(rows: pd.DataFrame, most: int, seed: int) -> pd.DataFrame:
    """At most so many rows, classes in their shares, in their order."""
    return rows.iloc[np.sort(grid.ranked(rows, seed)[:most])]


def learned(lab: Lab) -> First:
    """The first suite, learned from nothing."""
    subject, numbers = fresh(lab), Method().numbers(lab.chosen.train, Setting(), EPOCHS["first"])
    fitting, judging = (subject.examples(rows_of_all(lab, lab.suites[:1], split)) for split in ("train", "val"))
    retraining.followed("", train.fit(subject, fitting, judging, numbers, seed=lab.seed))
    # by factors too, so that one Fisher does for every guard
    state = guard.fisher(
        subject, fitting, Method(guard="ewc_factors").numbers(lab.chosen.train, Setting(), 0), lab.seed
    )
    return First(weights=start.weights(subject), state=state, scores=answers(subject, lab))


def follow(lab: Lab, first: First, method: Method, setting: Setting) -> Scores:
    """Scores after every step of a stream by one method."""
    subject, state, scores = fresh(lab), first.state, [first.scores]
    subject.load_state_dict(first.weights, strict=False)
    numbers = method.numbers(lab.chosen.train, setting, EPOCHS["then"])
    for step in range(1, len(lab.suites)):
        past, new = lab.suites[:step], lab.suites[step : step + 1]
        if method.head_only:
            fitting, judging = (subject.examples(rows_of_all(lab, new, split)) for split in ("train", "val"))
            retraining.followed("", train.fit(subject, fitting, judging, numbers, seed=lab.seed, pace=HEAD_ONLY))
        else:
            champion = retraining.Champion(
                classifier=subject,
                state=of_tasks(state, lab.known(step - 1)),
                releases=frozenset(map(release, past)),
                coreset=coreset.choose(rows_of_all(lab, past, "train"), CORESET, lab.seed),
            )
            held = past if method.memory == "full" else ()
            rows = pd.concat([rows_of_all(lab, (*held, *new), split) for split in ("train", "val")], ignore_index=True)
            state = retraining.retrain(champion, rows, numbers, seed=lab.seed).state
        scores.append(answers(subject, lab))
    return scores


def joint(lab: Lab) -> Scores:
    """Scores of one training from nothing on the rows of all suites."""
    subject, numbers = fresh(lab), Method().numbers(lab.chosen.train, Setting(), EPOCHS["first"])
    fitting, judging = (subject.examples(rows_of_all(lab, lab.suites, split)) for split in ("train", "val"))
    retraining.followed("", train.fit(subject, fitting, judging, numbers, seed=lab.seed))
    return [answers(subject, lab)]


def of_tasks(state: ewc.Fisher, known: int) -> ewc.Fisher:
    """Without the head rows that have learned nothing yet."""
    return replace(state, head_weight=state.head_weight[:known], head_bias=state.head_bias[:known])


def fresh(lab: Lab) -> Classifier:
    """Base, zero adapter, empty head of all tasks of the stream."""
    chosen = lab.chosen.model_copy(update={"head": lab.chosen.study.head})
    return adapting.untaught(chosen, [chosen.task(name) for name in lab.tasks], lab.base, lab.seed)


def rows_of_all(lab: Lab, suites: tuple[Suite, ...], split: str) -> pd.DataFrame:
    """Rows of several suites together; a row says nothing of the others' tasks."""
    columns = [dataset.label_column(task) for task in lab.tasks]
    rows = pd.concat([lab.rows[suite][split].assign(release=release(suite)) for suite in suites], ignore_index=True)
    return rows.assign(
        **{name: rows[name].fillna(MISSING).astype("int8") if name in rows else MISSING for name in columns}
    )


def release(suite: Suite) -> str:
    """Name of a suite's rows as a release."""
    return f"{suite.species} {suite.task}"


def answers(subject: Classifier, lab: Lab) -> list[list[float]]:
    """Logits of the judged rows of each suite for its own task."""
    return [
        subject.logits(subject.examples(rows_of_all(lab, (suite,), lab.split)))[:, lab.tasks.index(suite.task)].tolist()
        for suite in lab.suites
    ]


def matrix(lab: Lab, run: Run) -> streams.Floats:
    """AUROC float64[steps, suites] of a run."""
    truth = [labels_of(lab, suite) for suite in lab.suites]
    return np.array([[metrics.auroc(*pair) for pair in zip(truth, step, strict=True)] for step in run.scores])


def labels_of(lab: Lab, suite: Suite) -> NDArray[np.int8]:
    """Labels of a suite's judged rows."""
    return lab.rows[suite][lab.split][dataset.label_column(suite.task)].to_numpy(np.int8)


def choose(runs: list[Run], project: Path, family: str) -> dict[str, Setting]:
    """Setting of each method, on the tuning seeds alone.

    Of those that forget at most `FORGOTTEN` of what naive forgets, the one that learns most; where there is none, the
    one that forgets least. Both are means over streams and seeds.
    """
    tuned: dict[tuple[str, Setting], list[streams.Floats]] = {}
    for run in runs:
        if run.split == "val":
            lab = laboratory(project, family, run.stream, run.seed, run.split)
            tuned.setdefault((run.method, run.setting), []).append(matrix(lab, run))
    forgot, learned = (
        {key: float(np.mean([metric(each) for each in found])) for key, found in tuned.items()}
        for metric in (streams.forgetting, streams.learning)
    )
    most = FORGOTTEN * forgot["naive", Setting()]
    return {
        name: best({each: (forgot[name, each], learned[name, each]) for each in method.settings}, most)
        if len(method.settings) > 1
        else method.settings[0]
        for name, method in METHODS.items()
    }


def best(tried: dict[Setting, tuple[float, float]], most: float) -> Setting:
    """The setting that learns most among those that forget at most so much, or else the one that forgets least.

    Args:
        tried: setting → what it forgets, what it learns.
        most: what may be forgotten.
    """
    steady = [setting for setting, (forgot, _) in tried.items() if forgot <= most]
    if steady:
        return max(steady, key=lambda setting: tried[setting][1])
    return min(tried, key=lambda setting: tried[setting][0])


def rounded(scores: Scores) -> Scores:
    """To six digits, which keep every order that float32 has."""
    return [[[float(f"{score:.7g}") for score in suite] for suite in step] for step in scores]


def append(path: Path, runs: Iterator[Run]) -> None:
    """Add a line a run; what a kill has cut short goes first."""
    if path.is_file() and not (written := path.read_bytes()).endswith(b"\n"):
        path.write_bytes(written[: written.rfind(b"\n") + 1])
    for run in runs:
        print(
            f"{run.stream}, {run.method} {run.weight:g} {run.share:g}, seed {run.seed}: {run.seconds} s",
            file=sys.stderr,
            flush=True,
        )
        with path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(run), ensure_ascii=False) + "\n")


def read(path: Path) -> list[Run]:
    """All whole lines of a file; none where there is no file."""
    if not path.is_file():
        return []
    return [Run(**json.loads(line)) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


if __name__ == "__main__":
    given = dict(enumerate(sys.argv))
    for each in [given[2]] if 2 in given else STREAMS:
        main(Path(given.get(1, "build/streams")), each)
