"""What a retrain is held to, in a folder under ``prior/``: the champion bundle, and rows of its that it may keep."""

import shutil
import tempfile
from pathlib import Path

import pandas as pd

from episome import bundle, coreset, dataset
from episome.params import Params
from episome.types import EpisomeError
from pipelines import paths


def pin(species: str, champion: Path, settings: Params) -> str:
    """Copy a champion to ``prior/``, whole or not at all, with the rows that `train.memory` lets its retrain keep.

    A bundle that is there already must be the same; rows are chosen anew.

    Args:
        species: short id.
        champion: its bundle.
        settings: params.yaml.

    Returns:
        Its name under ``prior/``.

    Raises:
        EpisomeError: another bundle is there under that name, or rows of the champion's releases are missing.
        BundleError: what is there does not verify.
    """
    digest = bundle.digest(champion)
    name = paths.prior_name(species, digest)
    folder = paths.pinned(name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder.parent) as scratch:
        fresh = Path(scratch) / name
        shutil.copytree(champion, fresh / paths.prior(name).name, copy_function=shutil.copyfile)
        numbers = settings.train_of(species)
        if numbers.memory == "coreset":
            pool = _trained_on(species, champion)
            rows = coreset.choose(pool, numbers.coreset_per_class, settings.seed)
            coreset.write(fresh, rows, numbers.coreset_per_class, settings.seed)
        if folder.exists():
            _renew(folder, fresh)
        else:
            fresh.rename(folder)
    bundle.verify(paths.prior(name))
    if (found := bundle.digest(paths.prior(name))) != digest:
        raise EpisomeError(f"{folder}: holds the bundle {found}, the champion is {digest}; remove that folder")
    return name


def _trained_on(species: str, champion: Path) -> pd.DataFrame:
    """Training rows of the champion that are still held; of releases that are gone, what its own prior kept of them."""
    lineage = bundle.read_species_card(champion).lineage
    rows = dataset.read(paths.windows(species) / "rows.parquet")
    kept, earlier = rows[rows["release"].isin(lineage.releases)], paths.pinned(lineage.prior)
    if (earlier / coreset.ABOUT).is_file():
        before = coreset.read(earlier)
        gone = before[~before["release"].isin(rows["release"])]
        # a task that was added since has no label in them
        kept = pd.concat([kept, gone.reindex(columns=rows.columns, fill_value=dataset.MISSING).astype(rows.dtypes)])
    if missing := sorted({*lineage.releases} - {*kept["release"]}):
        raise EpisomeError(
            f"{species}: the champion was trained on {', '.join(missing)}, of which no row is here to keep; "
            f"`dvc checkout` brings {paths.windows(species)} back, and train.memory: none keeps no row"
        )
    return kept[kept["split"] == "train"]


def _renew(folder: Path, fresh: Path) -> None:
    """Put the rows of `fresh` in place of those in `folder`; DVC is to look again where they differ."""
    if _content(folder / coreset.ABOUT) == _content(fresh / coreset.ABOUT):
        return
    folder.with_name(f"{folder.name}.dvc").unlink(missing_ok=True)
    for name in (coreset.ABOUT, coreset.ROWS):
        (folder / name).unlink(missing_ok=True)
    for name in (coreset.ROWS, coreset.ABOUT):  # what says that all is there comes last
        if (fresh / name).exists():
            (fresh / name).rename(folder / name)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
