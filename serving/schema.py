"""What a call may say, as pydantic models: the same types check a body and document it."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, WithJsonSchema

from episome.answer import Report

_EXAMPLE = "GCGGGCCGGGGGCGGGGCCTATAAAAGGCGCGGCGGGCAGTCGCAGGTAAGTCCGATTTGACC"


class Record(BaseModel):
    """One sequence to annotate."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$", examples=["seq1"])]
    sequence: Annotated[
        str,
        Field(description="A C G T N and IUPAC codes in any case; U is read as T.", examples=[_EXAMPLE]),
    ]
    species: Annotated[str | None, Field(description="Overrides the call's species.")] = None


class Call(BaseModel):
    """Body of ``POST /v1/annotate``."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"species": "human_sim", "records": [{"id": "seq1", "sequence": _EXAMPLE}]}]},
    )

    species: Annotated[str | None, Field(description="Species of every record that names none.")] = None
    tasks: Annotated[
        list[str] | None, Field(min_length=1, description="Tasks to answer; all of the species' when left out.")
    ] = None
    report: Annotated[
        Report, Field(description="`calls`: features that reach the threshold; `all`: every scored window.")
    ] = "calls"
    # Checked one by one by `records`: a record that is no record must not sink its neighbours.
    records: Annotated[
        list[JsonValue],
        Field(min_length=1),
        WithJsonSchema({"type": "array", "minItems": 1, "items": Record.model_json_schema()}),
    ]


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
    """One window that was scored; 0-based half-open on the plus strand."""

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
