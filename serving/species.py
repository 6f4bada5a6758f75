"""Who answers: the species of the shelf, and what each says about itself, as values and as a page."""

from dataclasses import asdict
from typing import Any

from fastapi import FastAPI
from starlette.responses import JSONResponse, Response

from episome import answer, modelcard
from episome.generation import Resident
from serving import problems, schema
from serving.shelf import Shelf

_TAGS: list[Any] = ["species"]
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    404: {**problems.DESCRIBED, "description": "No such species answers."},
    422: {**problems.DESCRIBED, "description": "The path is no name of a species."},
}
_PAGE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The model card.", "content": {"text/markdown": {"schema": {"type": "string"}}}}
}


def mount(built: FastAPI, shelf: Shelf) -> None:
    """Add the routes under ``/v1/species``."""

    @built.get("/v1/species", tags=_TAGS, summary="Species that answer now")
    def species() -> JSONResponse:
        """The generation of the shelf that answers, its species, and why a newer one was refused."""
        now = shelf.current
        return JSONResponse(
            {
                "generation": now.number,
                "species": [_brief(name, resident) for name, resident in now.residents.items()],
                "withheld": dict(now.withheld),
                "refused": None if shelf.refused is None else asdict(shelf.refused),
            }
        )

    @built.get(
        "/v1/species/{species}",
        tags=_TAGS,
        summary="One species",
        response_model=schema.SpeciesOut,
        responses=_PROBLEMS,
    )
    def one_species(species: str) -> JSONResponse:
        """What the species' bundle says about itself, its model card, and the receipt its answers carry."""
        resident = _resident(species, shelf)
        details = {
            "receipt": asdict(answer.receipt(species, resident)),
            "card": asdict(resident.adapter.card),
            "model_card": _model_card(resident),
        }
        return JSONResponse(_brief(species, resident) | details)

    @built.get(
        "/v1/species/{species}/card.md",
        tags=_TAGS,
        summary="Model card of one species, as Markdown",
        response_class=Response,
        responses=_PAGE | _PROBLEMS,
    )
    def card(species: str) -> Response:
        """`model_card` of `/v1/species/{species}` for people; the first line says whether its data are simulated."""
        page = modelcard.markdown(_model_card(_resident(species, shelf)))
        return Response(page, media_type="text/markdown; charset=utf-8")


def _resident(species: str, shelf: Shelf) -> Resident:
    now = shelf.current
    if species not in now.residents:
        raise answer.unknown_species(species, now, None)
    return now.residents[species]


def _model_card(resident: Resident) -> dict[str, Any]:
    entry = resident.entry
    return modelcard.build(
        resident.adapter.card,
        resident.made,
        bundle=entry.bundle,
        git_commit=entry.git_commit,
        gate=entry.gate,
        version=entry.version,
    )


def _brief(name: str, resident: Resident) -> dict[str, Any]:
    card = resident.adapter.card
    return {
        "id": name,
        "scientific_name": card.scientific_name,
        "taxon_id": card.taxon_id,
        "simulated": card.simulated,
        "version": resident.entry.version,
        "bundle": resident.entry.bundle,
        "tasks": [asdict(task) for task in card.tasks],
    }
