"""Stage `corpus`: the unlabelled training-side text of one species that the mini base is pre-trained on."""

import json
import shutil
import sys

from episome.types import EpisomeError
from pipelines import paths


def main(species: str) -> None:
    """Copy the text of a species of base.species to ``data/corpus``, once its rows passed their check."""
    result = paths.check(species) / "result.json"
    try:
        passed = json.loads(result.read_text(encoding="utf-8"))["passed"]
        if passed:
            paths.corpus(species).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(paths.windows(species) / "corpus.txt", paths.corpus(species))
    except FileNotFoundError as error:
        raise EpisomeError(f"{error.filename}: no such file; base.species names {species!r}, run it first") from error
    if not passed:
        raise EpisomeError(f"{result}: the check of {species!r} failed; mend its data or take it out of base.species")
    print(f"corpus {species}: {paths.corpus(species).stat().st_size} bytes")


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except EpisomeError as error:
        sys.exit(f"corpus: {error}")
