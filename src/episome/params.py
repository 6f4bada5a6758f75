"""params.yaml as frozen values; an unknown key, a wrong type or a missing number is refused at the door."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from episome.gateparams import Gate, Retrain, climbed
from episome.headparams import Head
from episome.learning import Train, Tune
from episome.limits import Check
from episome.policy import Plan, Transfer
from episome.rivalry import Rivals
from episome.serveparams import Monitor, Serve
from episome.sources import Count, Fetch, Frozen, Homology, Name, Positive, Share, Source, Windows
from episome.studyparams import Study
from episome.types import EpisomeError, Task


class World(Frozen):
    """One embedded world of simulated genomes."""

    genes: Count
    species: tuple[str, ...]
    motif_divergence: Annotated[float, Field(ge=0)] = 1.0


class TaskSpec(Frozen):
    """A task as params.yaml writes it; `Params.task` turns it into a `types.Task`."""

    scope: Literal["sequence", "window", "site"]
    window: Count | None = None
    motif: Annotated[str, Field(pattern="^[ACGT]+$")] | None = None
    strands: Literal["both", "forward"] = "both"
    labels: tuple[str, str] = ("absent", "present")


class Species(Frozen):
    """One species: what it is called, where its data are, whose adapter it starts from.

    Attributes:
        donor: whose adapter it starts from, and whose distance the plan follows; ``base``: from nothing.
        beside: a second donor, whose ΔW is mixed in, the less the further it is; ``base``: none.
    """

    scientific_name: str
    taxon_id: Count
    simulated: bool
    donor: Name
    beside: Name
    prior: str
    release: str
    source: Source
    train: dict[str, Any] = Field(default_factory=dict)


class Published(Frozen):
    """Where the published DNABERT-2 weights are: a local folder, or else a hub revision."""

    folder: Path | None
    hub: str
    revision: str


class Mini(Frozen):
    """Shape of the embedded base model, in the DNABERT-2 architecture."""

    vocab_size: Annotated[int, Field(ge=16)]
    hidden_size: Count
    num_hidden_layers: Count
    num_attention_heads: Count
    intermediate_size: Count


class Pretrain(Frozen):
    """Masked-language-model pre-training of the mini base."""

    epochs: Count
    tokens_per_step: Count
    learning_rate: Positive
    mask_share: Share
    weight_decay: Annotated[float, Field(ge=0)]
    warmup_share: Share
    max_sequences: Count


class Base(Frozen):
    """The one base model."""

    size: Literal["mini", "dnabert2"]
    published: Published
    mini: Mini
    species: Annotated[tuple[str, ...], Field(min_length=1)]
    pretrain: Pretrain


class Lora(Frozen):
    """Low-rank adapters (Hu et al. 2021)."""

    rank: Count
    alpha: Count
    targets: Literal["attention", "all"]
    dropout: Share


class Compute(Frozen):
    """Threads of training and of the gate; part of the result's identity, since sums depend on it."""

    threads: Count


class BestCut(Frozen):
    """The calling threshold with the highest MCC or TPR − FPR on validation rows; see `calibration.threshold_by`."""

    rule: Literal["mcc", "youden"]


class FloorCut(Frozen):
    """The calling threshold that has at least this precision or recall on validation rows."""

    rule: Literal["precision", "recall"]
    at_least: Annotated[float, Field(gt=0, le=1)]


Threshold = Annotated[BestCut | FloorCut, Field(discriminator="rule")]


class Evaluate(Frozen):
    """Intervals, threshold rule and baseline of the evaluation."""

    bootstrap: Count
    confidence: Share
    baseline_k: Count
    threshold: Threshold


class Export(Frozen):
    """ONNX export: rank of the adapter bank, longest run, golden sequences and their tolerance."""

    bank_rank: Count
    max_tokens: Count
    golden: Annotated[int, Field(ge=4)]
    tolerance: Positive


class Registry(Frozen):
    """Names in MLflow and the folder of the shelf."""

    experiment: str
    shelf: Path


class Params(Frozen):
    """The whole of params.yaml."""

    seed: int
    world: dict[Name, World]
    tasks: Annotated[dict[Name, TaskSpec], Field(min_length=1)]
    species: Annotated[dict[Name, Species], Field(min_length=1)]
    windows: Windows
    homology: Homology
    check: Check
    base: Base
    lora: Lora
    head: Head
    train: Train
    transfer: Transfer
    compute: Compute
    evaluate: Evaluate
    study: Study
    rivals: Rivals
    export: Export
    gate: Gate
    retrain: Retrain
    registry: Registry
    serve: Serve
    monitor: Monitor
    fetch: Fetch | None = None
    tune: Tune | None = None

    @model_validator(mode="after")
    def _parts_agree(self) -> "Params":
        known = ", ".join(self.species)
        if self.lora.rank > self.export.bank_rank:
            raise ValueError(f"lora.rank: {self.lora.rank} does not fit export.bank_rank, {self.export.bank_rank}")
        if "base" in self.species:
            raise ValueError("species.base: that name is the base model's; wanted another one")
        if unknown := [name for name in self.base.species if name not in self.species]:
            raise ValueError(f"base.species: {', '.join(unknown)} is no species here; known: {known}")
        for key, species in self.species.items():
            for task in species.source.task_names:
                if task not in self.tasks:
                    raise ValueError(
                        f"species.{key}.source: task {task!r} is not under tasks; known: {', '.join(self.tasks)}"
                    )
            _overridden(key, self.train, species)
        return self

    @model_validator(mode="after")
    def _names_are_known(self) -> "Params":
        if unknown := [name for name in self.check.tasks if name not in self.tasks]:
            raise ValueError(f"check.tasks: {', '.join(unknown)} is not under tasks; known: {', '.join(self.tasks)}")
        return self

    @model_validator(mode="after")
    def _donors_end_at_the_base(self) -> "Params":
        """Refuse unknown donors, and species that would have to be trained before themselves."""

        def follow(chain: list[str]) -> None:
            entry = self.species[chain[-1]]
            if entry.beside != "base" and entry.donor in ("base", entry.beside):
                raise ValueError(
                    f"species.{chain[-1]}.beside: {entry.beside!r} beside the donor {entry.donor!r}; "
                    "wanted: another species than the donor, and that a species too"
                )
            for role, name in (("donor", entry.donor), ("beside", entry.beside)):
                if name != "base" and name not in self.species:
                    known = ", ".join(self.species)
                    raise ValueError(f"species.{chain[-1]}.{role}: {name!r} is no species here; known: base, {known}")
                if name in chain:
                    raise ValueError(
                        f"species.{chain[0]}.{role}: {' from '.join([*chain, name])} never comes to the base"
                    )
                if name != "base":
                    follow([*chain, name])

        for key in self.species:
            follow([key])
        return self

    @model_validator(mode="after")
    def _rungs_are_of_train(self) -> "Params":
        for key in self.species:
            self.ladder_of(key)
        return self

    def task(self, name: str) -> Task:
        """The task of that name.

        Raises:
            EpisomeError: params.yaml has no such task, or its parts contradict each other.
        """
        if name not in self.tasks:
            raise EpisomeError(f"no task {name!r} in params.yaml; known: {', '.join(self.tasks)}")
        return Task(name=name, **self.tasks[name].model_dump())

    def tasks_of(self, species: str) -> tuple[Task, ...]:
        """The tasks of one species, in the order of its head's columns."""
        return tuple(self.task(name) for name in self.of(species).source.task_names)

    def of(self, species: str) -> Species:
        """The entry of one species.

        Raises:
            EpisomeError: no such species.
        """
        if species not in self.species:
            raise EpisomeError(f"no species {species!r} in params.yaml; known: {', '.join(self.species)}")
        return self.species[species]

    def train_of(self, species: str, plan: Plan | None = None) -> Train:
        """Training numbers of one species: the defaults, under the plan of its transfer, under its own overrides."""
        defaults = self.train
        if plan is not None:
            tokens = max(1, round(defaults.tokens_per_step * plan.budget))
            planned = {"learning_rate": plan.learning_rate, "epochs": plan.epochs, "tokens_per_step": tokens}
            defaults = defaults.model_copy(update=planned)
        return _overridden(species, defaults, self.of(species))

    def ladder_of(self, species: str) -> dict[str, dict[str, Any]]:
        """What each rung of `retrain.ladder` changes in one species' `train`, on top of the rungs before it."""
        climbing, found = self, {}
        for name, rung in self.retrain.ladder.items():
            try:
                found[name] = climbed(climbing.train_of(species).model_dump(mode="json"), rung)
                climbing = climbing.with_train(species, found[name])
                climbing.train_of(species)
            except ValueError as error:
                raise ValueError(f"retrain.ladder.{name}: {error}") from error
        return found

    def with_train(self, species: str, values: Mapping[str, Any]) -> "Params":
        """The same with other values in one species' `train`; `train_of` says whether they fit."""
        entry = self.of(species)
        changed = entry.model_copy(update={"train": {**entry.train, **values}})
        return self.model_copy(update={"species": {**self.species, species: changed}})


def _overridden(key: str, defaults: Train, species: Species) -> Train:
    try:
        return Train.model_validate({**defaults.model_dump(), **species.train})
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ValueError(f"species.{key}.train: {wrong}") from error


def read(path: Path = Path("params.yaml")) -> Params:
    """Read and check params.yaml.

    Raises:
        EpisomeError: the file is missing, is no YAML, or a value is unknown, missing or out of range;
            the message names each key.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Params.model_validate(raw)
    except FileNotFoundError as error:
        raise EpisomeError(f"{path}: no such file; run from the project's root folder") from error
    except yaml.YAMLError as error:
        raise EpisomeError(f"{path}: not YAML: {error}") from error
    except ValidationError as error:
        lines = "\n".join(
            f"  {'.'.join(map(str, e['loc'])) or 'params'}: {e['msg']} (came: {e['input']!r:.80})"
            for e in error.errors()
        )
        raise EpisomeError(f"{path}: {error.error_count()} wrong value(s)\n{lines}") from error
