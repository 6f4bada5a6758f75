"""`episome donor`: whose adapter a species could start from, by distance or else by 6-mers; writes nothing."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from episome import dataset, donors, genome, params, spectra, transfer
from episome.donors import Ranking, Target
from episome.params import Params, Species
from episome.policy import DistanceNumbers
from episome.sources import GenomeSource, IntervalSource
from episome.species import SpeciesError
from episome.spectra import LEAST, PIECE
from episome.types import EpisomeError
from episome_cli import options
from pipelines import paths

_FASTA = (".fa", ".fasta", ".fna")
_GENOME, _ROWS = "genome", "training rows"

_Used = dict[str, tuple[str, Path, list[str]]]  # key of a candidate → kind, file, pieces


@click.command()
@click.argument("name")
@click.option(
    "--fasta",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Genome of NAME, plain or gzip; its 6-mers are asked where no tree and no value has a distance.",
)
@options.params_file
def donor(name: str, fasta: Path | None, params_file: Path) -> None:
    """Suggest whose adapter NAME should start from, with the plan that follows and the YAML for params.yaml.

    NAME is a key under `species` in params.yaml or a scientific name; the candidates are all other species there.
    """
    settings = params.read(params_file)
    target = donors.target(name, settings)
    now = f"donor now: {target.entry.donor}" if target.entry else f"not in {params_file}"
    try:
        ranking = donors.rank(target, settings)
    except SpeciesError as error:
        if fasta is None:
            raise EpisomeError(f"{error}; or name a genome of it with --fasta, whose 6-mers may give a hint") from error
        asked, used = _enough(fasta), _sequences(target, settings)
        click.echo(f"{target.name} ({target.key}), {now}\n\nNo distance is known: {error}\n")
        _by_spectrum(target, settings, asked, used)
    else:
        if fasta is not None:
            click.echo(f"{fasta} is not read: the distance is known without it", err=True)
        click.echo(f"{target.name} ({target.key}), {now}\n")
        _by_distance(target, settings, ranking)


def _by_distance(target: Target, settings: Params, ranking: Ranking) -> None:
    _print_distances(settings, ranking)
    if not ranking.nearest:
        click.echo(f"\nSuggested donor: base; every candidate starts from {target.key} itself")
        _yaml(target, "base")
        return
    best, *equal = ranking.nearest
    also = f" (exactly as near: {', '.join(equal)}; the first by name is taken)" if equal else ""
    click.echo(f"\nSuggested donor: {best}{also}")
    _plan(target, settings, best)
    for chain in ranking.chains:
        click.echo(f"Chain: {' → '.join(chain.keys)}, longest hop {chain.longest:.4f} instead of {chain.direct:.4f}")
    _yaml(target, best)


def _print_distances(settings: Params, ranking: Ranking) -> None:
    rows = [("candidate", "species", "distance", "measure", "band", "")]
    for key, apart in ranking.apart:
        numbers = (f"{apart.value:.4f}", apart.measure, apart.band)
        rows.append((*_who(key, settings), *numbers, _remark(key, settings, ranking)))
    rows += [(*_who(key, settings), "unknown", "", "", _remark(key, settings, ranking)) for key in ranking.unknown]
    _print(rows)
    sources = dict.fromkeys(apart.source for _, apart in ranking.apart)
    click.echo(f"\n1.0 is {_unit(settings.transfer.distance)}. From: {'; '.join(sources)}")


def _who(key: str, settings: Params) -> tuple[str, str]:
    return key, settings.of(key).scientific_name


def _remark(key: str, settings: Params, ranking: Ranking) -> str:
    remarks = ["simulated"] if settings.of(key).simulated else []
    return ", ".join([*remarks, "starts from it: no donor"] if key in ranking.heirs else remarks)


def _unit(numbers: DistanceNumbers) -> str:
    if numbers.measure == "time":
        return f"{numbers.million_years:g} million years since the common ancestor"
    return "a substitution per site and branch" if numbers.measure == "neutral_half" else "one unit of the tree"


def _plan(target: Target, settings: Params, best: str) -> None:
    if settings.transfer.mode == "fixed":
        click.echo("Plan: none; transfer.mode is fixed, so that it is trained by `train` alone")
        return
    plan = transfer.plan(target.name, settings.of(best).scientific_name, settings.transfer)
    click.echo(
        f"Plan: learning rate {plan.learning_rate:.2e}, {plan.frozen_share:.0%} of the layers start frozen, "
        f"{plan.epochs} epochs, route {plan.route}"
    )
    if plan.band == "far":
        tried = (
            f"tries both (epochs each: {epochs})"
            if (epochs := settings.transfer.check_epochs)
            else "is 0: it is not tried"
        )
        click.echo(f"It is far: a start from nothing may be as good; transfer.check_epochs {tried}")
    if target.overrides:
        click.echo(f"species.{target.key}.train goes before it: {', '.join(target.overrides)}")


def _by_spectrum(target: Target, settings: Params, asked: Sequence[str], used: _Used) -> None:
    names = {key: settings.of(key).scientific_name for key in used}
    said = spectra.compare(asked, {key: texts for key, (_, _, texts) in used.items()}, names)
    rows = [("candidate", "species", "divergence", "first half", "second half", "compared by")]
    for each in said.ranked:
        numbers = (f"{each.whole:.4f}", f"{each.first:.4f}", f"{each.second:.4f}")
        rows.append((each.key, names[each.key], *numbers, "{}: {}".format(*used[each.key][:2])))
    _print(rows)
    click.echo(
        f"\nJensen-Shannon divergence of 6-mer spectra in bits, by {said.bases:,} bases of each. A spectrum is no "
        "evolutionary distance: it follows base composition and repeats, and no plan is made of it."
    )
    kinds = {kind for kind, _, _ in used.values()}
    if kinds == {_ROWS}:
        click.echo("Training rows lie around sites and genes: compare a FASTA of the like, not of a whole genome.")
    mixed = [] if len(kinds) == 1 else ["genomes and training rows differ for that alone, and no kind is there of all"]
    if doubts := [*said.doubts, *mixed]:
        click.echo("\nUndecided:\n" + "\n".join(f"- {doubt}" for doubt in doubts))
        click.echo("Nothing for params.yaml follows from that; a tree (transfer.distance.newick) or a value decides.")
        return
    best = said.ranked[0].key
    click.echo(f"\nSuggested donor: {best}{'' if len(used) > 1 else ', the only one that could be compared'}")
    click.echo("transfer.distance.given needs a value of yours; until it has one, params.yaml is refused.")
    _yaml(target, best, [f"{target.name} / {names[best]}"])


def _enough(fasta: Path) -> list[str]:
    """Pieces of the FASTA that was given.

    Raises:
        EpisomeError: there are too few.
    """
    found = spectra.of_fasta(fasta)
    if len(found) < LEAST:
        raise EpisomeError(
            f"{fasta}: fewer than {(len(found) + 1) * PIECE:,} bases other than N; wanted: {LEAST * PIECE:,} at least, "
            "since a spectrum of fewer is mostly noise"
        )
    return found


def _sequences(target: Target, settings: Params) -> _Used:
    """Key → kind and file of what was read, and its pieces; of one kind where all candidates have that.

    Raises:
        EpisomeError: none has.
    """
    without = donors.heirs(target.key, settings)
    there = {
        key: dict(_on_disk(key, settings.of(key))) for key in donors.candidates(target, settings) if key not in without
    }
    common = [kind for kind in (_GENOME, _ROWS) if all(kind in files for files in there.values() if files)]
    used = {}
    for key, files in there.items():
        kind = next((kind for kind in (*common, *files) if kind in files), None)
        texts = _read(kind, files[kind]) if kind else []
        if kind and len(texts) >= LEAST:
            used[key] = kind, files[kind], texts
        else:
            why = f"fewer than {LEAST * PIECE:,} bases in {files[kind]}" if kind else "no sequence on disk"
            click.echo(f"{key} is left out: {why}", err=True)
    if not used:
        raise EpisomeError(
            f"no candidate has sequences to compare with; wanted: {paths.windows('KEY')}/rows.parquet (`dvc repro`) "
            "or the FASTA of its source, below the project's root folder"
        )
    return used


def _on_disk(key: str, entry: Species) -> Iterator[tuple[str, Path]]:
    """Kind and file of what there is of a species."""
    source, rows = entry.source, paths.windows(key) / "rows.parquet"
    if isinstance(source, GenomeSource):
        try:
            yield _GENOME, genome.file(source.folder, source.fasta, _FASTA, "fasta")
        except genome.GenomeError as error:
            click.echo(f"{key}: {error}", err=True)
    elif isinstance(source, IntervalSource) and (source.folder / source.reference).is_file():
        yield _GENOME, source.folder / source.reference
    if rows.is_file():
        yield _ROWS, rows


def _read(kind: str, path: Path) -> list[str]:
    if kind == _GENOME:
        return spectra.of_fasta(path)
    rows = dataset.read(path)
    return list(spectra.pieces(rows.loc[rows["split"] == "train", "sequence"]))


def _print(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _yaml(target: Target, best: str, unmeasured: Sequence[str] = ()) -> None:
    rest = "" if target.entry else ", beside the rest of the entry (README, Add a species)"
    click.echo(f"\n# into params.yaml{rest}\n{donors.text(target, best, unmeasured)}", nl=False)
