"""The demo's last step: the service in the background, one real question to it, and how to ask the next one.

Knows BentoML by its command line only, and of the pipeline only where the simulated genomes lie.
"""

import argparse
import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from episome import fasta, params
from episome.params import Params
from episome.sources import GenomeSource
from episome.types import EpisomeError

FOLDER = Path("demo")
PID = FOLDER / "service.pid"
LOG = FOLDER / "service.log"
FLANK = 600  # bases of the example on each side of a transcription start
PATIENCE = 120.0  # seconds until a service that is not ready counts as broken
FAREWELL = 60.0  # seconds it may take to finish what is inside; serve.timeout_seconds is the most a call takes

USAGE = """
The service is running.  Ask it:

  curl -s {url}/v1/annotate -H 'content-type: application/json' -d @{request}
  curl -s {url}/v1/species                        who can be asked
  episome annotate -s {species} {example}             the same numbers as GFF3, from the command line

Look at it:   {url}/docs      every endpoint, to try in the browser
              {url}/monitor   rate, latency and drift, live
              {url}/metrics   the same for Prometheus
Log:          {log}
Stop it:      make stop

(`episome` and `dvc` are in .venv/bin; `. .venv/bin/activate` puts them on your path.)
"""


def example(known: Params) -> tuple[str, fasta.Record]:
    """Species and sequence of the example: a simulated genome around the first gene on its forward strand.

    Raises:
        EpisomeError: no simulated species has its genome here yet.
    """
    for name, species in known.species.items():
        source = species.source
        if species.simulated and isinstance(source, GenomeSource) and source.folder.is_dir():
            return name, _first_promoter(source.folder)
    raise EpisomeError(
        "no simulated genome is here to take an example from; run `dvc repro` with a world in params.yaml"
    )


def _first_promoter(folder: Path) -> fasta.Record:
    with gzip.open(folder / "genes.gtf.gz", "rt", encoding="utf-8") as lines:
        rows = (line.split("\t") for line in lines if not line.startswith("#"))
        contig, start = next(
            (row[0], int(row[3]) - 1) for row in rows if row[2] == "gene" and row[6] == "+" and int(row[3]) > FLANK
        )
    sequence = next(record.sequence for record in fasta.read(folder / "genome.fa.gz") if record.id == contig)
    name = f"{folder.name}:{contig}:{start - FLANK}-{start + FLANK}"
    return fasta.Record(id=name, description="", sequence=sequence[start - FLANK : start + FLANK])


def write_example(species: str, record: fasta.Record) -> tuple[Path, Path]:
    """Write the example as FASTA and as the body of a request; returns both paths."""
    FOLDER.mkdir(exist_ok=True)
    as_fasta, as_request = FOLDER / "example.fa", FOLDER / "request.json"
    as_fasta.write_text(f">{record.id}\n{record.sequence}\n", encoding="ascii")
    body = {"species": species, "records": [{"id": record.id, "sequence": record.sequence}]}
    as_request.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
    return as_fasta, as_request


def running() -> int | None:
    """Process id of the demo's service, or None when it is not running."""
    if not PID.is_file():
        return None
    pid = int(PID.read_text(encoding="ascii"))
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    command = Path(f"/proc/{pid}/cmdline")  # where there is one, it tells our service from a later owner of the number
    return pid if not command.exists() or b"serving.service" in command.read_bytes() else None


def start(host: str, port: int) -> None:
    """Start the service in a session of its own and wait until it is ready.

    Raises:
        EpisomeError: the port is taken, or the service ended or was not ready in time; the message ends with its log.
    """
    with socket.socket() as probe:
        if probe.connect_ex((host, port)) == 0:
            raise EpisomeError(f"something else answers on {host}:{port}; choose another port: make demo PORT=3001")
    command = ["bentoml", "serve", "serving.service:Episome", "--host", host, "--port", str(port)]
    with LOG.open("wb") as log:
        service = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    PID.write_text(f"{service.pid}\n", encoding="ascii")
    deadline = time.monotonic() + PATIENCE
    while not _ready(f"http://{host}:{port}/readyz"):
        if service.poll() is not None or time.monotonic() > deadline:
            stop()
            tail = "\n".join(LOG.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
            raise EpisomeError(f"the service did not become ready; the end of {LOG}:\n{tail}")
        time.sleep(0.3)


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def ask(url: str, request: Path) -> str:
    """Send the example and say in a line or two what came back.

    Raises:
        EpisomeError: it was refused.
    """
    headers = {"content-type": "application/json"}
    if key := os.environ.get("EPISOME_KEY"):
        headers["authorization"] = f"Bearer {key}"
    call = urllib.request.Request(f"{url}/v1/annotate", data=request.read_bytes(), headers=headers)
    try:
        with urllib.request.urlopen(call, timeout=60) as answer:
            result = json.load(answer)["results"][0]
    except urllib.error.HTTPError as error:
        detail = json.load(error)["detail"]
        raise EpisomeError(
            f"{url} answered {error.code}: {detail} (of EPISOME_KEY, where the service has keys)"
        ) from error
    lines = [f"Asked {url} about {result['id']} ({result['length']} bases); it called:"]
    for task in result["tasks"].values():
        called = [feature for feature in task["features"] if feature["called"]]
        lines += [
            f"  {f['label']:<10} {f['start']}-{f['end']} ({f['strand']})  score {f['score']:.3f}" for f in called[:4]
        ]
        lines += [f"  … and {len(called) - 4} more" for _ in called[4:5]]
    return "\n".join(lines)


def stop() -> bool:
    """End the demo's service with its workers; False when it was not running."""
    pid = running()
    if pid is not None:
        os.killpg(pid, signal.SIGTERM)
        deadline = time.monotonic() + FAREWELL
        while running() is not None and time.monotonic() < deadline:
            time.sleep(0.2)
    PID.unlink(missing_ok=True)
    return pid is not None


def main(arguments: list[str] | None = None) -> None:
    """Start (or stop) the demo's service and print how to use it."""
    parser = argparse.ArgumentParser(prog="python -m serving.demo", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--stop", action="store_true", help="end the service that the demo started")
    given = parser.parse_args(arguments)
    if given.stop:
        sys.stdout.write("stopped\n" if stop() else "the demo's service is not running\n")
        return
    species, record = example(params.read())
    as_fasta, as_request = write_example(species, record)
    url = f"http://{given.host}:{given.port}"
    if running() is None:
        start(given.host, given.port)
    elif not _ready(f"{url}/readyz"):
        raise EpisomeError(f"the demo's service runs, but not on {url}; `make stop` ends it")
    sys.stdout.write(ask(url, as_request) + "\n")
    sys.stdout.write(USAGE.format(url=url, species=species, example=as_fasta, request=as_request, log=LOG))


if __name__ == "__main__":
    try:
        main()
    except EpisomeError as error:
        sys.exit(f"error: {error}")
