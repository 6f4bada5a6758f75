"""From a finished pipeline to answers: promotion, the demo's service, HTTP and the command line, in one network.

Run as ``python -m tests.walk PORT`` in the project's copy; prints one JSON object of what was seen.
"""

import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from episome import fasta
from tests.monitoring.browser import browser, cells, installed

# The micro world's profiles tell 17 of 18 such pieces of the fly from human ones and take no human one for another's.
PIECE = 1000  # bases
PER_CONTIG = 3
AT_ONCE = 4  # records in a call
SCREENSHOT = Path("demo/monitor.png")


def fetch(url: str, body: bytes | None = None) -> str:
    """Body of an HTTP answer as text."""
    call = urllib.request.Request(url, data=body, headers={"content-type": "application/json"} if body else {})
    with urllib.request.urlopen(call, timeout=60) as answer:
        text: bytes = answer.read()
    return text.decode()


def command(*words: str) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def walk(port: str) -> dict[str, Any]:
    """Promote all species, serve them, ask the service and the command line the same, and end the service."""
    url = f"http://127.0.0.1:{port}"
    seen: dict[str, Any] = {"promote": command("episome", "promote", "--all")}
    seen["demo"] = command(sys.executable, "-m", "serving.demo", "--port", port)
    try:
        body = json.loads(Path("demo/request.json").read_bytes()) | {"report": "all"}
        seen["http"] = fetch(f"{url}/v1/annotate", json.dumps(body).encode())
        for page in ("docs", "openapi.json", "monitor", "metrics", "v1/species"):
            seen[page] = fetch(f"{url}/{page}")
        seen["cli"] = command(
            "episome", "annotate", "-s", body["species"], "--format", "jsonl", "--report", "all", "demo/example.fa"
        )
        seen |= drift(url)
    finally:
        seen["stop"] = command(sys.executable, "-m", "serving.demo", "--stop")
    return seen


def drift(url: str) -> dict[str, Any]:
    """Send the human adapter pieces of its own genome, then of the fly's; what answers, metrics and page say."""
    seen: dict[str, Any] = {}
    for source in ("human_sim", "fly_sim"):
        matches = []
        sent = list(pieces(source))
        for at in range(0, len(sent), AT_ONCE):
            body = {"species": "human_sim", "records": sent[at : at + AT_ONCE]}
            answer = json.loads(fetch(f"{url}/v1/annotate", json.dumps(body).encode()))
            matches += [result["match"] for result in answer["results"]]
        seen[source] = {
            "matches": matches,
            "metrics": fetch(f"{url}/metrics"),
            "page": json.loads(fetch(f"{url}/monitor/data.json")),
        }
    seen["shown"] = shown(url)
    return seen


def pieces(species: str) -> Iterator[dict[str, str]]:
    """Records spread evenly over the contigs of a simulated genome that are training text; ``MT`` is none."""
    for contig in fasta.read(Path("data/world/demo") / species / "genome.fa.gz"):
        if contig.id == "MT":
            continue
        step = len(contig.sequence) // PER_CONTIG
        for start in range(0, PER_CONTIG * step, step):
            yield {"id": f"{species}:{contig.id}:{start}", "sequence": contig.sequence[start : start + PIECE]}


def shown(url: str) -> dict[str, Any] | None:
    """What a browser makes of the monitor page, with a screenshot; None where there is no browser."""
    program = installed()
    if program is None:
        return None
    with tempfile.TemporaryDirectory() as profile, browser(program, Path(profile)) as page:
        page.size(1280, 1000)
        page.open(f"{url}/monitor")
        page.wait("document.querySelector('tr[data-species=human_sim] .badge.alarm') !== null")
        page.screenshot(SCREENSHOT)
        return {
            "human_sim": cells(page, "human_sim"),
            "fly_sim": cells(page, "fly_sim"),
            "title": page.evaluate("document.title"),
            "requested": page.requested,
            "errors": page.errors,
        }


if __name__ == "__main__":
    json.dump(walk(sys.argv[1]), sys.stdout)
