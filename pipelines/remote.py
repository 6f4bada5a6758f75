"""Questions to a web host before anything is downloaded, so that what is wrong is said in words."""

import http.client
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from episome.types import EpisomeError

_CERTIFICATE: Final = (
    "the host's certificate is not trusted here. Some hosts send an incomplete chain, and some networks put their own "
    "certificate in between: set SSL_CERT_FILE to a file with the missing certificates. Checks are never switched off"
)


class RemoteError(EpisomeError):
    """What a host answered is not what was wanted."""


class UnreachableError(RemoteError):
    """No answer: no network, no such host, no connection that can be trusted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a host says of a file.

    Attributes:
        size: bytes; None where it does not say.
        etag: the host's own mark of this version, not of its content; None where it gives none.
    """

    size: int | None
    etag: str | None


def ask(url: str, timeout: float) -> Answer:
    """Size and ETag of a file, by a HEAD request.

    Args:
        url: of the file.
        timeout: seconds of silence.

    Raises:
        RemoteError: not there, refused, a page or a folder's index in its place, or led away from https.
        UnreachableError: nobody answers, or the certificate is not trusted.
    """
    with _open(url, "HEAD", timeout) as response:
        kind = response.headers.get_content_type()
        size = response.headers.get("Content-Length")
        if kind == "text/html":
            raise RemoteError(f"{url}: a page came ({kind}); wanted a file. Is it a folder, or the page of a login?")
        return Answer(size=int(size) if size and size.isdigit() else None, etag=response.headers.get("ETag"))


def text(url: str, timeout: float) -> str:
    """A small text file.

    Raises:
        RemoteError: as for `ask`, or it is no text.
        UnreachableError: as for `ask`.
    """
    try:
        with _open(url, "GET", timeout) as response:
            return str(response.read().decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RemoteError(f"{url}: wanted text; {error}") from error
    except (OSError, http.client.HTTPException) as error:
        raise UnreachableError(f"{url}: cut off: {error!r}") from error


def _open(url: str, method: str, timeout: float) -> http.client.HTTPResponse:
    request = urllib.request.Request(url, method=method, headers={"Accept-Encoding": "identity"})
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        raise RemoteError(f"{url}: the host answered {error.code} {error.reason}; wanted 200 and the file") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLError):
            raise UnreachableError(f"{url}: {_CERTIFICATE} ({error.reason})") from error
        raise UnreachableError(
            f"{url}: no answer: {error.reason}. Is there a network, is the host's name right?"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise UnreachableError(f"{url}: no answer: {error!r}") from error
    came = urlsplit(response.url)
    if came.scheme != urlsplit(url).scheme:
        response.close()
        raise RemoteError(f"{url}: led on to {response.url}; wanted an address of the same kind")
    return response
