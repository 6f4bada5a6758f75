"""A shelf with toy species on it, and the house that serves it, for tests of serving and of the command line."""

import time
from dataclasses import replace
from pathlib import Path

from prometheus_client import CollectorRegistry

from episome import bundle, params, shelf
from episome.bundle import CalibratedTask
from episome.serveparams import Serve
from episome.shelf import Entry
from monitoring.metrics import Metrics
from monitoring.watch import Watch
from serving import http
from serving.batcher import Batcher
from serving.shelf import Shelf
from tests import toy_bundles
from tests.conftest import ROOT

SPECIES = ("human_sim", "fly_sim")
WHOLE = CalibratedTask(
    name="orf", scope="sequence", strands="forward", labels=("noise", "orf"), threshold=0.5, temperature=1.0
)
TASKS = (*toy_bundles.TASKS, WHOLE)


def promote(at: Path, species: str, seed: int, version: str = "1") -> str:
    """Write a toy bundle of a species, publish it and make it the champion; give its digest."""
    base = at / "bundle" / "base"
    if not base.exists():
        toy_bundles.write_base(base)
    digest = bundle.digest(base)
    folder = at / "bundle" / f"{species}-{seed}"
    toy_bundles.write_species(base, folder, toy_bundles.card(digest, species, tasks=TASKS), seed)
    shelf.publish(at / "shelf", base)
    published = shelf.publish(at / "shelf", folder)
    entry = Entry(bundle=published, base=digest, version=version, git_commit="c" * 40, gate="a" * 64, data="d" * 64)
    shelf.point(at / "shelf", species, entry)
    return published


def write(at: Path) -> Path:
    """A shelf with two species; give its folder."""
    for seed, species in enumerate(SPECIES, start=1):
        promote(at, species, seed)
    return at / "shelf"


def limits(**changes: float) -> Serve:
    """The limits of params.yaml, changed."""
    return params.read(ROOT / "params.yaml").serve.model_copy(update=changes)


def house(folder: Path, **changes: float) -> http.House:
    """What serves a shelf, with one generation loaded and nothing looking for the next."""
    serve = limits(**changes)
    watch = Watch(Metrics(http.ROUTES, CollectorRegistry()), time.time, params.read(ROOT / "params.yaml").monitor)
    shelves = Shelf(folder, threads=serve.threads, allow_simulated=serve.allow_simulated, watch=watch)
    if shelf.read(folder).generation:
        shelves.take_up()
    batcher = Batcher(
        threads=serve.threads,
        tokens_per_run=serve.tokens_per_run,
        queue_tokens=serve.queue_tokens,
        queued=watch.metrics.queued,
    )
    return http.House(shelf=shelves, batcher=batcher, limits=serve, watch=watch)


def retagged(entry: Entry, version: str) -> Entry:
    """The same bundle under another version."""
    return replace(entry, version=version)
