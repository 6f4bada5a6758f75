"""The gate: who asks and how much they asked of late, before anything of a request's body is read."""

import base64
import binascii
import ipaddress
import math
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from episome import answer, keys
from episome.keys import Holder, Role
from episome.serveparams import Serve
from serving import admission, problems
from serving.drain import Drain
from serving.rate import Limiter

Access = Literal["open", Role]
"""Who may ask for a route: everybody, or whose key has this role. An operator may all that a reader may."""

RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    401: {**problems.DESCRIBED, "description": "No API key came, or none that is known."},
    403: {**problems.DESCRIBED, "description": "The key's role does not open this."},
    429: {**problems.DESCRIBED, "description": "Too much was asked of late; `Retry-After` says when there is room."},
}
"""What OpenAPI says of every route."""

_REALM: Final = 'realm="episome"'


class Gate:
    """In front of all routes; what it refuses never reaches one."""

    def __init__(
        self,
        inner: ASGIApp,
        *,
        access: Callable[[str], Access],
        holders: Sequence[Holder],
        limits: Serve,
        drain: Drain,
        shed: Callable[[str], None],
    ) -> None:
        """Stand in front of an application.

        Args:
            inner: the application.
            access: by path, who may ask.
            holders: of keys; nobody: no key is asked for.
            limits: of the service.
            drain: whether calls are still let in.
            shed: told why a call was turned away that may come again.
        """
        self._inner = inner
        self._access = access
        self._holders = holders
        self._limits = limits
        self._drain = drain
        self._shed = shed
        rate = limits.rate
        self._limiter = None if rate is None else Limiter(per_second=rate.per_second, burst=rate.burst)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        take, give = self._until_read(Headers(scope=scope), receive, send)
        access = self._access(scope["path"])
        if access == "open":
            await self._inner(scope, take, give)
        elif (refusal := self._refusal(scope, access)) is not None:
            await refusal(scope, take, give)
        else:
            with self._drain.inside():
                await self._inner(scope, take, give)

    def _refusal(self, scope: Scope, role: Role) -> Response | None:
        headers = Headers(scope=scope)
        caller = _address(scope)
        if self._holders:
            holder = keys.who(_key(headers, scope["method"]), self._holders)
            if holder is None:
                return _unknown(scope["method"])
            if role == "operator" and holder.role != "operator":
                detail = f"this is for operators, and the key of {holder.name} is a reader's"
                return problems.response(answer.refused("role", "Not for this key", 403, detail).problem)
            caller = holder.name
        if self._drain.begun:
            self._shed("stopping")
            return problems.response(admission.busy("stopping").problem)
        return self._too_much(caller, headers) if role == "reader" else None

    def _too_much(self, caller: str, headers: Headers) -> Response | None:
        rate = self._limits.rate
        if self._limiter is None or rate is None:
            return None
        seconds = self._limiter.take(caller, 1 if rate.unit == "requests" else _bases(headers, self._limits))
        if not seconds:
            return None
        self._shed("rate_limit")
        detail = f"more than {rate.per_second:g} {rate.unit} a second (serve.rate); Retry-After says when to come again"
        problem = answer.refused("rate-limit", "Too much", 429, detail).problem
        return problems.response(problem, retry_after=math.ceil(seconds))

    def _until_read(self, headers: Headers, receive: Receive, send: Send) -> tuple[Receive, Send]:
        """Both ways, so that a connection ends with an answer that came before its request was read, or while draining.

        Else the server would read on to the end of what nobody wants, or keep callers who should go elsewhere.
        """
        unread = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"

        async def take() -> Message:
            nonlocal unread
            message = await receive()
            unread = unread and bool(message.get("more_body", False))
            return message

        async def give(message: Message) -> None:
            if message["type"] == "http.response.start" and (unread or self._drain.begun):
                MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        return take, give


def _unknown(method: str) -> Response:
    detail = "an API key that is known here is wanted: Authorization: Bearer KEY"
    response = problems.response(answer.refused("key", "Key wanted", 401, detail).problem)
    response.headers.append("WWW-Authenticate", f"Bearer {_REALM}")
    if _readable(method):
        response.headers.append("WWW-Authenticate", f'Basic {_REALM}, charset="UTF-8"')
    return response


def _key(headers: Headers, method: str) -> str:
    """The key that came; of a browser as the password of any name."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic" and _readable(method):
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


def _readable(method: str) -> bool:
    """Whether a method changes nothing. A browser sends a password along with what other sites make it send, too."""
    return method in {"GET", "HEAD"}


def _address(scope: Scope) -> str:
    """Where a request comes from; of IPv6 the network, which is what one caller has."""
    host = (scope.get("client") or ("local",))[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return str(host)
    return str(address if address.version == 4 else ipaddress.ip_network((address, 64), strict=False))


def _bases(headers: Headers, limits: Serve) -> int:
    """Bases a body may hold at most; one where there is none."""
    announced = headers.get("content-length", "0")
    if "transfer-encoding" in headers or not announced.isdecimal():
        return limits.max_body_bytes
    return max(1, min(int(announced), limits.max_body_bytes))
