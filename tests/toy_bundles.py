"""Bundles of a toy base with random weights, for every test that needs something to load."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
from safetensors.numpy import save_file

from episome import bank, bundle, drift, graph, provenance, tokenizer
from episome.bundle import Bank, BaseCard, CalibratedTask, Card, Composition, Golden, Lineage, Lora, ModelShape
from episome.provenance import BaseModel, Provenance, Rows
from episome.runtime import Engine, Row

SHAPE = ModelShape(vocab_size=64, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=32)
BANK = Bank(targets=bank.targets("all"), bank_rank=8)
COMPOSITION = Composition(k=2, phased=True, site_reach=3)
TASKS = (
    CalibratedTask(name="promoter", scope="window", window=60, threshold=0.5, temperature=1.5),
    CalibratedTask(name="donor", scope="site", window=40, motif="GT", threshold=0.4, temperature=0.8),
)

MADE = Provenance(
    source="genome",
    licence="CC0-1.0",
    citation="nobody",
    base=BaseModel(size="mini", hub=None, revision=None),
    rows={"promoter": {"train": Rows(positives=40, negatives=60, groups=30)}},
    confidence=0.95,
    bootstrap=1000,
)


def dna(seed: int, bases: int) -> str:
    """Random bases."""
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), bases))


@cache
def encoder_state(shape: ModelShape = SHAPE, seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights of an encoder under the published keys."""
    rng = np.random.default_rng(seed)
    width = shape.hidden_size

    def normal(*size: int, scale: float = 0.2, mean: float = 0.0) -> np.ndarray:
        return (mean + scale * rng.standard_normal(size)).astype(np.float32)

    def norm(prefix: str) -> dict[str, np.ndarray]:
        return {f"{prefix}.weight": normal(width, mean=1.0), f"{prefix}.bias": normal(width)}

    state = {
        "embeddings.word_embeddings.weight": normal(shape.vocab_size, width),
        "embeddings.token_type_embeddings.weight": normal(2, width),
        **norm("embeddings.LayerNorm"),
    }
    for layer in range(shape.num_hidden_layers):
        prefix = f"encoder.layer.{layer}"
        state |= norm(f"{prefix}.attention.output.LayerNorm") | norm(f"{prefix}.mlp.layernorm")
        for part in bank.parts(replace(shape, num_hidden_layers=1), bank.targets("all")):
            state[f"{prefix}.{part.target}.weight"] = normal(part.outputs, part.inputs)
            if part.target != "mlp.gated_layers":
                state[f"{prefix}.{part.target}.bias"] = normal(part.outputs)
    return state


@cache
def _base_files() -> tuple[bytes, str]:
    size = COMPOSITION.size
    model = graph.build(encoder_state(), SHAPE, BANK.targets, BANK.bank_rank, size)
    onnx.checker.check_model(model)
    words = tokenizer.train((dna(seed, 500) for seed in range(20)), SHAPE.vocab_size)
    return model.SerializeToString(deterministic=True), words._inner.to_str(pretty=True) + "\n"


def write_base(folder: Path) -> str:
    """Write the toy base bundle; give its digest."""
    folder.mkdir(parents=True)
    model, words = _base_files()
    (folder / "base.onnx").write_bytes(model)
    (folder / "tokenizer.json").write_text(words, encoding="utf-8")
    card = BaseCard(format=2, model=SHAPE, lora=BANK, composition=COMPOSITION, max_tokens=1500, files={})
    return bundle.write_card(folder, card)


def factors(seed: int, rank: int, targets: tuple[str, ...] = BANK.targets) -> dict[str, np.ndarray]:
    """Random LoRA factors under PEFT's keys; seed 0 gives a zero B, which is the base model."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for part in bank.parts(SHAPE, targets):
        down = rng.standard_normal((rank, part.inputs)) / np.sqrt(part.inputs)
        up = rng.standard_normal((part.outputs, rank)) * (0.1 if seed else 0.0)
        tensors[f"{part.key}.lora_A.weight"] = down.astype(np.float32)
        tensors[f"{part.key}.lora_B.weight"] = up.astype(np.float32)
    return tensors


def card(base: str, species: str, *, rank: int = 8, tasks: tuple[CalibratedTask, ...] = TASKS) -> Card:
    """A card without files; `write_species` fills them in."""
    return Card(
        format=2,
        species=species,
        scientific_name="Toya toya",
        taxon_id=1,
        simulated=species.endswith("_sim"),
        base=base,
        lora=Lora(rank=rank, alpha=16.0, targets=BANK.targets),
        tasks=tasks,
        composition=COMPOSITION,
        tolerance=1e-4,
        metrics={"promoter": {"test": {"mcc": {"value": 0.5}}}},
        lineage=Lineage(
            donor="base",
            prior="none",
            release="none",
            releases=("none",),
            data="d" * 64,
            params="e" * 64,
            seed=7,
            transfer={"plan": None, "start": {"from": "nothing"}},
        ),
        files={},
    )


def write_species(base: Path, folder: Path, announced: Card, seed: int) -> str:
    """Write a species bundle with random factors and its own golden answers; give its digest."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed + 1000)
    labels = len(announced.tasks)
    features = 2 * SHAPE.hidden_size + COMPOSITION.size
    save_file(factors(seed, announced.lora.rank, announced.lora.targets), folder / "adapter.safetensors")
    weight = rng.standard_normal((labels, features)).astype(np.float32)
    save_file({"weight": weight, "bias": rng.standard_normal(labels).astype(np.float32)}, folder / "head.safetensors")
    drift.save(folder / "drift.npz", drift.fit(dna(seed + number, 300) for number in range(5)))
    (folder / provenance.NAME).write_bytes(provenance.encode(MADE))
    write_golden(base, folder, announced)
    return bundle.write_card(folder, announced)


def write_golden(base: Path, folder: Path, announced: Card) -> None:
    """Let an engine that believes anything answer for the bundle, and write those answers as its golden ones."""
    asked = [(dna(number, 60), 30 if number % 2 else None) for number in range(4)]
    nothing = tuple(0.0 for _ in announced.tasks)
    bundle.write_golden(folder / "golden.json", tuple(Golden(sequence=s, centre=c, logits=nothing) for s, c in asked))
    bundle.write_card(folder, replace(announced, tolerance=1e9))
    engine = Engine(base, threads=1)
    slot = engine.add(folder).slot
    logits = engine.score([Row(sequence=s, slot=slot, centre=c) for s, c in asked])[0]
    engine.close()
    answers = [tuple(float(v) for v in row[: len(nothing)]) for row in logits]
    bundle.write_golden(
        folder / "golden.json",
        tuple(Golden(sequence=s, centre=c, logits=v) for (s, c), v in zip(asked, answers, strict=True)),
    )
