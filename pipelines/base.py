"""Stage `base`: the one base model. mini: BPE and masked LM trained on the corpus; dnabert2: the published weights."""

import json
import shutil
import sys

import torch
from rich.console import Console
from rich.progress import track

from episome import corpus, model, params, pretrain, tokenizer
from episome.params import Params
from episome.types import EpisomeError
from pipelines import paths


def main() -> None:
    """Write models/base and adapters/base (the zero adapter, donor of species that start from the base)."""
    chosen = params.read()
    torch.set_num_threads(chosen.compute.threads)
    torch.use_deterministic_algorithms(True)
    if chosen.base.size == "mini":
        _pretrain(chosen)
    else:
        _published(chosen)
    zero = paths.adapter("base")
    zero.mkdir(parents=True, exist_ok=True)
    (zero / "training.json").write_text(json.dumps({"zero": True}) + "\n", encoding="utf-8")


def _pretrain(chosen: Params) -> None:
    parts = [paths.corpus(species).read_text(encoding="ascii").split() for species in chosen.base.species]
    sequences = corpus.merge(parts, chosen.seed, chosen.base.pretrain.max_sequences)
    if not sequences:
        raise EpisomeError("data/corpus holds no sequence; name species in base.species and raise windows.corpus_share")
    bpe = tokenizer.train(sequences, chosen.base.mini.vocab_size)
    shape = chosen.base.mini.model_dump() | {"vocab_size": bpe.vocab_size, "hidden_dropout_prob": 0.0}
    base = model.fresh(model.Config(**shape), chosen.seed)
    steps = pretrain.fit(base, bpe, sequences, chosen.base.pretrain, seed=chosen.seed)
    first = next(steps)
    rest = track(
        steps, "masked LM", total=first.total - 1, disable=not sys.stderr.isatty(), console=Console(stderr=True)
    )
    losses = [first.loss, *(step.loss for step in rest)]
    folder = paths.base()
    model.save(base, folder)
    bpe.save(folder / "tokenizer.json")
    curve = {"steps": len(losses), "losses": [round(loss, 6) for loss in losses]}
    (folder / "pretraining.json").write_text(json.dumps(curve) + "\n", encoding="utf-8")
    tail = losses[-max(1, len(losses) // 20) :]
    print(f"base: {len(losses)} steps, masked-LM loss {losses[0]:.3f} → {sum(tail) / len(tail):.3f} nats per token")


def _published(chosen: Params) -> None:
    """Check the published weights key by key, then write them in one form for the stages that follow."""
    published = chosen.base.published
    source = published.folder or model.fetch(published.hub, published.revision)
    base = model.load(source, masked_lm=True)
    model.save(base, paths.base())
    shutil.copyfile(source / "tokenizer.json", paths.base() / "tokenizer.json")
    print(f"base: {source} in the published layout, every key checked")


if __name__ == "__main__":
    try:
        main()
    except EpisomeError as error:
        sys.exit(f"base: {error}")
