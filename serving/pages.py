"""Two pages: where things are, and the API with a form to try it. Nothing in them comes from outside."""

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

# The package ships Swagger UI's files; only they are used.
_ASSETS = Path(fastapi_offline.__file__).parent / "static"
_MOUNT = "/docs/assets"

_HOME = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Episome</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 16px/1.6 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem; color: #1c2733; }
pre { background: #eef2f6; padding: 1rem; overflow-x: auto; border-radius: 6px; }
a { color: #0b5cad; }
@media (prefers-color-scheme: dark) { body { background: #11171d; color: #dce4ec; } pre { background: #1d262f; }
  a { color: #79b8ff; } }
</style></head><body>
<h1>Episome</h1>
<p>One DNA language model, one small adapter per species.</p>
<ul>
<li><a href="docs">API and a form to try it</a></li>
<li><a href="monitor">Monitor: latency, rate and drift, live</a></li>
<li><a href="v1/species">Species that answer now</a></li>
<li><a href="metrics">Prometheus metrics</a></li>
</ul>
<pre>curl -s URLv1/annotate --json '{
  "species": "SPECIES",
  "records": [{"id": "seq1", "sequence": "ACGTACGTGGTAAGT"}]
}'</pre>
</body></html>
"""


def mount(app: FastAPI, species: Callable[[], Sequence[str]]) -> None:
    """Serve the pages and what they need.

    Args:
        app: where to.
        species: those that answer now, for the example on the home page.
    """

    @app.get("/", include_in_schema=False)
    def home(request: Request) -> HTMLResponse:
        known = (*species(), "human")
        return _page(_HOME.replace("URL", escape(str(request.base_url))).replace("SPECIES", escape(known[0])))

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        page = get_swagger_ui_html(
            openapi_url="openapi.json",
            title=app.title,
            swagger_js_url=f"{_MOUNT[1:]}/swagger-ui-bundle.js",
            swagger_css_url=f"{_MOUNT[1:]}/swagger-ui.css",
            swagger_favicon_url=f"{_MOUNT[1:]}/favicon.png",
            swagger_ui_parameters={"validatorUrl": None},  # else Swagger UI may show the API to a validator outside
        )
        return _page(bytes(page.body).decode())

    app.mount(_MOUNT, StaticFiles(directory=_ASSETS), name="assets")


def _page(html: str) -> HTMLResponse:
    """An HTML answer that may load from this service alone, and run no script but its own.

    Swagger UI sets styles as it goes, so styles within the page are allowed.
    """
    scripts = re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    allowed = "".join(f" 'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    policy = (
        f"default-src 'none'; script-src 'self'{allowed}; style-src 'self' 'unsafe-inline'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return HTMLResponse(html, headers=headers)
