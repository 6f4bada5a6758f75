"""How long a connection may keep the service waiting; the only file that knows uvicorn.

An application hears of a request once its head has come, and uvicorn waits for that for ever; so the wait is cut short
here, in the protocol. It does the same for a caller who does not read the answer.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from uvicorn import config
from uvicorn.protocols.http.h11_impl import H11Protocol


class Patient(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, for `seconds` at a time.

    Attributes:
        seconds: until the head of a request must have come, and between two signs that an answer is being read.
    """

    seconds = 10.0

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._head: asyncio.TimerHandle | None = None
        self._reader: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast("asyncio.Transport", transport))
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head()
        self._stop_reader()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._wait_for_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._wait_for_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_reader()

    def _wait_for_head(self) -> None:
        """Give the next request its time, from the end of the one before, or stop the clock once it is here."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_head()
        elif self._head is None and not self.transport.is_closing():
            self._head = self._later(self._hang_up)

    def _wait_for_reader(self) -> None:
        """Hang up unless less is left to send after a while."""
        left = self.transport.get_write_buffer_size()

        def look() -> None:
            if self.transport.get_write_buffer_size() < left:
                self._wait_for_reader()
            else:
                self._hang_up()

        self._reader = self._later(look)

    def _stop_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _stop_reader(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None

    def _hang_up(self) -> None:
        self.transport.abort()

    def _later(self, act: Callable[[], None]) -> asyncio.TimerHandle:
        return self.loop.call_later(self.seconds, act)


def install() -> None:
    """Have uvicorn speak so wherever it is not told otherwise: BentoML starts it, and leaves no choice of protocol."""
    config.HTTP_PROTOCOLS["auto"] = f"{__name__}:{Patient.__name__}"
