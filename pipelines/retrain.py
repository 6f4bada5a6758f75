"""A guarded retrain: champion → ``prior/``, rows → ``releases/``, lines of params.yaml, `dvc repro`, the verdict.

Everything a retrain is a function of is a tracked input; nothing is promoted here.
"""

import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.representer import RoundTripRepresenter

from episome import bundle, params, shelf
from episome.params import Params
from episome.types import EpisomeError
from pipelines import attempts, champions, child, feedback, journal, lock, paths, prior, releases
from pipelines.attempts import Attempt
from pipelines.journal import PARAMS


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrained:
    """What a retrain came to.

    Attributes:
        species: short id.
        prior: name under ``prior/`` of the champion it was held to.
        release: name under ``releases/`` of the added rows, with those the champion had.
        attempts: all that was tried, the one that the workspace holds last.
        end: why no more was tried, in words; empty where the last one passed.
    """

    species: str
    prior: str
    release: str
    attempts: tuple[Attempt, ...]
    end: str

    @property
    def passed(self) -> bool:
        """Whether `promote` will take it."""
        return self.attempts[-1].passed


def retrain(species: str, data: Path, settings: Params, *, task: str | None = None, repair: bool = True) -> Retrained:
    """Train a challenger on the champion's data and the rows in `data`, held to the champion.

    Where the gate finds that it forgot, the rungs of ``retrain.ladder`` are tried one after another. params.yaml names
    prior, release and the rung's values while an attempt runs, and goes on to if the gate passed it. After a refusal it
    is as it was, so that nothing is built on what was refused; the same call with other numbers is the next attempt.
    Every attempt is kept in ``reports/retrain/`` and registered as a version.

    Args:
        species: short id; it needs a champion.
        data: CSV file with columns ``sequence,label,task`` and perhaps ``group,split``, or a folder that
            `episome feedback export` wrote.
        settings: params.yaml as it is now.
        task: task of every row where the file has no such column.
        repair: whether to try the ladder.

    Raises:
        EpisomeError: no champion, a wrong row (named), or the pipeline stopped; params.yaml is then as it was.
        BundleError: the champion on the shelf does not verify.
    """
    table = feedback.dataset(data, species) if data.is_dir() else data
    rows = releases.read(table, settings.tasks_of(species), ambiguous=settings.windows.ambiguous, task=task)
    with lock.hold(journal.LOCK):
        if journal.settle():
            settings = params.read(PARAMS)
        champion = shelf.open_bundle(champions.folder(settings), champions.of(species, settings).bundle)
        release = releases.write(species, rows, bundle.read_species_card(champion).lineage.release)
        return _climb(species, champion, release, settings, repair=repair)


def _climb(species: str, champion: Path, release: str, settings: Params, *, repair: bool) -> Retrained:
    """Attempt after attempt, until one passes or no further one could."""
    held_to = paths.prior_name(species, bundle.digest(champion))
    done: list[Attempt] = []
    rungs, end = _rungs(species, settings, repair=repair), ""
    for number, (rung, train) in enumerate(rungs.items(), start=1):
        prior.pin(species, champion, settings.with_train(species, train))  # which rows it keeps hangs on `train.memory`
        _track([paths.pinned(held_to), paths.release(release)])
        journal.begin(species, edited(PARAMS.read_bytes(), species, {"prior": held_to, "release": release}, train))
        passed = False
        try:
            done.append(_attempt(species, rung, train))
            end = done[-1].beyond_repair()
            if number == len(rungs) and not (done[-1].passed or end):
                end = "every rung of retrain.ladder was tried" if repair else "retrain.ladder was not to be tried"
            record = paths.retrain(species)
            attempts.write(record, species=species, prior=held_to, release=release, attempts=done, end=end)
            passed = done[-1].passed
        finally:
            journal.end(keep=passed)
        if passed or end:
            break
    return Retrained(species=species, prior=held_to, release=release, attempts=tuple(done), end=end)


def _rungs(species: str, settings: Params, *, repair: bool) -> dict[str, dict[str, Any]]:
    """Values of `train` beside those of params.yaml: none at first, then those of each rung and the ones below it."""
    found: dict[str, dict[str, Any]] = {"": {}}
    train: dict[str, Any] = {}
    for name, changed in settings.ladder_of(species).items() if repair else ():
        if changed:  # λ × 10 where λ is 0, say, would only train the same again
            train = found[name] = train | changed
    return found


def _track(folders: Sequence[Path]) -> None:
    """Put folders under DVC that are not yet; their names hold their content, so once is enough."""
    fresh = [str(folder) for folder in folders if not folder.with_name(f"{folder.name}.dvc").exists()]
    if fresh:
        _dvc("add", *fresh)


def _attempt(species: str, rung: str, train: Mapping[str, Any]) -> Attempt:
    """What the pipeline comes to with params.yaml as it is now, registered."""
    _dvc("repro", f"register@{species}")
    report, registration = (json.loads(path(species).read_bytes()) for path in (paths.gate, paths.registration))
    return Attempt(rung=rung, train=train, version=registration["version"], report=report)


class _Spelled(RoundTripRepresenter):
    """Writes ``null`` where params.yaml has it; the library would leave the place empty."""


_Spelled.add_representer(type(None), lambda out, _: out.represent_scalar("tag:yaml.org,2002:null", "null"))


def edited(text: bytes, species: str, values: Mapping[str, str], train: Mapping[str, Any]) -> bytes:
    """params.yaml with some values of one species, and of its `train`, replaced and every other byte kept."""
    yaml = YAML()
    yaml.Representer = _Spelled
    yaml.preserve_quotes = True
    yaml.width = 1 << 16
    tree = yaml.load(text)
    tree["species"][species].update(values)
    tree["species"][species]["train"].update(train)
    out = io.BytesIO()
    yaml.dump(tree, out)
    return out.getvalue()


def _dvc(*words: str) -> None:
    """Run dvc with its output on stderr; it ends with this process, however that ends.

    Raises:
        EpisomeError: dvc failed.
    """
    code = child.run([sys.executable, "-m", "dvc", *words])
    if code != 0:
        raise EpisomeError(
            f"`dvc {' '.join(words)}` stopped with exit status {code}; what it said is above. params.yaml is as it was"
        )
