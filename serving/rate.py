"""How much each caller may ask: a token bucket each, of a bounded number of callers."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

MOST_CALLERS: Final = 10_000


class Limiter:
    """Buckets by caller, each full at first; who has not asked for longest is forgotten when there are too many."""

    def __init__(self, *, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        """No caller is known yet.

        Args:
            per_second: tokens that come back into each bucket.
            burst: tokens that a bucket holds.
            clock: seconds that never go back.
        """
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str, cost: float) -> float:
        """Take the tokens of one call, where they are there.

        What costs more than a bucket holds is let in when it is full, and leaves it empty.

        Returns:
            Seconds after which they would be there; 0 where they were taken.
        """
        now = self._clock()
        held, since = self._buckets.pop(caller, (self._burst, now))
        held = min(self._burst, held + (now - since) * self._per_second)
        missing = min(cost, self._burst) - held
        if missing <= 0:
            held -= min(cost, self._burst)
        self._buckets[caller] = (held, now)
        if len(self._buckets) > MOST_CALLERS:
            self._buckets.popitem(last=False)
        return max(0.0, missing / self._per_second)
