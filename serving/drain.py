"""The way out: after SIGTERM new calls are refused, those that are inside are finished, and then the service ends."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

_LOOK_SECONDS = 0.05


class Drain:
    """Whether calls are still let in; for one event loop.

    Attributes:
        begun: none is let in any more.
        number: of calls inside.
    """

    def __init__(self) -> None:
        self.begun = False
        self.number = 0

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Be inside for the length of the block."""
        self.number += 1
        try:
            yield
        finally:
            self.number -= 1

    async def over(self, *, least: float, most: float) -> int:
        """Let no more calls in, and wait for those inside.

        Args:
            least: seconds to wait although nobody is inside, so that balancers notice.
            most: seconds after which not to wait for those inside any more.

        Returns:
            How many were still inside.
        """
        self.begun = True
        end = time.monotonic() + most
        await asyncio.sleep(least)
        while self.number and time.monotonic() < end:
            await asyncio.sleep(_LOOK_SECONDS)
        return self.number
