"""What the data gate allows: the part ``check`` of params.yaml."""

from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from episome.sources import Count, Frozen, Name, Share

Auroc = Annotated[float, Field(ge=0.5, le=1)]


class MinRows(Frozen):
    """Fewest rows a task may have in each split."""

    train: Count
    val: Count
    test: Count


class Shortcut(Frozen):
    """How well a property that is no biology, or little of it, may tell the classes apart alone: the largest AUROC.

    An AUROC counts in either direction: 0.2 is as good as 0.8. It is over the rows of all splits.

    Attributes:
        case: share of soft-masked bases as they came; the model never sees it, so it tells of unequal making.
        case_of_kind: the same against any one kind of negatives. Looser: repeats are soft-masked, and between genes
            there are more of them than in exons.
        n: share of N, against all negatives and each kind of them.
        length: bases, against all negatives and each kind of them.
        gc: share of G and C. Coding sequences and CpG islands do differ in it: a limit of 0.5 would be wrong.
        min_rows: a class, or kind of negatives, with fewer rows than this is not judged: its AUROC says nothing.
    """

    case: Auroc
    case_of_kind: Auroc
    n: Auroc
    length: Auroc
    gc: Auroc
    min_rows: Count


class Limits(Frozen):
    """Limits for the rows of one task.

    Attributes:
        max_n_share: largest share of N in a sequence.
        max_contradictions: share of the sequences that may carry both labels.
        max_split_overlap: share of a side's rows whose sequence, on either strand, is also in an earlier side.
        max_group_overlap: share of the test rows whose homology group is in train.
        max_species_overlap: share of the test rows that have a relative in another species' train rows.
        class_share: least and largest share of positives in each split.
        min_rows: fewest rows in each split.
        shortcut: what must not tell the classes apart.
    """

    max_n_share: Share
    max_contradictions: Share
    max_split_overlap: Share
    max_group_overlap: Share
    max_species_overlap: Share
    class_share: tuple[Share, Share]
    min_rows: MinRows
    shortcut: Shortcut

    @model_validator(mode="after")
    def _least_before_most(self) -> "Limits":
        if self.class_share[0] > self.class_share[1]:
            raise ValueError(f"class_share: {list(self.class_share)} is no range; wanted: [least, largest]")
        return self


class Check(Limits):
    """Limits of the data gate, and what single tasks are allowed instead.

    Attributes:
        bases_per_token: a sequence may have this many bases for each token the model has room for
            (``export.max_tokens``, two of which mark its ends). 1 is safe whatever the tokenizer makes of it.
        tasks: task → its own limits; what is not named there is as for all tasks.
    """

    bases_per_token: Annotated[float, Field(ge=1)]
    tasks: dict[Name, dict[str, Any]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _overrides_are_limits(self) -> "Check":
        for task in self.tasks:
            try:
                self.of(task)
            except ValidationError as error:
                wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
                raise ValueError(f"tasks.{task}: {wrong}") from error
        return self

    def of(self, task: str) -> Limits:
        """The limits of one task: those of all tasks under its own."""
        common = self.model_dump(exclude={"bases_per_token", "tasks"})
        return Limits.model_validate(_merged(common, self.tasks.get(task, {})))

    def longest(self, max_tokens: int) -> int:
        """Most bases of a sequence for a model with room for `max_tokens` tokens."""
        return int((max_tokens - 2) * self.bases_per_token)


def _merged(common: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """`own` over `common`, and so for what either holds inside."""
    inner = {
        k: _merged(common[k], v) for k, v in own.items() if isinstance(v, dict) and isinstance(common.get(k), dict)
    }
    return common | own | inner
