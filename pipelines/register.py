"""Stage: the bundle of one species becomes a registered version. Moves no alias.

Registration is a side effect, which a restored DVC cache skips; `episome promote` therefore registers what is missing.
"""

import json
import sys
from dataclasses import astuple

from episome import bundle, params
from episome.types import EpisomeError
from pipelines import origin, paths, registered, tracking
from pipelines.registered import Files, Version


def register(species: str, settings: params.Params) -> Version:
    """Register the workspace's bundle of a species, or find the version it already has.

    Raises:
        EpisomeError: the pipeline did not come this far, bundle and gate report differ in origin, or MLflow failed.
    """
    made = files(species)
    if missing := [str(path) for path in astuple(made) if not path.exists()]:
        raise EpisomeError(f"{species}: {', '.join(missing)} is not there; `dvc repro register@{species}` makes it")
    judged, digest = json.loads(paths.gate(species).read_bytes())["bundle"], bundle.digest(paths.bundle(species))
    if judged != digest:
        raise EpisomeError(
            f"{paths.gate(species)} judges bundle {judged[:12]}, {paths.bundle(species)} is {digest[:12]}; "
            f"`dvc repro gate@{species}` judges it"
        )
    numbers = {
        "seed": settings.seed,
        "species": settings.of(species).model_dump(mode="json"),
        "train": settings.train_of(species).model_dump(mode="json"),
        "transfer": bundle.read_species_card(paths.bundle(species)).lineage.transfer,
        "lora": settings.lora.model_dump(mode="json"),
        "head": settings.head.model_dump(mode="json"),
        "base": settings.base.model_dump(mode="json"),
    }
    return tracking.register(species, made, numbers, origin.record(species), settings.registry.experiment)


def files(species: str) -> Files:
    """What the pipeline left in the workspace for a species."""
    return Files(
        bundle=paths.bundle(species),
        base=paths.bundle("base"),
        gate=paths.gate(species),
        evaluation=paths.evaluation(species),
        training=paths.adapter(species) / "training.json",
    )


def main(species: str) -> None:
    """Register and write down which version the workspace is."""
    version = register(species, params.read())
    report = {
        "species": species,
        "model": registered.model_name(species),
        "version": version.number,
        "uri": registered.pyfunc_uri(version),
        "bundle": version.bundle,
        "base": bundle.digest(paths.bundle("base")),
        "gate": version.gate,
    }
    path = paths.registration(species)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{species}: {report['model']} version {version.number}, bundle {version.bundle[:12]}", file=sys.stderr)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except EpisomeError as error:
        sys.exit(f"register: {error}")
