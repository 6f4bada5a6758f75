"""The page: its headers, its data, and what a real browser makes of it."""

import re
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from episome.drift import Profile
from monitoring.watch import Watch
from tests.monitoring import feed
from tests.monitoring.browser import Browser, browser, cells, installed

ROWS = "document.querySelectorAll('#rows tr[data-species]').length"


@pytest.fixture
def watch(known: dict[str, Profile]) -> Watch:
    made = feed.watch(known)
    for code in (200, 200, 200, 422):
        made.record("/v1/annotate", code, 0.25)
    made.stage("infer", 0.2)
    feed.send(made, known, "human_sim", "human_sim", 60)
    feed.send(made, known, "fly_sim", "fly_sim", 12)
    return made


@pytest.fixture
def address(watch: Watch) -> Iterator[str]:
    with feed.served(watch) as url:
        yield url


def test_page_is_small_and_names_no_other_host(address: str) -> None:
    total = 0
    for path in ("/monitor", "/monitor/page.css", "/monitor/page.js"):
        answer = httpx.get(address + path)
        assert answer.status_code == 200
        total += len(answer.content)
        hosts = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", answer.text)) - {"http://www.w3.org"}  # the name of SVG
        assert hosts == set(), path
    assert total < 100_000


def test_the_policy_forbids_everything_but_our_own_files(address: str) -> None:
    answer = httpx.get(address + "/monitor")
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert {policy[name] for name in ("script-src", "style-src", "connect-src")} == {"'self'"}
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_data_is_the_snapshot_and_is_not_stored(address: str, watch: Watch) -> None:
    answer = httpx.get(address + "/monitor/data.json")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["species"] == watch.snapshot()["species"]
    assert httpx.get(address + "/monitor/data.json?minutes=60").json()["series"]["point_seconds"] == 60


@pytest.mark.parametrize("minutes", ["0", "61", "-1", "an hour", ""])
def test_other_lengths_are_refused(address: str, minutes: str) -> None:
    assert httpx.get(address + f"/monitor/data.json?minutes={minutes}").status_code == 422


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = installed()
    if program is None:
        pytest.skip("no Chromium is installed (Debian package chromium)")
    with browser(program, tmp_path_factory.mktemp("chromium")) as page:
        yield page


@pytest.fixture
def page(chromium: Browser, address: str) -> Browser:
    chromium.size(1280, 1000)
    chromium.open("about:blank")  # what the last test's page still has to say belongs to that test
    chromium.wait("location.href === 'about:blank'")
    chromium.requested.clear()
    chromium.errors.clear()
    chromium.open(address + "/monitor")
    chromium.wait(f"{ROWS} > 0")
    return chromium


def text(page: Browser, element: str) -> str:
    found: str = page.evaluate(f"document.getElementById('{element}').innerText")
    return found


def test_what_is_shown_is_the_data(page: Browser, address: str) -> None:
    data: dict[str, Any] = httpx.get(address + "/monitor/data.json").json()
    assert page.evaluate(ROWS) == len(data["species"]) == 2
    for entry in data["species"]:
        shown = cells(page, entry["species"])
        assert shown["Records in window"] == str(entry["records"])
        assert shown["Version"].splitlines() == [entry["version"], entry["bundle"][:12]]
        assert entry["state"] in shown["Verdict"]
        assert float(shown["GC z"].replace("−", "-")) == pytest.approx(entry["gc_zscore"], abs=0.006)
        assert float(shown["Mismatch"].split()[0]) == pytest.approx(entry["mismatch_share"] * 100, abs=0.6)
    assert "12 of 50" in cells(page, "fly_sim")["Verdict"]
    assert text(page, "generation") == str(data["generation"])
    assert text(page, "p50") == f"{data['live']['latency']['p50'] * 1000:.0f}ms"
    assert text(page, "answered") == "75 %of 4"
    assert "generation 1" in text(page, "swaps")


def test_a_wrong_species_turns_the_badge_on_the_open_page(
    page: Browser, watch: Watch, known: dict[str, Profile]
) -> None:
    assert "ok" in cells(page, "human_sim")["Verdict"]
    feed.send(watch, known, "human_sim", "fly_sim", 30)
    page.wait("document.querySelector('tr[data-species=human_sim] .badge.alarm')?.innerText.includes('alarm')")
    shown = cells(page, "human_sim")
    assert shown["Looks like"].splitlines() == ["fly_sim", "30 records"]
    assert shown["Mismatch"].startswith("33 %")
    assert text(page, "alarms") == "1of 2"
    assert page.evaluate("document.title").startswith("▲ 1 in alarm")


def test_nothing_is_asked_of_another_host_and_nothing_goes_wrong(page: Browser, address: str) -> None:
    page.wait("performance.getEntriesByType('resource').filter((e) => e.name.includes('data.json')).length >= 2")
    assert len(page.requested) >= 5
    assert [url for url in page.requested if not url.startswith((address + "/", "data:"))] == []
    assert page.errors == []


@pytest.mark.parametrize("width", [320, 600, 900, 901, 1280])
def test_no_width_scrolls_sideways(page: Browser, width: int) -> None:
    page.size(width, 900)
    page.wait(f"document.querySelector('#latency svg').viewBox.baseVal.width <= {width}")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    beyond = "(element) => element.getBoundingClientRect().right > innerWidth + 1"
    assert page.evaluate(f"[...document.querySelectorAll('main *')].filter({beyond}).length") == 0


def test_keyboard_alone_reaches_the_range_and_walks_a_chart(page: Browser) -> None:
    reached = []
    for _ in range(5):
        page.press("Tab")
        reached.append(page.evaluate("document.activeElement.closest('figure, fieldset')?.id ?? 'skip'"))
    assert reached == ["skip", "range", "latency", "outcomes", "stages"]
    page.evaluate("document.querySelector('#latency svg').focus()")
    page.press("ArrowLeft")
    page.press("ArrowLeft")
    assert page.evaluate("document.querySelector('#latency .when').innerText") == "30 s ago"
    assert "30 s ago" in page.evaluate("document.querySelector('#latency svg').getAttribute('aria-label')")
    page.press("Escape")
    assert page.evaluate("document.querySelector('#latency .when').innerText") == ""
    page.evaluate("document.querySelector('input[name=minutes]').focus()")
    page.press("ArrowRight")
    page.wait("document.querySelector('#latency').innerText.includes('60 min ago')")


def test_text_from_outside_stays_text(page: Browser, watch: Watch) -> None:
    watch.refused(7, "<img src=x onerror=alert(1)>")
    page.wait("document.getElementById('swaps').innerText.includes('<img src=x onerror=alert(1)>')")
    assert page.evaluate("document.querySelectorAll('main img').length") == 0


def test_light_and_dark_follow_the_system(page: Browser) -> None:
    colours = []
    for scheme in ("light", "dark"):
        page.scheme(scheme)
        colours.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert colours == ["rgb(246, 247, 249)", "rgb(16, 21, 28)"]


def test_a_silent_service_is_said_and_the_last_numbers_stay(chromium: Browser, known: dict[str, Profile]) -> None:
    with feed.served(feed.watch(known)) as url:
        chromium.open(url + "/monitor")
        chromium.wait(f"{ROWS} === 2")
        host, port = url.removeprefix("http://").split(":")
        socket.create_connection((host, int(port)), timeout=5).close()
    chromium.wait("document.getElementById('link').innerText.startsWith('no data')")
    assert chromium.evaluate("document.body.classList.contains('stale')")
    assert chromium.evaluate(ROWS) == 2
