"""How long the parts of a benchmark take, on stderr as they end."""

import sys
import time
from collections.abc import Callable
from typing import Any


def timed(what: str, run: Callable[..., Any], *arguments: str) -> None:
    """Run it and say its wall time in seconds."""
    began = time.perf_counter()
    run(*arguments)
    print(f"{what}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
