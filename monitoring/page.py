"""The page `/monitor`: three static files of our own and the JSON they poll; nothing is loaded from outside."""

from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response

from monitoring.watch import Watch

_STATIC: Final = Path(__file__).parent / "static"
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def router(watch: Watch) -> APIRouter:
    """Routes of the page and of its data, to be included in the service's app without a prefix."""
    routes = APIRouter(include_in_schema=False)
    for path, name, kind in (
        ("/monitor", "page.html", "text/html"),
        ("/monitor/page.css", "page.css", "text/css"),
        ("/monitor/page.js", "page.js", "text/javascript"),
    ):
        routes.add_api_route(path, _file(_STATIC / name, kind), methods=["GET"])

    @routes.get("/monitor/data.json")
    def data(response: Response, minutes: Annotated[int, Query(ge=1, le=60)] = 15) -> dict[str, Any]:
        response.headers["Cache-Control"] = "no-store"
        return watch.snapshot(minutes)

    return routes


def _file(path: Path, kind: str) -> Any:
    content = path.read_bytes()

    def answer() -> Response:
        # no-cache: a browser asks again after an upgrade instead of mixing an old script with new data.
        return Response(content, media_type=kind, headers={**_HEADERS, "Cache-Control": "no-cache"})

    return answer
