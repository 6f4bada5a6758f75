"""What a call may say, as pydantic models: the same types check a body and document it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, WithJsonSchema

from episome.answer import Report
from episome.wire import ProblemDetails, ReceiptOut

_WINDOW = "GCGGGCCGGGGGCGGGGCCTATAAAAGGCGCGGCGGGCAGTCGCAGGTAAGTCCGATTTG" * 5  # of `promoter`, 300 bases
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
        Report,
        Field(
            description="`calls`: features that reach the threshold, overlapping windows of a task as one with the "
            "highest score; `all`: every window."
        ),
    ] = "calls"
    # Checked one by one by `records`: a record that is no record must not sink its neighbours.
    records: Annotated[
        list[JsonValue],
        Field(min_length=1),
        WithJsonSchema({"type": "array", "minItems": 1, "items": Record.model_json_schema()}),
    ]


def body(model: type[BaseModel]) -> dict[str, Any]:
    """What OpenAPI says of a route that reads its JSON itself, so that errors are in the service's own words."""
    content = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


def _whole(model: type[BaseModel]) -> dict[str, Any]:
    """A model's schema with what it refers to written in place, so that it can stand inside another."""
    described = model.model_json_schema()
    parts = described.pop("$defs", {})

    def place(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                return place(parts[node["$ref"].rsplit("/", 1)[1]])
            return {name: place(value) for name, value in node.items()}
        return [place(value) for value in node] if isinstance(node, list) else node

    return dict(place(described))


_Said = Annotated[str, Field(max_length=200)]
_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class CorrectedAdapter(BaseModel):
    """Which adapter gave the corrected answer."""

    model_config = ConfigDict(extra="forbid")

    species: _Said
    version: _Said
    bundle: _Digest


class Corrected(BaseModel):
    """The receipt of the answer that a label corrects, as that answer had it."""

    model_config = ConfigDict(extra="forbid")

    tool: _Said
    base: _Digest
    adapter: CorrectedAdapter
    data: _Digest
    git_commit: _Said
    gate: _Digest
    provider: _Said
    coordinate_system: Literal["0-based half-open"]


class CuratedLabel(BaseModel):
    """One sequence and what a curator says it is."""

    model_config = ConfigDict(extra="forbid")

    species: Annotated[str, Field(description="One that `/v1/species` lists.", examples=["human_sim"])]
    task: Annotated[str, Field(description="One of its tasks.", examples=["promoter"])]
    sequence: Annotated[
        str,
        Field(
            description="A C G T N and IUPAC codes in any case, U read as T, as rows of training are: for a task of "
            "scope `window` exactly one window; for scope `site` the window centred on the site, its motif beginning "
            "at base `window // 2`, counted from 0; for scope `sequence` the whole. Read from the strand that the "
            "label speaks of. `/v1/species/{id}` has scope, window and motif of each task."
        ),
    ]
    label: Annotated[
        str, Field(description="One of the task's two labels, by its name in `/v1/species`.", examples=["promoter"])
    ]
    curator: Annotated[
        str,
        Field(
            min_length=1,
            max_length=200,
            pattern=r"^[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?$",
            description="Who says so; kept with the label, and not checked. No blanks at either end.",
            examples=["Barbara McClintock"],
        ),
    ]
    note: Annotated[str | None, Field(max_length=2000, description="Why, in the curator's words.")] = None
    receipt: Annotated[Corrected | None, Field(description="Of the answer that this corrects, as it came.")] = None


class Feedback(BaseModel):
    """Body of ``POST /v1/feedback``."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "rows": [
                        {
                            "species": "human_sim",
                            "task": "promoter",
                            "sequence": _WINDOW,
                            "label": "promoter",
                            "curator": "Barbara McClintock",
                            "note": "mapped by CAGE",
                        }
                    ]
                }
            ]
        },
    )

    # Checked one by one, as records are.
    rows: Annotated[
        list[JsonValue],
        Field(min_length=1),
        WithJsonSchema({"type": "array", "minItems": 1, "items": _whole(CuratedLabel)}),
    ]


class TakenRow(BaseModel):
    """A label that is kept now, or was before."""

    row: Annotated[int, Field(description="1 for the call's first.")]
    status: Annotated[
        Literal["stored", "known"], Field(description="`known`: this curator had said the same; nothing was stored.")
    ]
    id: Annotated[int, Field(description="Of the stored label; later ones have larger ids.")]
    sequence_sha256: Annotated[str, Field(description="The same for every spelling of the sequence.")]
    contradiction: Annotated[bool, Field(description="Somebody says the contrary; such rows are kept out of exports.")]
    contradicts: Annotated[list[int], Field(description="Ids of the labels that say the contrary, the first few.")]


class RefusedRow(BaseModel):
    """A row that was not taken, while others were."""

    row: int
    status: Literal["error"]
    problem: ProblemDetails


class Taken(BaseModel):
    """Answer of ``POST /v1/feedback``: one result a row, in the order of the call."""

    results: list[TakenRow | RefusedRow]


_Values = dict[str, JsonValue]


class ModelCard(BaseModel):
    """The model card, under the headings of Mitchell et al. (2019), https://doi.org/10.1145/3287560.3287596."""

    format: Literal[1]
    simulated: Annotated[bool, Field(description="Its data are invented; it says nothing of real DNA.")]
    model_details: Annotated[_Values, Field(description="Version, bundle, base, adapter, git commit, gate report.")]
    intended_use: Annotated[_Values, Field(description="What it is for, for whom, and what it is not for.")]
    factors: Annotated[_Values, Field(description="By task: what it reads, strands, labels.")]
    metrics: Annotated[_Values, Field(description="What was measured, thresholds, how the intervals came about.")]
    evaluation_data: Annotated[_Values, Field(description="Rows by task, of validation and test.")]
    training_data: Annotated[_Values, Field(description="Source, licence, citation, sha256, releases, rows by task.")]
    quantitative_analyses: Annotated[_Values, Field(description="By task: scores with intervals, beside baselines.")]
    calibration: Annotated[_Values, Field(description="By task: temperature, threshold, Brier score, error.")]
    lineage: Annotated[_Values, Field(description="Donor, prior, releases, seed, plan of the transfer.")]
    ethical_considerations: list[str]
    caveats_and_recommendations: Annotated[list[str], Field(description="Limits.")]


class SpeciesOut(BaseModel):
    """Answer of ``GET /v1/species/{species}``."""

    id: str
    scientific_name: str
    taxon_id: int
    simulated: bool
    version: str
    bundle: str
    tasks: list[_Values]
    receipt: ReceiptOut
    card: Annotated[_Values, Field(description="`card.json` of its bundle.")]
    model_card: ModelCard
