"""Stage `study` without a training: jobs that fail, what the record's name hangs on, and cuts of unreachable floors."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from episome import calibration, params, trials
from episome.grid import Job
from episome.params import Params
from episome.study import Run
from episome.studyparams import Method
from episome.trials import Setting
from pipelines import study

ROOT = Path(__file__).parents[2]


def setting(folder: Path, chosen: Params | None = None) -> Setting:
    return Setting(
        chosen=chosen or params.read(ROOT / "params.yaml"),
        base=folder / "base",
        rows={},
        folder=folder,
        grid="full",
        threads=1,
    )


def job(seed: int, method: Method = "scratch") -> Job:
    return Job(target="mouse_sim", method=method, tasks=("donor",), seed=seed)


def performed(monkeypatch: pytest.MonkeyPatch, folder: Path, by_seed: dict[int, Any], workers: int) -> list[str]:
    """Outcomes of jobs that do what `by_seed` says, in threads in place of processes."""

    def perform(_: Setting, each: Job) -> list[Run]:
        time.sleep(0.02 * each.seed)
        if isinstance(by_seed[each.seed], BaseException):
            raise by_seed[each.seed]
        return []

    monkeypatch.setattr(trials, "perform", perform)
    monkeypatch.setattr(study, "_settle", lambda _: None)
    monkeypatch.setattr(study, "ProcessPoolExecutor", lambda count, **_: ThreadPoolExecutor(count))
    jobs = [job(seed) for seed in by_seed]
    return [f"{each.seed}: {outcome}" for each, outcome in study._performed(setting(folder), jobs, workers)]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_training_that_fails_costs_no_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, workers: int) -> None:
    found = performed(monkeypatch, tmp_path, {1: None, 2: RuntimeError("svd did not converge"), 3: None}, workers)
    assert sorted(found) == ["1: []", "2: RuntimeError: svd did not converge", "3: []"]


def test_a_donor_whose_training_failed_is_named(tmp_path: Path) -> None:
    asked = Job(target="mouse_sim", donor="human_sim", method="zero_shot", tasks=("donor",), seed=7)
    outcome = study._tried(setting(tmp_path), asked)
    assert str(tmp_path / "adapters" / "human_sim-7") in str(outcome)


def test_an_unforeseen_error_waits_for_what_runs_and_begins_nothing_more(tmp_path: Path) -> None:
    running, failed, queued = Future[Any](), Future[Any](), Future[Any]()
    running.set_running_or_notify_cancel()
    failed.set_running_or_notify_cancel()
    failed.set_exception(KeyError("nobody foresaw this"))
    seen: list[int] = []

    def watch(ended: Iterator[study.Done]) -> None:
        seen.extend(each.seed for each, _ in ended)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(watch, study._ended({running: job(1), failed: job(2), queued: job(3)}))
        limit = time.monotonic() + 10
        while not queued.cancelled():
            assert time.monotonic() < limit
            time.sleep(0.005)
        queued.set_running_or_notify_cancel()
        assert not waiting.done()
        running.set_result([])
        with pytest.raises(KeyError, match="nobody foresaw this"):
            waiting.result()
    assert seen == [1]


def test_an_unforeseen_error_leaves_the_queue_undone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    began: list[int] = []
    with pytest.raises(KeyError, match="odd"):
        performed(monkeypatch, tmp_path, Noted({1: KeyError("odd"), 2: None, **dict.fromkeys(range(3, 30))}, began), 2)
    assert 29 not in began


class Noted(dict[int, Any]):
    """Says which of its entries were asked for."""

    def __init__(self, given: dict[int, Any], asked: list[int]) -> None:
        super().__init__(given)
        self.asked = asked

    def __getitem__(self, key: int) -> Any:
        self.asked.append(key)
        return super().__getitem__(key)


def test_rivals_threads_and_the_tree_name_the_study(tmp_path: Path) -> None:
    chosen, tree = params.read(ROOT / "params.yaml"), tmp_path / "tree.nwk"
    tree.write_text("(a:1,b:1);")
    newick = chosen.transfer.distance.model_copy(update={"measure": "newick", "newick": tree})
    chosen = chosen.model_copy(update={"transfer": chosen.transfer.model_copy(update={"distance": newick})})
    names = [study._fingerprint(setting(tmp_path, chosen))]
    threads = chosen.compute.model_copy(update={"threads": 9})
    cnn = chosen.rivals.model_copy(update={"cnn": chosen.rivals.cnn.model_copy(update={"filters": 5})})
    names += [
        study._fingerprint(setting(tmp_path, chosen.model_copy(update=update)))
        for update in ({"compute": threads}, {"rivals": cnn})
    ]
    tree.write_text("(a:2,b:2);")
    names.append(study._fingerprint(setting(tmp_path, chosen)))
    assert len(set(names)) == 4


def test_a_rival_has_its_own_cut_and_a_floor_out_of_reach_is_noted(tmp_path: Path) -> None:
    given = params.read(ROOT / "params.yaml")
    random = np.random.default_rng(3)
    labels = random.integers(2, size=200)
    logits = labels + 0.8 * random.normal(size=200)
    logits[np.argmax(logits)] += 5.0
    labels[np.argmax(logits)] = 0  # the surest call is wrong, so no cut is all precise
    rows = pd.DataFrame({"label_donor": labels, "group": [f"g{i // 4}" for i in range(200)]})
    on_val = calibration.sigmoid(logits, calibration.temperature(logits, labels))

    def cut(method: Method, floor: float) -> dict[str, float]:
        asked = {"rule": "precision", "at_least": floor}
        numbers = given.evaluate.model_validate({**given.evaluate.model_dump(), "threshold": asked, "bootstrap": 20})
        told = setting(tmp_path, given.model_copy(update={"evaluate": numbers}))
        return trials.judged(told, job(7, method), "donor", (rows, rows), (logits, logits), seconds=0.0).extra

    best = calibration.threshold(on_val, labels)
    assert cut("scratch", 0.9)["threshold"] != best
    assert "floor_unreached" not in cut("scratch", 0.9)
    unreached = cut("scratch", 1.0)
    assert (unreached["threshold"], unreached["floor_unreached"]) == (best, 1.0)
    for floor in (0.9, 1.0):
        rival = cut("kmer", floor)
        assert rival["threshold"] == best
        assert "floor_unreached" not in rival
