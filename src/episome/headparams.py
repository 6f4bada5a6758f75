"""What params.yaml says of the linear head."""

from typing import Annotated

from pydantic import Field

from episome.sources import Frozen


class Head(Frozen):
    """What the linear head sees beside the pooled and the centre state; see `episome.composition.Composition`."""

    composition_k: Annotated[int, Field(ge=0, le=6)]
    phased_codons: bool
    site_reach: Annotated[int, Field(ge=0)]
