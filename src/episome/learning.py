"""Numbers of one adapter's training and of the search for them, as frozen values."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from episome.sources import Count, Frozen, Name, Positive, Share

Weight = Annotated[float, Field(ge=0)]
Target = Literal["gc", "cpg", "orf"]
"""What `episome.auxiliary` can compute of a sequence."""
Guard = Literal["ewc", "ewc_factors", "mas", "l2sp", "lwf", "none"]
Past = Literal["full", "coreset", "none"]
"""What a retrain has of the rows that its champion was trained on."""


class Auxiliary(Frozen):
    """What the pooled state learns to say of its own sequence on the way, through a layer that is thrown away.

    Attributes:
        targets: what is computed of each training row; none switches off.
        weight: of their mean squared error in the loss, beside the labels' cross entropy per label; 0 switches off.
    """

    targets: tuple[Target, ...]
    weight: Weight

    @property
    def on(self) -> bool:
        return bool(self.targets) and self.weight > 0

    @model_validator(mode="after")
    def _each_once(self) -> "Auxiliary":
        if len(set(self.targets)) < len(self.targets):
            raise ValueError(f"targets: {', '.join(self.targets)}; wanted: each once")
        return self


class Train(Frozen):
    """Optimiser, schedule and continual-learning numbers of one adapter.

    Attributes:
        balance: ``weights`` lets the positives of a task weigh as much together as its negatives; ``sampling`` draws
            both equally often (`episome.balance`).
        auxiliary: see `Auxiliary`; of the species' own training rows, not of a donor's beside them.
        precision: ``bf16`` runs the encoder's forward and backward pass in bfloat16; weights, head, loss, penalties
            and optimiser stay fp32.
        gradient_checkpointing: layers are computed a second time in the backward pass instead of being kept.
        strand_free: tasks whose answer is the same for the reverse complement; `Task.strands` says something else,
            on which strands annotation asks.
        reverse_complement_share: of the rows asked strand-free tasks only, drawn anew each epoch, that are trained
            as their reverse complement.
        ewc_lambda: weight of what `guard` adds to a retrain, whichever it is; 0 switches off.
        guard: what holds a retrain to its prior. ``ewc``: elastic weight consolidation of ΔW. For comparison:
            ``ewc_factors`` of A and B by themselves, ``mas`` ΔW by another measure of importance, ``l2sp`` all weights
            alike, ``lwf`` the champion's answers on the rows it learns from, ``none``.
        ewc_kl_budget: nats per example by which a retrain's answers may leave the champion's: λ is then the smallest of
            `ewc_lambda_grid` that keeps within it, and `ewc_lambda` is not used. None: `ewc_lambda` as it is.
        ewc_lambda_grid: λ to try for the budget, rising.
        memory: what a retrain learns from beside its new rows. ``full``: every row that is still held; ``coreset``: the
            few that its prior keeps (`episome.coreset`); ``none``: none. `lwf_lambda` goes with both.
        coreset_per_class: rows of each class and task that a prior keeps, at most.
        replay_share: what the coreset's rows count in a step, against 1 − this for the new ones; 0 switches off.
        lwf_lambda: weight of KL(champion ‖ retrain) on the new rows unless ``memory`` is ``full``; 0 switches off.
        fisher: what a training keeps for its retrain: row and column sums, or every weight's own.
        fisher_decay: of what the prior had gathered, added to what this training finds.
        interpolate: t of a retrain's ΔW = (1 − t) champion + t trained, mixed as products (`heir.retreat`).
        retain_lambda: weight of the penalty towards the donor's ΔW, by the donor's importance.
        distil_lambda: weight of the squared distance to the donor's pooled states.
        joint_lambda: λ of L = L_donor + λ L_target, on rows of both; 0 trains on the target's alone.
    """

    learning_rate: Positive
    head_learning_rate: Positive
    epochs: Annotated[int, Field(ge=0)]
    patience: Count
    tokens_per_step: Count
    weight_decay: Weight
    warmup_share: Share
    clip_norm: Positive
    balance: Literal["none", "weights", "sampling"]
    auxiliary: Auxiliary
    precision: Literal["fp32", "bf16"]
    gradient_checkpointing: bool
    strand_free: tuple[Name, ...]
    reverse_complement_share: Share
    composition_inverse_penalty: Annotated[tuple[Positive, ...], Field(min_length=1)]
    site_kmer_weights: Annotated[tuple[Positive, ...], Field(min_length=1)]
    checkpoint_seconds: Positive
    ewc_lambda: Weight
    guard: Guard = "ewc"
    ewc_kl_budget: Positive | None
    ewc_lambda_grid: Annotated[tuple[Positive, ...], Field(min_length=1)]
    memory: Past
    coreset_per_class: Count
    replay_share: Annotated[float, Field(ge=0, lt=1)]
    lwf_lambda: Weight
    retain_lambda: Weight
    distil_lambda: Weight
    joint_lambda: Weight
    fisher_rows: Count
    fisher: Literal["factored", "full"] = "factored"
    fisher_decay: Share = 1.0
    interpolate: Annotated[float, Field(gt=0, le=1)] = 1.0

    @property
    def answers_lambda(self) -> float:
        """Weight of the champion's answers on the rows that a retrain learns from."""
        distilled = 0.0 if self.memory == "full" else self.lwf_lambda
        return distilled + (self.ewc_lambda if self.guard == "lwf" else 0.0)

    @model_validator(mode="after")
    def _can_be_searched(self) -> "Train":
        if list(self.ewc_lambda_grid) != sorted(set(self.ewc_lambda_grid)):
            raise ValueError(f"ewc_lambda_grid: {', '.join(map(str, self.ewc_lambda_grid))}; wanted: rising")
        if self.ewc_kl_budget is not None and self.guard == "none":
            raise ValueError("ewc_kl_budget chooses λ of a guard, and guard is none; wanted: a guard, or null")
        return self

    @model_validator(mode="after")
    def _something_to_turn(self) -> "Train":
        if self.reverse_complement_share > 0 and not self.strand_free:
            raise ValueError(
                f"reverse_complement_share is {self.reverse_complement_share} and strand_free names no task; "
                "wanted: the tasks whose answer the other strand shares, or a share of 0"
            )
        return self


class Tune(Frozen):
    """The search of `python -m pipelines.tune`: a fixed number of trainings.

    Attributes:
        trials: trainings begun; one that falls behind the others is stopped early.
        learning_rate: lowest and highest, searched on a log scale.
        rank: adapter ranks to choose from; alpha keeps its ratio to them.
        weights: candidates for λ: of ewc_lambda where there is a prior, else of retain_lambda where there is a donor.
    """

    trials: Count
    learning_rate: tuple[Positive, Positive]
    rank: Annotated[tuple[Count, ...], Field(min_length=1)]
    weights: Annotated[tuple[Weight, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _low_to_high(self) -> "Tune":
        low, high = self.learning_rate
        if low >= high:
            raise ValueError(f"learning_rate: {low} to {high}; wanted the lower one first")
        return self
