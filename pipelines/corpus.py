"""Stage `corpus`: the unlabelled training-side text of the species that the mini base is pre-trained on."""

import json
import sys

from episome import corpus, params
from episome.types import EpisomeError
from pipelines import paths


def main() -> None:
    """Write ``data/corpus.txt``; each species' rows must have passed their check."""
    settings = params.read()
    parts = [_texts(species) for species in settings.base.species]
    texts = corpus.merge(parts, settings.seed, settings.base.pretrain.max_sequences)
    path = paths.corpus()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    print(f"corpus: {len(texts)} of {sum(map(len, parts))} sequences, {sum(map(len, texts))} bases")


def _texts(species: str) -> list[str]:
    result = paths.check(species) / "result.json"
    try:
        passed = json.loads(result.read_text(encoding="utf-8"))["passed"]
        text = (paths.windows(species) / "corpus.txt").read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise EpisomeError(f"{error.filename}: no such file; base.species names {species!r}, run it first") from error
    if not passed:
        raise EpisomeError(f"{result}: the check of {species!r} failed; mend its data or take it out of base.species")
    return text.splitlines()


if __name__ == "__main__":
    try:
        main()
    except EpisomeError as error:
        sys.exit(f"corpus: {error}")
