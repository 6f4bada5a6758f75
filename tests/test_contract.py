"""The contract: limits become rules, and one sequence is judged by them as Great Expectations judges rows."""

import subprocess
import sys
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from episome import audit, contract
from episome.contract import Rule
from episome.limits import Check
from episome.types import Task
from pipelines import expectations
from tests import table_rows
from tests.check_limits import limits

PROMOTER = Task(name="promoter", scope="window", window=6)
DONOR = Task(name="donor", scope="site", window=6, motif="GT")
ORF = Task(name="orf", scope="sequence", strands="forward")
MAX_TOKENS = 10


def named(rules: tuple[Rule, ...], name: str, task: str = "", split: str = "") -> Rule:
    (found,) = [rule for rule in rules if (rule.name, rule.task, rule.split) == (name, task, split)]
    return found


def names_of(sequence: str, task: Task, check: Check | None = None) -> list[str]:
    asked = contract.sequence_rules(task, check or limits(), MAX_TOKENS)
    return [rule.name for rule in contract.broken(sequence, asked)]


def test_no_two_rules_are_called_alike() -> None:
    rules = contract.rules("human", (PROMOTER, DONOR, ORF), limits(), MAX_TOKENS)
    assert len({(rule.name, rule.task, rule.split) for rule in rules}) == len(rules)


@pytest.mark.parametrize(
    ("sequence", "task", "broken"),
    [
        ("ACGTAC", PROMOTER, []),
        ("ACGTA", PROMOTER, ["length"]),
        ("ACXTAC", PROMOTER, ["alphabet"]),
        ("acgtac", PROMOTER, ["alphabet"]),
        ("ACGTA\n", PROMOTER, ["alphabet"]),
        ("ACGTAN", PROMOTER, ["n_share"]),
        ("AAAGTA", DONOR, []),
        ("AAGTAA", DONOR, ["motif"]),
        ("AAAG", DONOR, ["length", "motif"]),
        ("A", ORF, []),
        ("ACGTACGT", ORF, []),
        ("ACGTACGTA", ORF, ["model_length"]),
        ("", ORF, ["model_length"]),
    ],
)
def test_one_sequence_is_told_every_rule_it_breaks(sequence: str, task: Task, broken: list[str]) -> None:
    assert names_of(sequence, task) == broken


def test_the_longest_sequence_leaves_room_for_the_marks_at_its_ends() -> None:
    assert limits().longest(10) == 8
    assert limits(bases_per_token=2.5).longest(10) == 20
    assert names_of("ACGTACGTA", ORF, limits(bases_per_token=2)) == []


def test_a_task_has_its_own_limits() -> None:
    check = limits(tasks={"donor": {"max_n_share": 0.5, "shortcut": {"gc": 0.9}, "min_rows": {"test": 7}}})
    rules = contract.rules("human", (PROMOTER, DONOR), check, MAX_TOKENS)
    for name, common, own in [("n_share", 0.1, 0.5), ("shortcut_gc", 0.7, 0.9), ("shortcut_case", 0.7, 0.7)]:
        assert named(rules, name, "promoter").most == common
        assert named(rules, name, "donor").most == own
    assert named(rules, "min_rows", "donor", "test").least == 7
    assert named(rules, "min_rows", "donor", "train").least == 20
    assert names_of("ANNGTA", PROMOTER, check) == ["n_share"]
    assert names_of("ANNGTA", DONOR, check) == []


def test_limits_are_in_the_words() -> None:
    rules = contract.rules("human", (PROMOTER, ORF), limits(max_contradictions=0.02), MAX_TOKENS)
    said = named(rules, "contradictions", "promoter").wanted
    assert said == "at most 2.0% of the sequences, either strand, carry both labels"
    assert named(rules, "contradictions", "orf").wanted == "at most 2.0% of the sequences carry both labels"
    said = "the length alone tells the classes apart with an AUROC of at most 0.60 (check.shortcut.length)"
    assert named(rules, "shortcut_length", "orf").wanted == said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tasks": {"donor": {"max_n": 0.5}}}, r"tasks\.donor: max_n: Extra inputs are not permitted"),
        ({"tasks": {"donor": {"shortcut": {"GC": 0.9}}}}, r"tasks\.donor: shortcut\.GC: Extra inputs"),
        (
            {"tasks": {"donor": {"shortcut": {"gc": 0.4}}}},
            r"tasks\.donor: shortcut\.gc: .*greater than or equal to 0\.5",
        ),
        ({"tasks": {"donor": {"shortcut": 0.9}}}, r"tasks\.donor: shortcut: "),
        ({"tasks": {"donor": {"bases_per_token": 2}}}, r"tasks\.donor: bases_per_token: Extra inputs"),
        ({"class_share": (0.8, 0.2)}, r"class_share: \[0\.8, 0\.2\] is no range"),
    ],
)
def test_a_wrong_limit_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        limits(**changes)


def rows(sequences: list[str]) -> pd.DataFrame:
    """A row of the donor task for each sequence."""
    columns = {
        "sequence": sequences, "label": 1, "species": "human", "contig": "", "start": 0,
        "end": [len(s) for s in sequences], "strand": "+", "split": "train", "group": "g", "origin": "toy",
        "negative_kind": "", "release": "none",
    }  # fmt: skip
    return table_rows.build(columns | {"label": [1] * len(sequences)}, "donor", ["donor"])


@settings(max_examples=15, deadline=None)
@given(st.lists(st.one_of(st.text("ACGTN", max_size=12), st.text("ACGNx\n é", max_size=8)), min_size=1, max_size=8))
def test_great_expectations_and_one_sequence_alone_agree(sequences: list[str]) -> None:
    asked = contract.sequence_rules(DONOR, limits(), MAX_TOKENS)
    audited = audit.columns(rows(sequences), (DONOR,), limits(), {})
    told = expectations.validate(audited, "human", asked)
    counted = {line["rule"]: line["count"] for line in told.rules}
    alone = [{rule.name for rule in contract.broken(sequence, asked)} for sequence in sequences]
    assert counted == {rule.name: sum(rule.name in broken for broken in alone) for rule in asked}
    for failure in told.failures:
        first = [row for row, broken in enumerate(alone) if failure["rule"] in broken]
        assert [example["row"] for example in failure["examples"]] == first[: expectations.EXAMPLES]


@pytest.mark.slow
def test_the_contract_is_read_without_tables_and_platforms() -> None:
    code = "import episome.contract, sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pandas", "pyarrow", "torch", "great_expectations"}.intersection(loaded)
