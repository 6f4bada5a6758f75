"""Numbers of the transfer study as params.yaml gives them; `episome.grid` makes its runs of them."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from episome.headparams import Head
from episome.sources import Count, Frozen, Name, Positive

Method = Literal[
    "adapted",
    "scratch",
    "zero_shot",
    "head_only",
    "frozen_probe",
    "full",
    "kmer",
    "word2vec_nb",
    "cnn",
    "lstm",
]
Policy = Literal["interpolated", "step", "fixed", "shuffled", ""]
Part = Annotated[float, Field(gt=0, le=1)]


class RowsAtMost(Frozen):
    """How many rows of a species a study uses of each split; labels keep their shares."""

    train: Count
    val: Count
    test: Count


class Pair(Frozen):
    """Whose adapter goes where; species keys."""

    donor: Name
    target: Name


class Curves(Frozen):
    """Learning curves of `scratch` and of `adapted` by the first policy, on these pairs.

    Attributes:
        shares: of the target's training rows, beside all of them.
    """

    shares: tuple[Part, ...]
    pairs: tuple[Pair, ...]


class Inside(Frozen):
    """How far to look into the adapters of the full grid; see `episome.inside`.

    Attributes:
        rows: test rows of the target that two models are compared on, for each task; 0: no look at all.
        steps: of the integrated gradients.
        key_share: of the bases that are key, by attribution.
    """

    rows: int = Field(ge=0)
    steps: Count
    key_share: float = Field(gt=0, le=1)


class Study(Frozen):
    """The transfer study; every target from every other species.

    Attributes:
        world: name of the data in the records.
        seeds: of the trainings; test rows are the same for all.
        methods: what `make study` runs; ``scratch`` is always among them, since its adapters are the donors'.
        policies: of ``adapted``; ``shuffled`` is ``interpolated`` with the distances dealt out anew among the pairs.
        reduced: what the stage `study` runs, with the adapters that the pipeline has trained.
        probe_rows: training rows of the donor on which CKA of the layers before and after is taken.
        head: of the full grid, in place of `head`. K-mers carry no memory of a donor: where they answer well by
            themselves, a study with them measures them, and not what adapters carry over.
        inside: what is compared inside the adapters, once all are there.
        full_learning_rate: of full fine-tuning.
        workers: trainings at a time, one thread each; 1: one at a time with `compute.threads`.
    """

    world: Name
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    methods: tuple[Method, ...]
    policies: Annotated[tuple[Literal["interpolated", "step", "fixed", "shuffled"], ...], Field(min_length=1)]
    reduced: tuple[Literal["scratch", "adapted", "zero_shot", "kmer"], ...]
    curves: Curves
    rows_at_most: RowsAtMost
    probe_rows: Annotated[int, Field(ge=2)]
    head: Head
    inside: Inside
    full_learning_rate: Positive
    workers: Count

    @model_validator(mode="after")
    def _complete(self) -> "Study":
        if "scratch" not in self.methods:
            raise ValueError("methods: 'scratch' is wanted among them; every donor's adapter comes from it")
        for name in ("seeds", "methods", "policies", "reduced"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                raise ValueError(f"{name}: {', '.join(map(str, values))} names something twice")
        return self
