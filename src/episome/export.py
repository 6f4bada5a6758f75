"""From what training leaves to bundles: the base as one ONNX graph, a species as adapter, head and golden answers.

Golden sequences are random DNA with the species' base composition, never rows of the data, so that no lab
sequence leaves with a bundle. Their answers are torch's; a bundle is only written if the runtime gives them too.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pandas as pd
from numpy.typing import NDArray

from episome import bank, bundle, drift, graph, model, provenance
from episome.bundle import (
    Bank,
    BaseCard,
    BundleError,
    CalibratedTask,
    Card,
    Composition,
    Golden,
    Lineage,
    Lora,
    ModelShape,
)
from episome.classifier import Classifier, load_classifier, predict
from episome.dataset import label_column
from episome.provenance import Provenance
from episome.runtime import Engine, Row
from episome.types import EpisomeError, Task

# Protobuf ends at 2 GB, and a session opened from a file maps weights that lie beside it.
_LARGE = 64 << 20
_PARITY_ROWS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whose bundle is written, and from what.

    Attributes:
        species: its key.
        scientific_name: its name.
        taxon_id: NCBI taxon.
        simulated: whether its genome is.
        adapter: folder that training wrote.
        rows: dataset rows, as `episome.dataset` has them.
        corpus: unlabelled training-side text of the species, for its drift profile: rows alone know the
            surroundings of sites, and people send whole regions.
        evaluation: the report of `evaluate`: per task ``threshold``, ``temperature`` and metrics.
        lineage: where it comes from.
        made: what its rows are.
    """

    species: str
    scientific_name: str
    taxon_id: int
    simulated: bool
    adapter: Path
    rows: pd.DataFrame
    corpus: Sequence[str]
    evaluation: Mapping[str, Any]
    lineage: Lineage
    made: Provenance


def write_base(
    source: Path, folder: Path, *, targets: Literal["attention", "all"], rank: int, heads: Composition, max_tokens: int
) -> str:
    """Write the base bundle of the model in `source` into the empty or absent `folder`; give its digest.

    Raises:
        EpisomeError: `source` holds no model.
    """
    encoder = model.load(source)
    shape = ModelShape(**{field.name: getattr(encoder.config, field.name) for field in fields(ModelShape)})
    room = Bank(targets=bank.targets(targets), bank_rank=rank)
    card = BaseCard(format=2, model=shape, lora=room, composition=heads, max_tokens=max_tokens, files={})
    state = {key: tensor.detach().numpy() for key, tensor in encoder.state_dict().items()}
    _fresh(folder)
    write_graph(graph.build(state, shape, room.targets, rank, heads.size), folder / "base.onnx")
    shutil.copyfile(source / "tokenizer.json", folder / "tokenizer.json")
    return bundle.write_card(folder, card)


def write_graph(proto: onnx.ModelProto, path: Path, large: int = _LARGE) -> None:
    """Write a graph; weights of more than `large` bytes go beside it, into ``<name>.data``."""
    if sum(len(tensor.raw_data) for tensor in proto.graph.initializer) <= large:
        path.write_bytes(proto.SerializeToString(deterministic=True))
    else:
        onnx.save_model(proto, path, save_as_external_data=True, location=f"{path.name}.data", size_threshold=1024)


def write_species(
    subject: Subject, *, model_folder: Path, base: Path, folder: Path, golden: int, tolerance: float
) -> str:
    """Write a species' bundle, answer for it with the runtime, and give its digest.

    Args:
        subject: what is exported.
        model_folder: the base model as torch has it.
        base: the base bundle.
        folder: where the bundle goes; emptied first.
        golden: number of golden sequences, at least 4.
        tolerance: largest difference between torch's logits and the runtime's.

    Raises:
        EpisomeError: training, evaluation and params.yaml disagree, or the runtime's answers are not torch's.
    """
    classifier = load_classifier(model_folder, subject.adapter)
    card = _card(subject, classifier, bundle.digest(base), tolerance)
    _fresh(folder)
    shutil.copyfile(subject.adapter / "adapter_model.safetensors", folder / "adapter.safetensors")
    for name in ("head.safetensors", "fisher.safetensors"):
        shutil.copyfile(subject.adapter / name, folder / name)
    train = subject.rows.loc[subject.rows["split"] == "train", "sequence"]
    drift.save(folder / "drift.npz", drift.fit([*train, *subject.corpus]))
    bundle.write_golden(folder / "golden.json", _golden(subject, classifier, golden))
    (folder / provenance.NAME).write_bytes(provenance.encode(subject.made))
    digest = bundle.write_card(folder, card)
    _check_parity(subject, classifier, base=base, folder=folder, tolerance=tolerance)
    return digest


def _card(subject: Subject, classifier: Classifier, base: str, tolerance: float) -> Card:
    return Card(
        format=2,
        species=subject.species,
        scientific_name=subject.scientific_name,
        taxon_id=subject.taxon_id,
        simulated=subject.simulated,
        base=base,
        lora=_lora(subject.adapter),
        tasks=tuple(_calibrated(task, subject) for task in classifier.tasks),
        composition=classifier.composition,
        tolerance=tolerance,
        metrics=dict(subject.evaluation["tasks"]),
        lineage=subject.lineage,
        files={},
    )


def _calibrated(task: Task, subject: Subject) -> CalibratedTask:
    """The task with its threshold and temperature from the evaluation."""
    report = subject.evaluation["tasks"].get(task.name)
    if report is None:
        raise EpisomeError(
            f"{subject.species}: the evaluation has no task {task.name!r}, the adapter has; "
            f"run `dvc repro evaluate@{subject.species}`"
        )
    return CalibratedTask(
        **asdict(task), threshold=float(report["threshold"]), temperature=float(report["temperature"])
    )


def _lora(adapter: Path) -> Lora:
    """Rank, alpha and targets of a PEFT folder; only what a row of the bank can hold.

    Raises:
        EpisomeError: DoRA, rank-stabilised scaling, biases or a rank per layer.
    """
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    plain = {"use_dora": False, "use_rslora": False, "bias": "none", "rank_pattern": {}, "alpha_pattern": {}}
    for key, wanted in plain.items():
        if config.get(key, wanted) != wanted:
            raise EpisomeError(f"{adapter}: {key} is {config[key]!r}; the bundle holds plain LoRA only ({wanted!r})")
    keys = bundle.read_tensors(adapter / "adapter_model.safetensors")
    adapted = tuple(name for name in bank.targets("all") if any(f".{name}." in key for key in keys))
    return Lora(rank=config["r"], alpha=float(config["lora_alpha"]), targets=adapted)


def _golden(subject: Subject, classifier: Classifier, count: int) -> tuple[Golden, ...]:
    """Random sequences as long as each task's windows, in turn, with torch's logits for them."""
    rng = np.random.default_rng(subject.lineage.seed)
    shares = _base_shares(subject.rows)
    usual = int(subject.rows["sequence"].str.len().median())
    tasks = [classifier.tasks[number % len(classifier.tasks)] for number in range(count)]
    rows = pd.DataFrame(
        {
            "sequence": ["".join(rng.choice(list("ACGT"), task.window or usual, p=shares)) for task in tasks],
            **{label_column(task.name): [0 if task is own else -1 for own in tasks] for task in classifier.tasks},
        }
    )
    return tuple(
        Golden(sequence=sequence, centre=_centre(task), logits=tuple(round(float(value), 6) for value in logits))
        for sequence, task, logits in zip(rows["sequence"], tasks, predict(classifier, rows), strict=True)
    )


def _base_shares(rows: pd.DataFrame) -> NDArray[np.float64]:
    """Shares of A, C, G and T in all rows."""
    counts = np.array([rows["sequence"].str.count(base).sum() for base in "ACGT"], dtype=np.float64)
    shares: NDArray[np.float64] = counts / counts.sum()
    return shares


def _centre(task: Task) -> int | None:
    return task.window // 2 if task.scope == "site" and task.window is not None else None


def _check_parity(subject: Subject, classifier: Classifier, *, base: Path, folder: Path, tolerance: float) -> None:
    """Let the runtime load the bundle (golden answers) and score validation rows of every task as torch does."""
    engine = Engine(base, threads=1)
    try:
        slot = engine.add(folder, subject.species).slot
        for task in classifier.tasks:
            column = label_column(task.name)
            held_out = subject.rows[(subject.rows["split"] == "val") & (subject.rows[column] >= 0)].head(_PARITY_ROWS)
            # Every other label is taken away, so that a row of several tasks has this task's centre.
            rows = pd.DataFrame({"sequence": held_out["sequence"], column: held_out[column]})
            asked = [Row(sequence=sequence, slot=slot, centre=_centre(task)) for sequence in rows["sequence"]]
            off = np.abs(engine.score(asked)[0] - predict(classifier, rows)).max(initial=0.0)
            if not off <= tolerance:
                raise BundleError(
                    f"{subject.species}: the runtime's logits for {task.name!r} are off torch's by "
                    f"{off:.2e}, more than export.tolerance ({tolerance:.0e})"
                )
    finally:
        engine.close()


def params_digest(values: Mapping[str, Any]) -> str:
    """Sha256 of parameter values in the canonical spelling, for `Lineage.params`."""
    return hashlib.sha256(bundle.canonical(values)).hexdigest()


def _fresh(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
