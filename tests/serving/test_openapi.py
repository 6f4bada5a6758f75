"""The API is what its OpenAPI says: whatever fits the schema or breaks it, schemathesis finds no 5xx and no break."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.core.result import Ok

from episome import params
from episome.serveparams import Feedback
from serving import feedback, http
from tests import toy_bundles, worlds
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

CASES = int(os.environ.get("EPISOME_CASES", "40"))  # of each kind and route; `make fuzz` has time for more
# These two know nothing of DNA: a string is no sequence, and a list of good records may still be too long (413).
OURS_TO_JUDGE = ["positive_data_acceptance", "negative_data_rejection"]
SECONDS = 120  # until a case counts as unanswered
SPECIES = "human_sim"
DNA = toy_bundles.dna(1, 200)


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    at = tmp_path_factory.mktemp("world")
    known = params.read(ROOT / "params.yaml")
    store = Feedback(file=at / "labels.sqlite", max_rows=64, max_store_bytes=1_000_000_000)
    serve = known.serve.model_copy(update={"feedback": store})
    house = replace(worlds.house(worlds.write(at)), desk=feedback.desk(known.model_copy(update={"serve": serve})))
    yield schemathesis.openapi.from_asgi("/openapi.json", http.app(house))
    house.batcher.close()


def call(case: Any) -> Any:
    return case.call(timeout=SECONDS)


def check_all(schema: Any, mode: GenerationMode, ask: Callable[[Any], Any]) -> dict[str, set[int]]:
    """Ask every route many things; give the statuses that came, by route."""
    seen: dict[str, set[int]] = defaultdict(set)
    unwanted: Any = CHECKS.get_by_names(OURS_TO_JUDGE)
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        if mode is GenerationMode.NEGATIVE and not operation.body:  # without a body there is nothing to break
            continue

        @given(operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=CASES,
            deadline=None,
            database=None,
            derandomize="EPISOME_CASES" not in os.environ,
            suppress_health_check=list(HealthCheck),
        )
        def holds(case: Any) -> None:
            answer = ask(case)
            seen[case.operation.label].add(answer.status_code)
            case.validate_response(answer, excluded_checks=unwanted)
            assert answer.status_code < 500

        holds()
    assert seen
    return seen


def test_what_fits_the_schema_is_answered_as_the_schema_says(schema: Any) -> None:
    check_all(schema, GenerationMode.POSITIVE, call)


def test_what_is_about_dna_of_a_species_that_is_served_is_answered_too(schema: Any) -> None:
    def ask(case: Any) -> Any:
        for named in (case.path_parameters, case.query):
            if "species" in named:
                named["species"] = SPECIES
        body = case.body if isinstance(case.body, dict) else {}
        for number, each in enumerate(body.get("records", [])):
            each |= {
                "species": SPECIES,
                "sequence": DNA[: 1 + len(each["sequence"])],
                "id": f"{number} {each['id'][:9]}",
            }
        for each in body.get("rows", []):
            each |= {"species": SPECIES, "sequence": DNA[:60], "task": "promoter", "label": "present", "receipt": None}
        body.pop("tasks", None)
        return call(case)

    seen = check_all(schema, GenerationMode.POSITIVE, ask)
    assert all(200 in statuses for statuses in seen.values()), seen


def test_what_breaks_the_schema_is_refused(schema: Any) -> None:
    seen = check_all(schema, GenerationMode.NEGATIVE, call)
    assert all(400 <= status < 500 for statuses in seen.values() for status in statuses), seen
