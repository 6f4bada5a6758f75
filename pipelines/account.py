"""A trace as text for people and as JSON for machines."""

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from pipelines import dvclock, origin, recipe
from pipelines.ledger import Line
from pipelines.trace import NONE, Trace

_MISSING = "missing (see below)"
_WIDTH = 104  # of a value: lines of 120


def words(found: Trace) -> Iterator[str]:
    """Lines for people."""
    yield _title(found)
    for name, value in (*_hashes(found), *_data(found), *_numbers(found), *_commit(found), *_gate(found)):
        yield f"  {name:<12}  {value}".rstrip()
    for name, value in (*_lineage(found), *_ledger(found), *_answered(found)):
        yield f"  {name:<12}  {value}".rstrip()
    for heading, lines in (("Doubts", found.doubts), ("Missing", found.missing)):
        if lines:
            yield f"{heading}:"
            yield from (f"  - {line}" for line in lines)
    if found.recipe is not None:
        yield "Commands that rebuild it (`episome reproduce` runs them in a temporary clone):"
        yield from (f"  {line}" for line in recipe.lines(found.recipe))


def as_json(found: Trace) -> dict[str, Any]:
    """The same and more; what is missing is null or empty."""
    return {
        "bundle": found.bundle,
        "species": found.species,
        "simulated": found.card.simulated if found.card else None,
        "version": found.version.number if found.version else None,
        "aliases": list(found.aliases),
        "answers_now": found.champion,
        "adapter": _adapter(found),
        "base": _base(found),
        "data": {
            "rows": _rows(found),
            "inputs": _inputs(found),
            "stages": [asdict(stage) for stage in found.stages],
            "pins": list(found.pins),
        },
        "params": dict(found.numbers),
        "git": {"commit": found.version.git_commit, "dirty": found.version.dirty} if found.version else None,
        "registered_with": found.state,
        "gate": {"sha256": found.gate_name, "report": found.gate},
        "lineage": asdict(found.card.lineage) if found.card else None,
        "donor_version": found.donor,
        "ancestors": [asdict(each) for each in found.ancestors],
        "ledger": [_line(line) for line in found.lines],
        "receipt": asdict(found.receipt) if found.receipt else None,
        "commands": list(recipe.lines(found.recipe)) if found.recipe else [],
        "doubts": list(found.doubts),
        "missing": list(found.missing),
    }


def _title(found: Trace) -> str:
    number = f"version {found.version.number}" if found.version else "no registered version"
    remarks = [*found.aliases]
    remarks += ["answers now"] if found.champion else []
    if found.card is not None:
        remarks += ["simulated" if found.card.simulated else "real"]
    return f"{found.species or 'unknown species'} {number} ({', '.join(remarks) or 'no alias'})"


def _adapter(found: Trace) -> str | None:
    return found.card.files.get(recipe.ADAPTER) if found.card else None


def _base(found: Trace) -> str | None:
    return found.card.base if found.card else found.receipt.base if found.receipt else None


def _rows(found: Trace) -> str | None:
    return found.card.lineage.data if found.card else found.receipt.data if found.receipt else None


def _hashes(found: Trace) -> Iterator[tuple[str, str]]:
    yield "bundle", found.bundle
    yield "adapter", _adapter(found) or _MISSING
    yield "base", _base(found) or _MISSING


def _inputs(found: Trace) -> dict[str, str]:
    """Data that no stage makes: path → DVC's hash."""
    return {path: md5 for path, md5 in dvclock.inputs(found.stages).items() if not dvclock.is_code(path)}


def _data(found: Trace) -> Iterator[tuple[str, str]]:
    yield "data", f"{_rows(found) or _MISSING}  rows.parquet, sha256"
    trained = (stage for stage in found.stages if stage.name == f"train@{found.species}")
    for stage in trained:
        yield from (("", f"{md5}  {path}, DVC's md5") for path, md5 in stage.deps.items() if not dvclock.is_code(path))
    yield from (("", f"{md5}  {path}, an input, DVC's md5") for path, md5 in _inputs(found).items())


def _numbers(found: Trace) -> Iterator[tuple[str, str]]:
    yield "params", f"{found.card.lineage.params if found.card else _MISSING}  sha256"
    sections: dict[str, list[str]] = {}
    for key, value in sorted(found.numbers.items()):
        section, _, name = key.partition(".")
        sections.setdefault(section, []).append(f"{name} {value}".strip())
    for section, values in sections.items():
        yield from (("", line) for line in textwrap.wrap(f"{section}: {', '.join(values)}", _WIDTH))


def _commit(found: Trace) -> Iterator[tuple[str, str]]:
    if found.version is None:
        yield "git commit", found.receipt.git_commit if found.receipt else _MISSING
        return
    changed = tuple((found.state or {}).get("changed") or ())
    remark = {"no": "nothing changed", "unknown": "changed or not is unknown"}.get(found.version.dirty)
    if remark is None:
        other = origin.unrecorded(changed)
        remark = f"changed: {', '.join(changed) or 'not recorded what'}"
        remark += f"; not recorded: {', '.join(other)}" if other else "; recorded" if changed else ""
    yield "git commit", f"{found.version.git_commit}  {remark}"


def _gate(found: Trace) -> Iterator[tuple[str, str]]:
    if found.gate is None:
        yield "gate report", _MISSING
        return
    checks = found.gate["checks"]
    passed = sum(bool(check["passed"]) for check in checks)
    verdict = "passed" if found.gate["passed"] else "FAILED"
    yield "gate report", f"{found.gate_name}  {verdict}, {passed} of {len(checks)} checks"
    for check in checks:
        yield "", f"{'passed' if check['passed'] else 'FAILED'}  {check['name']}: {check['message']}"


def _lineage(found: Trace) -> Iterator[tuple[str, str]]:
    if found.card is None:
        yield "lineage", _MISSING
        return
    stated = found.card.lineage
    number = f", version {found.donor}" if found.donor else ""
    yield "donor", f"{stated.donor}{number if stated.donor not in NONE else ': none, it starts from the base model'}"
    yield "releases", f"{', '.join(stated.releases)}; added with it: {stated.release}"
    yield "prior", stated.prior if found.ancestors else f"{stated.prior}: held to no champion"
    for each in found.ancestors:
        yield "", f"{each.name}: version {each.version or 'missing'}, release {each.release or 'missing'}"


def _ledger(found: Trace) -> Iterator[tuple[str, str]]:
    if not found.lines:
        yield "ledger", "no line about it"
    for number, line in enumerate(found.lines):
        came = f"version {line.before.version}" if line.before else "none"
        said = f"{line.seq}  {line.time}  {line.action} by {line.actor}: {came} → version {line.after.version}"
        yield "" if number else "ledger", f"{said}  {line.reason}"


def _answered(found: Trace) -> Iterator[tuple[str, str]]:
    if found.receipt is not None:
        yield "answered", f"by {found.receipt.tool} on {found.receipt.provider}"


def _line(line: Line) -> Mapping[str, Any]:
    fields = asdict(line)
    return {"from": fields.pop("before"), "to": fields.pop("after")} | fields
