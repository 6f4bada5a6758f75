"""Traffic for the monitoring tests: two made-up species, a watch over them, and a server that shows it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from episome import drift, params, sequence
from monitoring import page
from monitoring.metrics import Metrics
from monitoring.watch import Loaded, Watch
from tests.conftest import ROOT

ROUTES = ("/v1/annotate", "/v1/species", "/monitor")
WEIGHTS = {"human_sim": (0.3, 0.2, 0.2, 0.3), "fly_sim": (0.18, 0.32, 0.32, 0.18)}


def dna(seed: int, species: str, length: int = 300) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), size=length, p=WEIGHTS[species]))


def profiles() -> dict[str, drift.Profile]:
    return {species: drift.fit([dna(seed, species) for seed in range(200)]) for species in WEIGHTS}


def loaded(known: dict[str, drift.Profile], version: str = "1") -> list[Loaded]:
    return [
        Loaded(species=species, version=version, bundle=f"{species}{version}" * 8, simulated=True, profile=profile)
        for species, profile in known.items()
    ]


def watch(known: dict[str, drift.Profile], clock: Callable[[], float] = time.time) -> Watch:
    made = Watch(Metrics(ROUTES, CollectorRegistry()), clock, params.read(ROOT / "params.yaml").monitor)
    made.swapped(1, loaded(known))
    return made


def send(to: Watch, known: dict[str, drift.Profile], own: str, source: str, records: int, seed: int = 1000) -> None:
    """Records of `source` that were sent to the adapter of `own`."""
    for number in range(records):
        dna_of = dna(seed + number, source)
        answer = drift.match(dna_of, own, known, 10)
        to.observed(own, len(dna_of), sequence.gc(dna_of), sequence.n_share(dna_of), answer)


@contextmanager
def served(shown: Watch) -> Iterator[str]:
    """A server with nothing but the monitor on it; gives its address."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(page.router(shown))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.started, "uvicorn did not start within 10 s"
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
