"""What an adapted model still shares with its donor: what it can answer of the donor's, and what it looks at.

Made after a full study from the adapters that it kept. Two trainings of one species from two seeds are the yardstick of
likeness: a donor and its heir can hardly be more alike than those.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, permutations
from pathlib import Path

import numpy as np

from episome import alternatives, dataset, grid, insight, likeness, lora, metrics, transferscores, trials
from episome.classifier import Classifier, load_classifier
from episome.looks import Look
from episome.trials import Setting

_CHANCE = 0.5


def comparisons(tasks: Mapping[str, Sequence[str]], seeds: Sequence[int]) -> list[tuple[str, str, int, int]]:
    """Target, donor, and the seeds of the two: every ordered pair of species, then every species beside itself."""
    pairs = [(target, donor, seed, seed) for target, donor in permutations(tasks, 2) for seed in seeds]
    return pairs + [(species, species, *two) for species in tasks for two in combinations(seeds, 2)]


def looks(setting: Setting, tasks: Mapping[str, Sequence[str]]) -> Iterator[Look]:
    """Compare all that a study kept.

    Args:
        setting: of a full study that is done.
        tasks: species key → its tasks.

    Raises:
        EpisomeError: an adapter is missing.
    """
    before = {
        (donor, seed): _answers(setting, donor, load_classifier(setting.base, setting.adapter(donor, seed)))
        for donor in tasks
        for seed in setting.chosen.study.seeds
    }
    for target, donor, seed, other in comparisons(tasks, setting.chosen.study.seeds):
        first = load_classifier(setting.base, setting.adapter(donor, seed))
        folder = setting.adapter(target, other) if target == donor else setting.heir(target, donor, seed)
        second = load_classifier(setting.base, folder)
        kept = {} if target == donor else _kept(setting, donor, first, folder, before[donor, seed])
        if kept:  # its encoder is the heir's by now
            first = load_classifier(setting.base, setting.adapter(donor, seed))
        for task in dict.fromkeys([*tasks[target], *tasks[donor]]):
            known = task in tasks[target] and task in tasks[donor]
            values = kept.get(task, {}) | (_alike(setting, target, task, first, second) if known else {})
            if values:
                yield Look(target=target, donor=donor, task=task, seed=seed, values=values)


def _kept(
    setting: Setting, donor: str, subject: Classifier, heir: Path, before: Mapping[str, tuple[float, float]]
) -> dict[str, dict[str, float]]:
    """Task of the donor → what is left of it once its encoder is the heir's; `subject` is changed."""
    numbers, found = setting.chosen.lora, {}
    lora.load_factors(subject.encoder, heir / lora.WEIGHTS, scale=numbers.alpha / numbers.rank)
    for task, after in _answers(setting, donor, subject).items():
        values = dict(zip(("head_after", "probe_after"), after, strict=True))
        values |= dict(zip(("head_before", "probe_before"), before[task], strict=True))
        for name in ("head", "probe"):
            table = [[values[f"{name}_before"], _CHANCE], [values[f"{name}_after"], _CHANCE]]
            retained = transferscores.retention(table, _CHANCE)
            if retained.value is not None:
                values[f"{name}_retention"] = retained.value
        found[task] = values
    return found


def _answers(setting: Setting, species: str, subject: Classifier) -> dict[str, tuple[float, float]]:
    """Task → test AUROC of the head that is there, and of a linear probe on the states."""
    found = {}
    for at, task in enumerate(subject.tasks):
        column = dataset.label_column(task.name)
        rows = [trials.split_of(setting, species, split) for split in ("train", "val", "test")]
        learn, val, test = (subject.examples(part[part[column] >= 0]) for part in rows)
        labels, answers = test.labels[:, at], subject.logits(test)[:, at]
        _, probed = alternatives.probe(subject, (learn, val, test), at)
        found[task.name] = metrics.auroc(labels, answers), metrics.auroc(labels, probed)
    return found


def _alike(setting: Setting, target: str, task: str, first: Classifier, second: Classifier) -> dict[str, float]:
    """Likeness of attention and of key bases, mean over rows of the target."""
    numbers = setting.chosen.study.inside
    rows = trials.split_of(setting, target, "test")
    rows = dataset.labelled(rows, task)
    rows = rows.iloc[grid.ranked(rows, setting.chosen.seed)[: numbers.rows]]
    sides = [
        (subject, subject.examples(rows), [known.name for known in subject.tasks].index(task))
        for subject in (first, second)
    ]
    found: dict[str, list[float]] = {}
    for row in range(len(rows)):
        maps = [insight.attention(subject, examples, row) for subject, examples, _ in sides]
        alike = likeness.attention_likeness(*maps)
        ours, theirs = (
            np.abs(insight.attribution(subject, examples, row, at, steps=numbers.steps))
            for subject, examples, at in sides
        )
        overlap = likeness.key_overlap(ours, theirs, numbers.key_share)
        for name, value in {
            "attention_same_head": alike.same_head,
            "attention_other_head": alike.other_head.value,
            "key_overlap": overlap.iou,
            "key_overlap_expected": overlap.expected,
        }.items():
            if value is not None:
                found.setdefault(name, []).append(value)
    return {name: float(np.mean(values)) for name, values in found.items()}
