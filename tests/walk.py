"""From a finished pipeline to answers: promotion, the demo's service, HTTP and the command line, in one network.

Run as ``python -m tests.walk PORT`` in the project's copy; prints one JSON object of what was seen.
"""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from tests import micro


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
    """Promote two species, serve them, ask the service and the command line the same, and end the service."""
    url = f"http://127.0.0.1:{port}"
    seen = {"promote": "".join(command("episome", "promote", species) for species in micro.SERVED)}
    seen["demo"] = command(sys.executable, "-m", "serving.demo", "--port", port)
    try:
        body = json.loads(Path("demo/request.json").read_bytes()) | {"report": "all"}
        seen["http"] = fetch(f"{url}/v1/annotate", json.dumps(body).encode())
        for page in ("docs", "openapi.json", "monitor", "metrics", "v1/species"):
            seen[page] = fetch(f"{url}/{page}")
        seen["cli"] = command(
            "episome", "annotate", "-s", body["species"], "--format", "jsonl", "--report", "all", "demo/example.fa"
        )
    finally:
        seen["stop"] = command(sys.executable, "-m", "serving.demo", "--stop")
    return seen


if __name__ == "__main__":
    json.dump(walk(sys.argv[1]), sys.stdout)
