"""Named sets of parameters for the scenarios of the study; each only sets values that params.yaml documents."""

from importlib.resources import files
from typing import Any

import yaml

from episome.sources import Frozen, Name, Text
from episome.types import EpisomeError


class Preset(Frozen):
    """A scenario: what it is for, and the values it sets, as params.yaml nests them."""

    about: Text
    params: dict[Name, dict[str, Any]]


def presets() -> dict[str, Preset]:
    """All of them by name, in the order of the file."""
    raw = yaml.safe_load(files("episome").joinpath("presets.yaml").read_text(encoding="utf-8"))
    return {name: Preset.model_validate(body) for name, body in raw.items()}


def text(name: str) -> str:
    """One preset as YAML to be merged into params.yaml.

    Raises:
        EpisomeError: there is none of that name.
    """
    known = presets()
    if name not in known:
        raise EpisomeError(f"no preset {name!r}; known: {', '.join(known)}")
    return f"# {known[name].about}\n" + yaml.safe_dump(known[name].params, sort_keys=False, default_flow_style=None)


def merge(tree: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """`tree` with `values` in place of its own, key by key down to what is no map; neither is changed.

    A map that names a rule is taken whole: numbers of another rule mean nothing beside it.
    """
    merged = dict(tree)
    for key, value in values.items():
        old = tree.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and "rule" not in value:
            value = merge(old, value)
        merged[key] = value
    return merged
