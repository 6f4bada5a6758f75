"""What the service answers, as pydantic models: the same types document it and read it (`episome.client`)."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field


class ProblemDetails(BaseModel):
    """A problem as RFC 9457 has it (`application/problem+json`); members that do not apply are left out."""

    type: str
    title: str
    status: int
    detail: str
    record: str | None = None
    position: Annotated[int | None, Field(description="1-based position in the record's sequence.")] = None
    character: str | None = None
    errors: list["ProblemDetails"] | None = None


class FeatureOut(BaseModel):
    """One window that was scored, or called windows of one task that overlap; 0-based half-open on the plus strand."""

    start: int
    end: int
    strand: Literal["+", "-"]
    label: str | None
    score: Annotated[float | None, Field(ge=0, le=1, description="Calibrated probability of the positive class.")]
    called: bool
    flags: list[Literal["edge", "no_call", "too_long"]]


class TaskOut(BaseModel):
    """What one task says about one record."""

    scope: Literal["sequence", "window", "site"]
    threshold: float
    calibrated_threshold: Annotated[float, Field(description="The bundle's own; `threshold` is the one that was used.")]
    labels: tuple[str, str]
    scored: int
    no_call: int
    features: list[FeatureOut]


class NormalisedOut(BaseModel):
    """What was changed before the sequence was read: numbers of bases."""

    lower_case: int
    uracil: int
    ambiguous: int


class MatchOut(BaseModel):
    """Whether the record looks like the species it was sent to."""

    status: Literal["match", "mismatch", "undecided"]
    best_species: str
    margin_nats: float


class AdapterOut(BaseModel):
    """Which adapter answered."""

    species: str
    version: str
    bundle: str


class ReceiptOut(BaseModel):
    """What the answer was made with."""

    tool: str
    base: str
    adapter: AdapterOut
    data: str
    git_commit: str
    gate: str
    provider: str
    coordinate_system: Literal["0-based half-open"]


class AnswerOut(BaseModel):
    """One annotated record."""

    id: str
    status: Literal["ok"]
    species: str
    simulated: bool
    length: int
    normalised: NormalisedOut
    tasks: dict[str, TaskOut]
    match: MatchOut
    receipt: ReceiptOut


class RefusalOut(BaseModel):
    """One record that was not annotated, while others were."""

    id: str | None
    status: Literal["error"]
    problem: ProblemDetails


class Annotation(BaseModel):
    """Answer of ``POST /v1/annotate``: one result a record, in the order of the call."""

    results: list[AnswerOut | RefusalOut]
