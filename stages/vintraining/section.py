"""What a section of params.yaml is made of: fields of a type and a range, and no others."""

from contextlib import suppress
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _number_from_text(value: object) -> object:
    # YAML 1.1 reads 1e-3 as text because it has no dot; whoever types it means the number.
    with suppress(ValueError):
        return float(value) if isinstance(value, str) else value
    return value


Number = Annotated[float, BeforeValidator(_number_from_text)]
Share = Annotated[Number, Field(ge=0, le=1)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
