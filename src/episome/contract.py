"""The sequence contract as data: what rows of DNA must be before anybody believes them.

`rules` writes the limits of params.yaml out as rules. They speak of the columns that `episome.audit` measures;
``pipelines.expectations`` compiles them for Great Expectations. The rules that one sequence alone can break are
`sequence_rules`; `broken` applies those to a sequence that comes by another door, e.g. in a request.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

from episome.limits import Check, Limits
from episome.sequence import gc
from episome.split import SPLITS
from episome.types import LABEL, Task

Kind = Literal["lacks", "matches", "among", "range", "unique", "rare", "count", "mean"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing that is wanted of rows, or of one sequence.

    Attributes:
        name: what a report calls it; it does not change when the limit does.
        wanted: the same for a person, limit included.
        kind: what is asked of the column's values, empty ones never counting:
            ``lacks``/``matches`` the pattern is nowhere/somewhere in them, ``among`` they are among `values`,
            ``range`` they lie between `least` and `most`, ``unique`` no two are equal, ``rare`` a share of at most
            `most` is not False, ``count`` there are at least `least` rows, ``mean`` their mean lies between both.
        column: column of the audited rows, or a key of `MEASURES`.
        task: only rows with a label of this task are asked; "" for all rows.
        split: only rows of this split are asked; "" for all rows.
        pattern: of ``lacks`` and ``matches``; one that Python and RE2 understand alike, so without ``$``.
        values: of ``among``.
        least: lower limit, itself allowed; None for none.
        most: upper limit, itself allowed; None for none.
        shown: column of the audited rows that says by how much an example row breaks the rule; "" for none.
    """

    name: str
    wanted: str
    kind: Kind
    column: str
    task: str = ""
    split: str = ""
    pattern: str = ""
    values: tuple[str | int, ...] = ()
    least: float | None = None
    most: float | None = None
    shown: str = ""


def n_share(sequence: str) -> float:
    """Share of N; 0 for an empty sequence, which the rule ``model_length`` refuses."""
    return sequence.count("N") / max(len(sequence), 1)


# What is measured on a sequence: column of the audited rows → how.
MEASURES: Mapping[str, Callable[[str], str | float]] = {"sequence": str, "bases": len, "n_share": n_share, "gc": gc}


class Shortcut(NamedTuple):
    """A property that must not tell the classes apart alone.

    Attributes:
        column: column of the audited rows.
        words: what a person calls it.
        whole: the positives are compared with all negatives.
        kinds: they are compared with each kind of negatives, where there are several.
    """

    column: str
    words: str
    whole: bool
    kinds: bool


# Key of `check.shortcut` → what it limits; names of these rules begin alike. A kind of negatives may differ in case and
# GC by nature, as repeats and islands do; in length and N it cannot.
SHORTCUT = "shortcut_"
SHORTCUTS: Mapping[str, Shortcut] = {
    "case": Shortcut("lower_case", "the share of soft-masked bases", whole=True, kinds=False),
    "case_of_kind": Shortcut("lower_case", "in one kind of negatives that share", whole=False, kinds=True),
    "n": Shortcut("n_share", "the share of N", whole=True, kinds=True),
    "length": Shortcut("bases", "the length", whole=True, kinds=True),
    "gc": Shortcut("gc", "the GC share", whole=True, kinds=False),
}


def column(task: str, name: str) -> str:
    """Name of an audited column that speaks of one task; the colon keeps it apart from every column of the rows."""
    return f"{task}:{name}"


def rules(species: str, tasks: Sequence[Task], check: Check, max_tokens: int) -> tuple[Rule, ...]:
    """All rules for the rows of one species.

    Args:
        species: its key.
        tasks: its tasks.
        check: the part ``check`` of params.yaml.
        max_tokens: ``export.max_tokens``, the longest run of the model.
    """
    first = (
        *_any_sequence(check.longest(max_tokens)),
        Rule(name="species", wanted=f"every row is of {species}", kind="among", column="species", values=(species,)),
        Rule(name="split", wanted="every row is in train, val or test", kind="among", column="split", values=SPLITS),
    )
    of_tasks = [rule for task in tasks for rule in _task_rules(task, check.of(task.name))]
    return (*first, *of_tasks)


def sequence_rules(task: Task, check: Check, max_tokens: int) -> tuple[Rule, ...]:
    """The rules that a sequence put before the model for this task can break by itself."""
    return (*_any_sequence(check.longest(max_tokens)), *_shape(task, check.of(task.name)))


def broken(sequence: str, asked: Sequence[Rule]) -> tuple[Rule, ...]:
    """Which of some `sequence_rules` one sequence breaks."""
    return tuple(rule for rule in asked if not _holds(MEASURES[rule.column](sequence), rule))


def _holds(value: str | float, rule: Rule) -> bool:
    if isinstance(value, str):
        return (re.search(rule.pattern, value) is None) == (rule.kind == "lacks")
    return (rule.least is None or value >= rule.least) and (rule.most is None or value <= rule.most)


def _any_sequence(longest: int) -> tuple[Rule, ...]:
    foreign = "[^ACGTN]"
    room = f"1 to {longest} bases, what the model has room for (export.max_tokens, check.bases_per_token)"
    return (
        Rule(name="alphabet", wanted="every base is A, C, G, T or N", kind="lacks", column="sequence", pattern=foreign),
        Rule(name="model_length", wanted=room, kind="range", column="bases", least=1, most=longest, shown="bases"),
    )


def _shape(task: Task, limits: Limits) -> tuple[Rule, ...]:
    """N share, length and motif of single sequences of a task."""
    rule, most_n, window = partial(Rule, task=task.name), limits.max_n_share, task.window
    few_n = f"at most {most_n:.1%} of a sequence is N"
    shape = [rule(name="n_share", wanted=few_n, kind="range", column="n_share", most=most_n, shown="n_share")]
    if window is not None:
        said = f"every sequence has {window} bases"
        shape.append(
            rule(name="length", wanted=said, kind="range", column="bases", least=window, most=window, shown="bases")
        )
    if window is not None and task.motif is not None:
        said = f"every sequence has {task.motif} at base {window // 2}, counted from 0"
        pattern = f"^.{{{window // 2}}}{task.motif}"
        shape.append(rule(name="motif", wanted=said, kind="matches", column="sequence", pattern=pattern))
    return tuple(shape)


def _task_rules(task: Task, limits: Limits) -> tuple[Rule, ...]:
    rule = partial(Rule, task=task.name)
    known, once = "every label is 0, 1 or missing (-1)", "no locus, or sequence where there is none, twice in a split"
    return (
        *_shape(task, limits),
        rule(name="label", wanted=known, kind="among", column=LABEL + task.name, values=(-1, 0, 1)),
        rule(name="duplicates", wanted=f"{once} of a release", kind="unique", column=column(task.name, "place")),
        *_shares(task, limits),
        *_split_rules(task, limits),
        *_shortcuts(task, limits),
    )


def _shares(task: Task, limits: Limits) -> tuple[Rule, ...]:
    """Rules of which a stated share of the rows may be an exception: contradictions and leakage."""
    carriers = "sequences, either strand," if task.strands == "both" else "sequences"
    overlap, group, relative = limits.max_split_overlap, limits.max_group_overlap, limits.max_species_overlap
    asked = {
        "contradictions": (limits.max_contradictions, f"{carriers} carry both labels"),
        "test_in_train": (overlap, "test rows are also in train, on either strand"),
        "val_in_train": (overlap, "val rows are also in train, on either strand"),
        "test_in_val": (overlap, "test rows are also in val, on either strand"),
        "group_overlap": (group, "test rows have a homology group that is also in train"),
        "species_overlap": (relative, "test rows have a relative among another species' train rows"),
    }
    shown = {"contradictions": "", "group_overlap": "group"}
    rule = partial(Rule, task=task.name, kind="rare")
    return tuple(
        rule(name=name, wanted=f"at most {share:.1%} of the {words}", column=by, most=share, shown=shown.get(name, by))
        for name, (share, words) in asked.items()
        for by in [column(task.name, name)]
    )


def _split_rules(task: Task, limits: Limits) -> Iterator[Rule]:
    """Fewest rows and class balance in each split."""
    low, high = limits.class_share
    balance = f"{low:.0%} to {high:.0%} of the rows are positive"
    for split in SPLITS:
        rule = partial(Rule, task=task.name, split=split, column=LABEL + task.name)
        fewest: int = getattr(limits.min_rows, split)
        yield rule(name="min_rows", wanted=f"at least {fewest} rows", kind="count", least=fewest)
        yield rule(name="class_share", wanted=balance, kind="mean", least=low, most=high)


def _shortcuts(task: Task, limits: Limits) -> Iterator[Rule]:
    rule = partial(Rule, task=task.name, kind="range")
    for key, shortcut in SHORTCUTS.items():
        most: float = getattr(limits.shortcut, key)
        wanted = (
            f"{shortcut.words} alone tells the classes apart with an AUROC of at most {most:.2f} (check.shortcut.{key})"
        )
        by = column(task.name, f"by_{key}")
        yield rule(name=SHORTCUT + key, wanted=wanted, column=by, most=most, shown=shortcut.column)
