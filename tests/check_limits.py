"""Limits of the data gate for tests, with some of them changed."""

from typing import Any

from episome.limits import Check


def limits(**changes: Any) -> Check:
    """No fault allowed, small classes judged."""
    given: dict[str, Any] = {
        "max_n_share": 0.1,
        "max_contradictions": 0.0,
        "max_split_overlap": 0.0,
        "max_group_overlap": 0.0,
        "max_species_overlap": 0.0,
        "class_share": (0.2, 0.8),
        "min_rows": {"train": 20, "val": 5, "test": 5},
        "bases_per_token": 1,
        "shortcut": {"case": 0.7, "case_of_kind": 0.95, "n": 0.6, "length": 0.6, "gc": 0.7, "min_rows": 20},
    }
    return Check.model_validate(given | changes)
