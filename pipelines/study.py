"""Stage `study`: the transfer study. With a species: what the pipeline's own adapters tell. Without: the full grid."""

import hashlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import connection, get_context, parent_process
from os import _exit
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from episome import adapting, classifier, grid, inside, layerchange, looks, lora, params, study, trials
from episome.classifier import load_classifier
from episome.effort import Course
from episome.grid import Job
from episome.params import Params
from episome.study import Epoch, Run
from episome.trials import Setting
from episome.types import EpisomeError
from pipelines import paths

Outcome = list[Run] | EpisomeError
Done = tuple[Job, Outcome]


def full() -> None:
    """Every job of the grid that is not in reports/study_full/runs.jsonl yet, and a look into its adapters.

    Raises:
        EpisomeError: the runs that are there are of other inputs, or a job failed; the others are done all the same.
    """
    chosen = params.read()
    chosen = chosen.model_copy(update={"head": chosen.study.head})
    workers = chosen.study.workers
    setting = _setting(chosen, paths.full_study(), "full", threads=1 if workers > 1 else chosen.compute.threads)
    tasks, left_out = trials.tasks_there(setting)
    _begin(setting, left_out)
    runs = setting.folder / study.RUNS
    done = {run.key for run in study.read(runs)} if runs.is_file() else set()
    failed = []
    waves = [[job for job in wave if not _is_done(setting, job, done)] for wave in grid.waves(chosen, tasks)]
    began, finished, total = time.monotonic(), 0, sum(map(len, waves))
    print(f"{len(done)} runs are there; {total} trainings to do, {workers} at a time", flush=True)
    for wave in waves:
        for job, outcome in _performed(setting, wave, workers):
            finished += 1
            if isinstance(outcome, EpisomeError):
                failed.append(f"{job.shown}: {outcome}")
            else:
                for run in (each for each in outcome if each.key not in done):
                    study.append(runs, run)
            left = (time.monotonic() - began) / finished * (total - finished) / 60
            print(f"{finished}/{total} {_told(job, outcome)}; about {left:.0f} min left", flush=True)
    if failed:
        raise EpisomeError(f"{len(failed)} of {total} trainings failed:\n  " + "\n  ".join(failed))
    _look_inside(setting, tasks)


def _look_inside(setting: Setting, tasks: dict[str, list[str]]) -> None:
    """Compare the adapters that the study kept, unless that is done; all of it or nothing is written."""
    numbers = setting.chosen.study
    if "adapted" not in numbers.methods or numbers.inside.rows == 0:
        return
    wanted = {each[:3] for each in inside.comparisons(tasks, numbers.seeds)}
    if {(look.target, look.donor, look.seed) for look in looks.read(setting.folder)} == wanted:
        return
    _settle(setting.chosen.compute.threads)
    print(f"looking into {len(wanted)} pairs of adapters", flush=True)
    looks.write(setting.folder, list(inside.looks(setting, tasks)))


def reduced(species: str) -> None:
    """Write reports/study/<species>: its adapter on its own test rows and, as it is, on everybody else's."""
    chosen = params.read()
    _settle(chosen.compute.threads)
    setting = _setting(chosen, paths.study(species), "reduced", threads=chosen.compute.threads)
    setting = replace(setting, trained={species: paths.adapter(species)})
    tasks, left_out = trials.tasks_there(setting)
    _begin(setting, left_out)
    path = setting.folder / study.RUNS
    path.write_text("", encoding="utf-8")
    if species in tasks:
        for run in _reduced(setting, species, {name: tuple(own) for name, own in tasks.items()}):
            study.append(path, run)
            print(f"{run.key}: AUROC {run.test['auroc']['value']:.3f}, MCC {run.test['mcc']['value']:.3f}", flush=True)


def _reduced(setting: Setting, species: str, tasks: dict[str, tuple[str, ...]]) -> Iterator[Run]:
    """Runs that one species' adapter gives, and those that need no adapter, as far as `study.reduced` asks."""
    asked, seed = setting.chosen.study.reduced, setting.chosen.seed
    own = _recorded(setting, species, tasks[species])
    if {"adapted", "scratch"} & set(asked):
        yield from own
    if "kmer" in asked:
        yield from trials.perform(setting, Job(target=species, method="kmer", tasks=tasks[species], seed=seed))
    if "scratch" in asked and not any(run.method == "scratch" for run in own):
        yield from trials.perform(setting, Job(target=species, method="scratch", tasks=tasks[species], seed=seed))
    if "zero_shot" in asked:
        yield from _elsewhere(setting, species, tasks)


def _elsewhere(setting: Setting, species: str, tasks: dict[str, tuple[str, ...]]) -> Iterator[Run]:
    """A species' adapter as it is, on every other species' rows."""
    subject = load_classifier(setting.base, paths.adapter(species))
    known = trials.asked(subject, trials.split_of(setting, species, "val"))
    for target in tasks:
        common = tuple(task for task in tasks[target] if task in tasks[species])
        if target != species and common:
            job = Job(target=target, donor=species, method="zero_shot", tasks=common, seed=setting.chosen.seed)
            yield from trials.answered(setting, job, subject, species, known)


def _recorded(setting: Setting, species: str, tasks: tuple[str, ...]) -> list[Run]:
    """What the stage `train` did, from its record; nothing for a retrained champion, which is neither of the two."""
    about = json.loads((paths.adapter(species) / classifier.TRAINING).read_text(encoding="utf-8"))
    donor, began = about["donor"], about["transfer"]["start"]["from"]
    if about["prior"] != "none":
        return []
    job = Job(
        target=species,
        donor=donor,
        method="scratch" if donor == "base" else "adapted",
        policy="" if donor == "base" else setting.chosen.transfer.mode,
        tasks=tasks,
        seed=about["seed"],
    )
    subject = load_classifier(setting.base, paths.adapter(species))
    before = adapting.fresh(setting.chosen, species, setting.base, about["seed"])
    if began not in {"nothing", "prior"}:
        numbers = setting.chosen.lora
        file = paths.adapter(donor) / lora.WEIGHTS
        lora.load_factors(before.encoder, file, scale=numbers.alpha / numbers.rank)
    probe = trials.probe_rows(setting, job, subject)
    return trials.answered(
        setting,
        job,
        subject,
        species,
        course=Course(curves={task: _curve(about["epochs"], task) for task in tasks}),
        seconds=None,
        plan=about["transfer"]["plan"],
        start="" if donor == "base" else "nothing" if began == "nothing" else "donor",
        extra=layerchange.changes(layerchange.look(before, probe), layerchange.look(subject, probe)),
    )


def _curve(epochs: list[dict[str, Any]], task: str) -> tuple[Epoch, ...]:
    return tuple(
        Epoch(epoch=each["epoch"], loss=each["loss"], val_auroc=each["auroc"][task])
        for each in epochs
        if task in each["auroc"]
    )


def _setting(chosen: Params, folder: Path, which: Any, threads: int) -> Setting:
    rows = {species: paths.windows(species) / "rows.parquet" for species in chosen.species}
    return Setting(chosen=chosen, base=paths.base(), rows=rows, folder=folder, grid=which, threads=threads)


def _begin(setting: Setting, left_out: dict[str, str]) -> None:
    """Write study.json: which grid this is, of which inputs, and which species are left out.

    Raises:
        EpisomeError: the folder holds a study of other inputs.
    """
    path, chosen = setting.folder / "study.json", setting.chosen
    about = {
        "grid": setting.grid,
        "world": chosen.study.world,
        "simulated": {species: entry.simulated for species, entry in chosen.species.items()},
        "left_out": left_out,
        "inputs": _fingerprint(setting),
    }
    if path.is_file() and json.loads(path.read_text(encoding="utf-8"))["inputs"] != about["inputs"]:
        raise EpisomeError(
            f"{path}: the runs beside it are of another base, other rows or other numbers in params.yaml; "
            f"remove {setting.folder} to begin anew, or restore what they were made from"
        )
    for species, why in left_out.items():
        print(f"{species} is left out: {why}", flush=True)
    setting.folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def _fingerprint(setting: Setting) -> str:
    """Names all that a run depends on, but for what says which runs there are."""
    chosen = setting.chosen
    sections = {"seed", "tasks", "species", "lora", "head", "train", "transfer", "compute", "evaluate", "rivals"}
    about = chosen.model_dump(mode="json", include=sections)
    which = {
        "seeds",
        "methods",
        "curves",
        "reduced",
        "workers",
        "inside",
    }  # policies are in: they set the budget of `scratch`
    about["study"] = chosen.study.model_dump(mode="json", exclude=which)
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    files = [setting.base / name for name in ("model.safetensors", "tokenizer.json")]
    tree = chosen.transfer.distance.newick  # its path is in `transfer`, its branches are not
    for path in [*files, *setting.rows.values(), *([] if tree is None else [tree])]:
        digest.update(hashlib.sha256(path.read_bytes()).digest() if path.is_file() else b"missing")
    return digest.hexdigest()


def _is_done(setting: Setting, job: Job, done: set[str]) -> bool:
    """All its runs are written, and so is the adapter that others start from or look into."""
    folder = setting.kept(job)
    return (folder is None or (folder / classifier.TRAINING).is_file()) and set(job.keys) <= done


def _performed(setting: Setting, jobs: list[Job], workers: int) -> Iterator[Done]:
    """Do the jobs, in this process or in several of one thread each; answers them as they end.

    What nobody foresaw ends the study, but not before the trainings that run by then are answered; no other begins.
    """
    if workers == 1:
        _settle(setting.threads)
        for job in jobs:
            yield job, _tried(setting, job)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_worker) as pool:
        began = {pool.submit(_tried, setting, job): job for job in jobs}
        try:
            yield from _ended(began)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)  # leaving the pool would do all that is left


def _ended(began: dict[Future[Outcome], Job]) -> Iterator[Done]:
    """Jobs as they end; after an error that no training raises, those that run are awaited and it is raised."""
    unforeseen = None
    for each in as_completed(began):
        if each.cancelled():
            continue
        if error := each.exception():
            unforeseen = unforeseen or error
            for other in began:
                other.cancel()
        else:
            yield began[each], each.result()
    if unforeseen:
        raise unforeseen


def _tried(setting: Setting, job: Job) -> Outcome:
    """The runs, or why there are none: one training that fails must not cost the others."""
    try:
        return trials.perform(setting, job)
    except EpisomeError as error:
        return error
    except RuntimeError as error:  # torch's, e.g. of a decomposition that does not converge
        return EpisomeError(f"{type(error).__name__}: {error}")


def _settle(threads: int) -> None:
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    threadpool_limits(threads)


def _worker() -> None:
    """One thread, and an end when the study itself is killed: an orphan would train on for nobody."""
    _settle(1)
    parent = parent_process()
    assert parent is not None

    def follow() -> None:
        connection.wait([parent.sentinel])
        _exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _told(job: Job, outcome: Outcome) -> str:
    if isinstance(outcome, EpisomeError):
        return f"{job.shown}: FAILED: {outcome}"
    scores = ", ".join(f"{run.task} AUROC {run.test['auroc']['value']:.3f}" for run in outcome)
    seconds = max((run.seconds for run in outcome if run.seconds is not None), default=0.0)
    return f"{job.shown}: {scores} ({seconds:.0f} s)"


if __name__ == "__main__":
    try:
        reduced(sys.argv[1]) if len(sys.argv) > 1 else full()
    except EpisomeError as error:
        sys.exit(f"study: {error}")
