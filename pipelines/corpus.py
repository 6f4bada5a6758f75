"""Stage `corpus`: the unlabelled training-side text of one species that the mini base is pre-trained on.

It waits for the species' rows, not for their check: the text is clean by the time it is written and bears no label, and
labels that fail the check of one species must not stop the base model of all.
"""

import shutil
import sys

from episome.types import EpisomeError
from pipelines import paths


def main(species: str) -> None:
    """Copy the text of a species of base.species to ``data/corpus``."""
    source = paths.windows(species) / "corpus.txt"
    if not source.is_file():
        raise EpisomeError(f"{source}: no such file; base.species names {species!r}, run `dvc repro windows@{species}`")
    paths.corpus(species).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, paths.corpus(species))
    print(f"corpus {species}: {paths.corpus(species).stat().st_size} bytes")


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except EpisomeError as error:
        sys.exit(f"corpus: {error}")
