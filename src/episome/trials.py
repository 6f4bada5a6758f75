"""One job of the transfer study done: trained or taken as it is, judged on the target's test rows, written down."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from episome import (
    adapting,
    alternatives,
    calibration,
    classifier,
    dataset,
    ewc,
    grid,
    layerchange,
    metrics,
    stacking,
    study,
    train,
)
from episome.adapting import Donor
from episome.classifier import Classifier, Examples, load_classifier
from episome.effort import Cost, Course, measured
from episome.grid import Job
from episome.learning import Train
from episome.params import FloorCut, Params
from episome.rivals import roster
from episome.study import Predictions, Run
from episome.studyparams import Method, RowsAtMost
from episome.types import EpisomeError

Floats = NDArray[np.float64]
_RIVALS: dict[Method, roster.Name] = {"kmer": "kmer", "word2vec_nb": "word2vec_nb", "cnn": "cnn", "lstm": "lstm"}
Scores = tuple[Floats, Floats]
"""Logits, or what ranks like them, of validation and of test rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What all jobs of a study share.

    Attributes:
        base: folder of the base model.
        rows: species key → its rows.parquet.
        folder: where predictions and the adapters of trainings from nothing are kept.
        grid: which of the two studies.
        threads: of this process.
        trained: species key → an adapter that was trained elsewhere.
    """

    chosen: Params
    base: Path
    rows: dict[str, Path]
    folder: Path
    grid: Literal["full", "reduced"]
    threads: int
    trained: Mapping[str, Path] = field(default_factory=dict)

    @property
    def predictions(self) -> Path:
        return self.folder / study.PREDICTIONS

    def adapter(self, species: str, seed: int) -> Path:
        """The adapter that stands for a species as a donor: of a training from nothing on all rows."""
        return self.trained.get(species, self.folder / "adapters" / f"{species}-{seed}")

    def kept(self, job: Job) -> Path | None:
        """Where a job leaves its adapter: as a donor of others, or to be looked into; None keeps none."""
        if job.share < 1:
            return None
        if job.method == "scratch" and job.target not in self.trained:
            return self.adapter(job.target, job.seed)
        if job.method == "adapted" and job.policy == self.chosen.study.policies[0]:
            return self.heir(job.target, job.donor, job.seed)
        return None

    def heir(self, target: str, donor: str, seed: int) -> Path:
        """The adapter of a species that began at another's, by the first policy on all rows."""
        return self.folder / "adapters" / f"{target}-from-{donor}-{seed}"


def perform(setting: Setting, job: Job) -> list[Run]:
    """Do a job and keep its predictions; answers a run for each task.

    Raises:
        EpisomeError: a training diverged, or a donor's adapter is missing.
    """
    done: dict[Method, Callable[[Setting, Job], list[Run]]] = {
        "scratch": _trained,
        "adapted": _trained,
        "head_only": _trained,
        "full": _trained,
        "zero_shot": _zero_shot,
        "frozen_probe": _probed,
    }
    return done.get(job.method, _rival)(setting, job)


def tasks_there(setting: Setting) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Tasks of each species that can be trained and tested, and why others cannot."""
    tasks, left_out = dict[str, list[str]](), dict[str, str]()
    for species, path in setting.rows.items():
        if not path.is_file():
            left_out[species] = f"{path} is not there: `dvc repro check@{species}` makes it"
            continue
        table, wanted = _rows(setting, species), [task.name for task in setting.chosen.tasks_of(species)]
        short = [
            f"{task} {split}"
            for task in wanted
            for split in ("train", "val", "test")
            if len(set(table.loc[table["split"] == split, dataset.label_column(task)]) - {-1}) < 2
        ]
        if short:
            left_out[species] = f"rows of one class, or none: {', '.join(short)}"
        else:
            tasks[species] = wanted
    return tasks, left_out


def answered(
    setting: Setting, job: Job, subject: Classifier, home: str, val_logits: Floats | None = None, **about: Any
) -> list[Run]:
    """Runs of a classifier on the job's target.

    Args:
        setting: of the study.
        job: names the target and tasks.
        subject: what answers.
        home: species whose validation rows set temperature and threshold: the one it was trained for, so that a
            donor as it is has seen no label of the target.
        val_logits: float64[rows, tasks], what it answers to those; None asks it.
        about: further fields of the runs.
    """
    val, test = split_of(setting, home, "val"), split_of(setting, job.target, "test")
    known = asked(subject, val) if val_logits is None else val_logits
    answers, order, runs = asked(subject, test), [task.name for task in subject.tasks], []
    for task in job.tasks:
        column = order.index(task)
        of_val, of_test = ((rows[dataset.label_column(task)] >= 0).to_numpy() for rows in (val, test))
        scores = known[of_val, column], answers[of_test, column]
        runs.append(judged(setting, job, task, (val[of_val], test[of_test]), scores, **about))
    return runs


def asked(subject: Classifier, rows: pd.DataFrame) -> Floats:
    """Logits float64[rows, tasks]."""
    return classifier.predict(subject, rows).astype(np.float64)


def judged(
    setting: Setting, job: Job, task: str, rows: tuple[pd.DataFrame, pd.DataFrame], scores: Scores, **about: Any
) -> Run:
    """One run from validation and test rows and their scores: temperature and threshold from the former."""
    val, test = rows
    numbers, label = setting.chosen.evaluate, dataset.label_column(task)
    answers, labels = val[label].to_numpy(), test[label].to_numpy()
    temperature = calibration.temperature(scores[0], answers)
    on_val, on_test = (calibration.sigmoid(part, temperature) for part in scores)
    threshold, noted = _cut(setting, job, on_val, answers)
    report = metrics.evaluate(
        labels,
        on_test,
        test["group"].to_numpy(),
        threshold=threshold,
        bootstrap=numbers.bootstrap,
        confidence=numbers.confidence,
        seed=setting.chosen.seed,
    )
    curve, cost = about.pop("course", Course()).curves.get(task, ()), about.pop("cost", Cost())
    extra = {"temperature": temperature, "threshold": threshold, "threads": float(setting.threads)}
    about = {"seconds": cost.seconds} | about | {"extra": about.get("extra", {}) | extra | noted}
    run = Run(
        world=setting.chosen.study.world,
        target=job.target,
        donor=job.donor,
        method=job.method,
        policy=job.policy,
        task=task,
        share=job.share,
        seed=job.seed,
        test=report,
        curve=curve,
        grid=setting.grid,
        peak_bytes=cost.peak_bytes,
        **about,
    )
    study.save(
        setting.predictions,
        run,
        Predictions(labels=labels.astype(np.int8), probabilities=on_test, groups=test["group"].tolist()),
    )
    return run


def _cut(setting: Setting, job: Job, probabilities: Floats, labels: NDArray[Any]) -> tuple[float, dict[str, float]]:
    """Threshold from validation rows, and a note where the floor of ``evaluate.threshold`` is out of reach.

    The rule is the platform's, for its own adapters; a rival is cut where its MCC is best. A floor that one run cannot
    reach is a finding about it: it is cut by MCC too, and ``floor_unreached`` says which floor.
    """
    rule = setting.chosen.evaluate.threshold
    if job.method in _RIVALS:
        return calibration.threshold(probabilities, labels), {}
    try:
        return calibration.threshold_by(rule, probabilities, labels), {}
    except EpisomeError:
        if not isinstance(rule, FloorCut):
            raise
        return calibration.threshold(probabilities, labels), {"floor_unreached": rule.at_least}


def _trained(setting: Setting, job: Job) -> list[Run]:
    """Scratch, adapted, head only and full fine-tuning: alike but for start, pace and what learns."""
    chosen, course = setting.chosen, Course()
    with measured() as loading:
        subject = adapting.fresh(chosen, job.target, setting.base, job.seed)
        rows = _composed(setting, job, subject)
    course.tokens_per_epoch = sum(rows[0].lengths[: len(_learn(setting, job.target, job.share, job.seed))])
    numbers, donor = _numbers(setting, job)
    probe = probe_rows(setting, job, subject)
    with measured() as cost:
        ready = adapting.ready(subject, rows, chosen, numbers, donor, course.check, seed=job.seed)
        before = layerchange.look(subject, probe)
        if job.method == "full":
            rate = chosen.study.full_learning_rate
            course.follow(alternatives.fit_all(subject, *rows, ready.start.numbers, rate, seed=job.seed))
        else:
            pace = alternatives.HEAD_ONLY if job.method == "head_only" else ready.start.pace
            begin = ready.start
            course.follow(train.fit(subject, *rows, begin.numbers, seed=job.seed, pace=pace, memory=begin.memory))
        stacking.stack(subject, ready.judging)
    checked = 2 * chosen.transfer.check_epochs if donor else 0
    extra = {
        **course.extra(),
        **cost.extra(),
        **layerchange.changes(before, layerchange.look(subject, probe)),
        **_check(ready.record),
        "load_seconds": loading.seconds,
        "stored_bytes": alternatives.size(subject, job.method),
        "granted_tokens": float((ready.start.numbers.epochs + checked) * course.tokens_per_epoch),
    }
    if folder := setting.kept(job):
        classifier.save(subject, folder, {"species": job.target, "seed": job.seed, "method": job.method})
        if job.method == "scratch" and chosen.train.retain_lambda > 0:
            ewc.save(train.fisher(subject, rows[0], chosen.train.fisher_rows, job.seed), folder / ewc.FILE)
    return answered(
        setting,
        job,
        subject,
        job.target,
        course=course,
        cost=cost,
        plan=donor.plan.record() if donor and donor.plan else None,
        start="" if donor is None else "nothing" if ready.record["from"] == "nothing" else "donor",
        extra=extra,
    )


def _numbers(setting: Setting, job: Job) -> tuple[Train, Donor | None]:
    """Training numbers from nothing, and the donor; see `grid.budget_epochs`."""
    chosen = setting.chosen
    numbers = chosen.train_of(job.target)
    if job.donor == "base":
        donors = [species for species in setting.rows if species != job.target]
        epochs = grid.budget_epochs(chosen, job.target, donors, chosen.study.policies, job.seed)
        return numbers.model_copy(update={"epochs": epochs}), None
    plan = grid.plan(chosen, job.target, job.donor, job.policy, job.seed)
    planned, folder = chosen.train_of(job.target, plan), setting.adapter(job.donor, job.seed)
    rows = _rows(setting, job.donor) if planned.joint_lambda > 0 else None
    return numbers, Donor(name=job.donor, folder=folder, plan=plan, numbers=planned, rows=rows)


def _check(record: dict[str, Any]) -> dict[str, float]:
    """Validation AUROC after the check's short trainings."""
    scores = record.get("validation_auroc", {})
    return {f"check_{'nothing' if name == 'nothing' else 'donor'}": score for name, score in scores.items()}


def _zero_shot(setting: Setting, job: Job) -> list[Run]:
    subject = load_classifier(setting.base, setting.adapter(job.donor, job.seed))
    return answered(setting, job, subject, job.donor)


def _probed(setting: Setting, job: Job) -> list[Run]:
    subject = adapting.fresh(setting.chosen, job.target, setting.base, job.seed)
    rows, order = _rows(setting, job.target), [task.name for task in subject.tasks]
    runs = []
    for task in job.tasks:
        learn, val, test = (dataset.labelled(rows[rows["split"] == split], task) for split in ("train", "val", "test"))
        with measured() as cost:
            examples = subject.examples(learn), subject.examples(val), subject.examples(test)
            on_val, on_test = alternatives.probe(subject, examples, order.index(task))
        runs.append(judged(setting, job, task, (val, test), (on_val, on_test), cost=cost, extra=cost.extra()))
    return runs


def _rival(setting: Setting, job: Job) -> list[Run]:
    rows, runs = _rows(setting, job.target), []
    for task in job.tasks:
        learn, val, test = (dataset.labelled(rows[rows["split"] == split], task) for split in ("train", "val", "test"))
        asked = setting.chosen.task(task)
        with measured() as cost:
            fitted = roster.fit(_RIVALS[job.method], learn, val, asked, seed=job.seed, numbers=setting.chosen)
        scores = fitted.score(list(val["sequence"])), fitted.score(list(test["sequence"]))
        about: dict[str, Any] = {"cost": cost, "course": Course(curves={task: fitted.curve}), "extra": cost.extra()}
        runs.append(judged(setting, job, task, (val, test), scores, **about))
    return runs


def _rows(setting: Setting, species: str) -> pd.DataFrame:
    """The rows of a species that the study uses: all in the reduced one, since the pipeline trained on all."""
    most = setting.chosen.study.rows_at_most if setting.grid == "full" else None
    return _read(setting.rows[species], most, setting.chosen.seed)


@cache
def _read(path: Path, most: RowsAtMost | None, seed: int) -> pd.DataFrame:
    rows = dataset.read(path)
    return rows if most is None else grid.thinned(rows, most, seed)


def _learn(setting: Setting, species: str, share: float, seed: int) -> pd.DataFrame:
    """Training rows: the share that a run is given."""
    rows = _rows(setting, species)
    return grid.part(rows[rows["split"] == "train"], share, seed)


def _composed(setting: Setting, job: Job, subject: Classifier) -> tuple[Examples, Examples]:
    rows = _rows(setting, job.target)
    learn = _learn(setting, job.target, job.share, job.seed)
    return stacking.prepare(subject, learn, rows[rows["split"] == "val"], setting.chosen.train_of(job.target))


def probe_rows(setting: Setting, job: Job, subject: Classifier) -> Examples:
    """Training rows of the donor, or of the target where there is none, the same for every run: for CKA."""
    rows = _learn(setting, job.target if job.donor == "base" else job.donor, 1.0, 0)
    return subject.examples(rows.iloc[grid.ranked(rows, setting.chosen.seed)[: setting.chosen.study.probe_rows]])


def split_of(setting: Setting, species: str, split: str) -> pd.DataFrame:
    """Rows of one split that the study uses."""
    rows = _rows(setting, species)
    return rows[rows["split"] == split]
