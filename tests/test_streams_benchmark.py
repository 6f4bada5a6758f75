"""The benchmark of retrain streams on a few rows and a random base, and its tables on scores known beforehand."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
import yaml

from benchmarks import streams as bench
from benchmarks import streams_report as report
from benchmarks import streams_world
from benchmarks.streams import JOINT, METHODS, Lab, Run, Setting
from episome import dataset
from tests.test_train import base

__all__ = ["base"]

STREAM = "human: promoter → csorf"
SPLITS = {"train": 120, "val": 12, "test": 16}


def rows_of(species: str) -> Iterator[dict[str, object]]:
    """GC-rich sequences are promoters, sequences of many A coding."""
    rng = np.random.default_rng(0)
    for task, rich in (("promoter", [0.1, 0.4, 0.4, 0.1]), ("csorf", [0.6, 0.1, 0.1, 0.2])):
        for split, count in SPLITS.items():
            for k in range(count):
                bases = rng.choice(list("ACGT"), 60, p=rich if k % 2 else None)
                yield {"sequence": "".join(bases), task: k % 2, "split": split, "group": f"{species}{task}{split}{k}"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """What streams_world leaves, of one species."""
    folder = tmp_path_factory.mktemp("streams")
    (folder / "params.yaml").write_text(yaml.safe_dump(streams_world.merged(10)), encoding="utf-8")
    (folder / "models").mkdir()
    (folder / "models/base").symlink_to(base)
    (folder / "data/windows/human").mkdir(parents=True)
    found, tasks = list(rows_of("human")), ("promoter", "csorf")
    columns: dict[str, object] = {name: [row[name] for row in found] for name in ("sequence", "split", "group")}
    columns |= {"species": "human", "contig": "", "start": 0, "end": 60, "strand": "+", "gene": "", "origin": "toy"}
    labels = {task: [int(str(row.get(task, dataset.MISSING))) for row in found] for task in tasks}
    rows = dataset.build(columns | {"negative_kind": "", "release": "base", "lower_case": 0.0}, labels, tasks)
    dataset.write(folder / "data/windows/human/rows.parquet", rows)
    return folder


@pytest.fixture(scope="module")
def lab(project: Path) -> Lab:
    return bench.laboratory(project, "real", STREAM, 11, "test")


def test_each_method_answers_every_suite_after_every_step_and_is_not_done_twice(lab: Lab, project: Path) -> None:
    wanted = [*((name, method.settings[0]) for name, method in METHODS.items()), (JOINT, Setting())]
    path = project / "real.jsonl"
    bench.append(path, bench.perform(lab, wanted, set()))
    runs = {run.method: run for run in bench.read(path)}
    assert list(runs) == [*METHODS, JOINT]
    scores = {name: bench.matrix(lab, run) for name, run in runs.items()}
    assert all(scores[name].shape == ((1, 2) if name == JOINT else (2, 2)) for name in scores)
    firsts = {run.scores[0][0][0] for name, run in runs.items() if name != JOINT}
    assert len(firsts) == 1  # one champion for all
    assert all(scores[name][0, 1] == 0.5 for name in METHODS)  # a task that nobody has learned
    assert scores["head only"][1, 0] == scores["head only"][0, 0]
    learned = [str(runs[name].scores[1]) for name in ("naive", "head only", "EWC A/B", "replay", "full")]
    assert len(set(learned)) == 5, learned
    assert not list(bench.perform(lab, wanted, {run.key for run in runs.values()}))


def test_a_line_that_a_kill_cut_short_is_done_again(tmp_path: Path) -> None:
    path, run = tmp_path / "runs.jsonl", run_of(STREAM, "naive", 11, [[[0.5]]])
    bench.append(path, iter([run, run]))
    path.write_bytes(path.read_bytes()[:-9])
    assert len(bench.read(path)) == 1
    bench.append(path, iter([run]))
    assert bench.read(path) == [run, run]


@pytest.mark.parametrize(
    ("tried", "chosen"),
    [
        ({1.0: (0.20, 0.9), 10.0: (0.04, 0.8), 100.0: (0.01, 0.7)}, 10.0),  # the best learner of those that keep enough
        ({1.0: (0.20, 0.9), 10.0: (0.08, 0.8)}, 10.0),  # none keeps enough
    ],
)
def test_the_setting_that_learns_most_and_keeps_enough_is_chosen(
    tried: dict[float, tuple[float, float]], chosen: float
) -> None:
    settings = {Setting(weight): found for weight, found in tried.items()}
    assert bench.best(settings, 0.05) == Setting(chosen)


def run_of(stream: str, method: str, seed: int, scores: bench.Scores) -> Run:
    return Run(stream=stream, method=method, weight=0.0, share=0.0, seed=seed, split="test", scores=scores, seconds=1.0)


def test_the_tables_say_what_the_scores_say(
    lab: Lab, project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = (bench.labels_of(lab, suite).tolist() for suite in lab.suites)
    nothing = [0.0] * len(old)
    kept = {name: [[old, nothing], [old, new]] for name in METHODS} | {JOINT: [[old, new]]}
    kept["naive"] = [[old, nothing], [nothing, new]]  # forgets all, learns all
    kept["EWC ΔW"] = [[old, nothing], [old, nothing]]  # forgets nothing, learns nothing
    for name in ("params.yaml", "models", "data"):
        (tmp_path / name).symlink_to(project / name)
    runs = [run_of(STREAM, method, seed, kept[method]) for method, seed in product(kept, bench.SEEDS)]
    bench.append(tmp_path / "real.jsonl", iter(runs[:-1]))
    report.main(tmp_path)
    assert "| naive |" not in capsys.readouterr().out  # a seed is missing
    judged = [bench.labels_of(replace(lab, split="val"), suite).tolist() for suite in lab.suites]
    told = run_of(STREAM, "L2-SP", 1, [[judged[0], judged[1]], [judged[0], judged[1]]])
    bench.append(tmp_path / "real.jsonl", iter([replace(told, split="val", weight=0.1)]))
    bench.append(tmp_path / "real.jsonl", iter(runs[-1:]))
    report.main(tmp_path)
    said = capsys.readouterr().out
    lost, same = "{0}0.500 [{0}0.500, {0}0.500]", "+0.000 [+0.000, +0.000]"
    naive = ("naive", "–", "–", "0.750", lost.format("-"), same, lost.format("+"), "+0.500")
    assert f"| {' | '.join(naive)} |" in said
    assert "| EWC ΔW | 0 % [0, 0]: holds | +0.000: holds | 0 % [0, 0] (≥ 60 %): does not hold | no |" in said
    assert "| full | 0 % [0, 0]: holds | +0.000: holds | 100 % [100, 100] (≥ 100 %): holds | yes |" in said
    assert f"| {STREAM}, 1 | L2-SP | 0.1 | – | +0.000 | 1.000 |" in said
    assert "Not measured: human: csorf → promoter;" in said
    assert "new task: human csorf | 1.000 / 0.500 | +0.500 / +0.500 |" in said


def test_every_kind_of_step_is_among_the_simulated_streams() -> None:
    for suites in bench.STREAMS["simulated"].values():
        pairs = list(pairwise(suites))
        assert {a.task == b.task for a, b in pairs} == {True, False}
        assert {suite.species for suite in suites} == set(streams_world.SIMULATED)
        assert {suite.task for suite in suites} == set(streams_world.TASKS)
