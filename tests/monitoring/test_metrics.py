"""The Prometheus series: closed label sets, names promtool accepts, and BentoML's multiprocess mode."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from monitoring.metrics import Metrics

BUNDLE = "ab" * 32


def fed(registry: CollectorRegistry) -> Metrics:
    """Every instrument used once."""
    metrics = Metrics(["/v1/annotate"], registry)
    metrics.serving(3, [("human_sim", "1", BUNDLE), ("fly_sim", "2", BUNDLE)])
    metrics.swap("ok")
    metrics.request("/v1/annotate", 200, 0.03)
    metrics.stage("infer", 0.02)
    metrics.rejected("character")
    metrics.shed("queue_full")
    metrics.queued(512)
    metrics.annotated("human_sim", 300)
    metrics.mismatch("human_sim", "fly_sim")
    metrics.drift("human_sim", records=60, mismatch=0.25, gc_zscore=-1.5, n_share=0.01)
    metrics.alarm("human_sim", "mismatch", on=True)
    return metrics


def samples(exposition: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(exposition.decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def value(exposition: bytes, name: str, **labels: str) -> float:
    return samples(exposition)["episome_" + name, frozenset(labels.items())]


EXPECTED = [
    ("requests_total", {"route": "/v1/annotate", "code": "200"}, 1),
    ("request_duration_seconds_sum", {"route": "/v1/annotate"}, 0.03),
    ("stage_duration_seconds_count", {"stage": "infer"}, 1),
    ("rejected_records_total", {"reason": "character"}, 1),
    ("shed_total", {"reason": "queue_full"}, 1),
    ("queue_tokens", {}, 512),
    ("annotated_bases_total", {"species": "human_sim"}, 300),
    ("model_info", {"species": "fly_sim", "version": "2", "bundle": BUNDLE}, 1),
    ("model_swaps_total", {"result": "ok"}, 1),
    ("model_swaps_total", {"result": "refused"}, 0),
    ("shelf_generation", {}, 3),
    ("adapter_mismatch_total", {"species": "human_sim", "best_species": "fly_sim"}, 1),
    ("drift_mismatch_ratio", {"species": "human_sim"}, 0.25),
    ("drift_gc_zscore", {"species": "human_sim"}, -1.5),
    ("drift_n_share_ratio", {"species": "human_sim"}, 0.01),
    ("drift_window_records", {"species": "human_sim"}, 60),
    ("drift_alarm", {"species": "human_sim", "signal": "mismatch"}, 1),
]


def test_every_series_carries_what_was_reported() -> None:
    exposition = fed(CollectorRegistry()).exposition()
    for name, labels, expected in EXPECTED:
        assert value(exposition, name, **labels) == pytest.approx(expected), name


def test_label_values_off_the_lists_become_other() -> None:
    metrics = fed(CollectorRegistry())
    for number in range(50):
        metrics.request(f"/wp-admin/{number}", 600 + number, 0.1)
        metrics.stage(f"stage{number}", 0.1)
        metrics.rejected(f"reason{number}")
        metrics.shed(f"reason{number}")
        metrics.swap(f"result{number}")
        metrics.annotated(f"species{number}", 10)
        metrics.mismatch("human_sim", f"species{number}")
        metrics.alarm("human_sim", f"signal{number}", on=False)
    exposition = metrics.exposition()
    assert value(exposition, "requests_total", route="other", code="other") == 50
    assert value(exposition, "annotated_bases_total", species="other") == 500
    assert value(exposition, "adapter_mismatch_total", species="human_sim", best_species="other") == 50
    grown = samples(exposition).keys() - samples(fed(CollectorRegistry()).exposition()).keys()
    labels = {value for _, pairs in grown for name, value in pairs if name != "le"}
    assert labels == {"other", "human_sim"}


def test_a_replaced_version_reads_zero() -> None:
    metrics = fed(CollectorRegistry())
    metrics.serving(4, [("human_sim", "2", "cd" * 32)])
    exposition = metrics.exposition()
    assert value(exposition, "model_info", species="human_sim", version="1", bundle=BUNDLE) == 0
    assert value(exposition, "model_info", species="fly_sim", version="2", bundle=BUNDLE) == 0
    assert value(exposition, "model_info", species="human_sim", version="2", bundle="cd" * 32) == 1
    assert value(exposition, "shelf_generation") == 4


def test_one_registry_takes_the_instruments_once() -> None:
    registry = CollectorRegistry()
    Metrics([], registry)
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        Metrics([], registry)


MULTIPROCESS = """
import sys
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from tests.monitoring.test_metrics import fed
fed(CollectorRegistry())
collected = CollectorRegistry()
MultiProcessCollector(collected)
sys.stdout.buffer.write(generate_latest(collected))
"""


def multiprocess(folder: Path, root: Path) -> bytes:
    """What a scrape of BentoML's workers gives: prometheus_client picks its mode at import, hence a new process."""
    folder.mkdir(exist_ok=True)
    path = os.pathsep.join([str(root), str(root / "src")])
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder), "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, "-c", MULTIPROCESS], env=environment, capture_output=True, check=True, timeout=60
    ).stdout


def test_multiprocess_mode_adds_counters_up_and_keeps_the_newest_gauge(tmp_path: Path, root: Path) -> None:
    first = multiprocess(tmp_path / "multi", root)
    for name, labels, expected in EXPECTED:
        assert value(first, name, **labels) == pytest.approx(expected), name
    second = multiprocess(tmp_path / "multi", root)
    assert value(second, "requests_total", route="/v1/annotate", code="200") == 2
    assert value(second, "queue_tokens") == 512


@pytest.mark.parametrize("mode", ["single", "multi"])
def test_promtool_finds_nothing(mode: str, tmp_path: Path, root: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    exposition = fed(CollectorRegistry()).exposition() if mode == "single" else multiprocess(tmp_path / "multi", root)
    verdict = subprocess.run([promtool, "check", "metrics"], input=exposition, capture_output=True, check=False)
    assert (verdict.returncode, verdict.stdout.decode(), verdict.stderr.decode()) == (0, "", "")
