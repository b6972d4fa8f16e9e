"""`params.yaml`: what may stand in it, and the message when something else does.

Every value that changes a result is declared here once, with its type and range; a stage calls
`load()` and reads `parameters.train.epochs`. The comments beside the values in `params.yaml` say
what each one does.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from vinreader.spec import UserError

PARAMS_FILE = Path("params.yaml")


class ParameterError(UserError):
    """params.yaml cannot be used; the text names the parameter, its value and what is allowed."""


def _number_from_text(value: object) -> object:
    # YAML 1.1 reads 1e-3 as text because it has no dot; whoever types it means the number.
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _lowercase_letters(text: str) -> str:
    if not all("a" <= letter <= "z" for letter in text) or len(set(text)) != len(text):
        raise ValueError("lowercase letters a to z, each at most once")
    if set(text) & set("ioq"):
        raise ValueError("no i, o, q: their capitals are not in a VIN")
    return text


Number = Annotated[float, BeforeValidator(_number_from_text)]
Share = Annotated[Number, Field(ge=0, le=1)]
Width = Annotated[int, Field(ge=1, le=1024)]
Url = Annotated[str, Field(pattern=r"^https?://")]


class _Loader(yaml.SafeLoader):
    """Plain YAML: no objects, no name twice in a section (the first would count for nothing), and
    no aliases, with which a few lines can stand for billions."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed here", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        names = [name.value for name, _ in node.value if isinstance(name, yaml.ScalarNode)]
        if twice := [name for name in names if names.count(name) > 1]:
            problem = f"{twice[0]!r} stands twice"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_mapping(node, deep)


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Data(Section):
    source: Literal["auto", "emnist", "embedded"]
    split: Literal["byclass", "balanced"]
    archive: Annotated[str, Field(min_length=1)]
    urls: Annotated[list[Url], Field(min_length=1)]
    require_official: bool
    embedded_per_class: Annotated[int, Field(ge=20, le=100_000)]
    embedded_writers: Annotated[int, Field(ge=10, le=100_000)]


class Filter(Section):
    fold: Annotated[str, AfterValidator(_lowercase_letters)]


class LabelledFolder(Section):
    weight: Annotated[int, Field(ge=1, le=1000)]
    validation: Annotated[int, Field(ge=0)]
    test: Annotated[int, Field(ge=0)]


class Split(Section):
    validation: Annotated[Number, Field(gt=0, lt=0.5)]
    cap: Annotated[int, Field(ge=0)]
    embedded_share: Annotated[Number, Field(ge=0, le=0.9)]
    labelled: dict[str, LabelledFolder]


class Augmentation(Section):
    rotation: Annotated[Number, Field(ge=0, le=45)]
    shear: Annotated[Number, Field(ge=0, le=1)]
    scale: Annotated[Number, Field(ge=0, le=0.5)]
    shift: Annotated[Number, Field(ge=0, le=8)]
    elastic: Annotated[Number, Field(ge=0, le=8)]
    thickness: Share
    contrast: Annotated[Number, Field(ge=0, le=0.9)]
    erase: Share


class Train(Section):
    widths: Annotated[list[Width], Field(min_length=3, max_length=3)]
    depths: Annotated[list[Annotated[int, Field(ge=1, le=16)]], Field(min_length=3, max_length=3)]
    arithmetic: Literal["portable", "fast"]
    dropout: Annotated[Number, Field(ge=0, lt=1)]
    epochs: Annotated[int, Field(ge=1, le=10_000)]
    batch_size: Annotated[int, Field(ge=1, le=8192)]
    learning_rate: Annotated[Number, Field(gt=0, le=1)]
    warmup: Annotated[Number, Field(ge=0, lt=1)]
    weight_decay: Annotated[Number, Field(ge=0, le=1)]
    label_smoothing: Annotated[Number, Field(ge=0, lt=1)]
    weight_average: Annotated[Number, Field(ge=0, lt=1)]
    class_balance: Share
    threads: Annotated[int, Field(ge=1, le=256)]
    patience: Annotated[int, Field(ge=1)]
    crossed_out: Annotated[Number, Field(ge=0, le=0.5)]
    augmentation: Augmentation


class Numbers(Section):
    least: Annotated[int, Field(ge=2, le=1000)]
    strength: Annotated[Number, Field(gt=0, le=1000)]
    diversity: Annotated[Number, Field(ge=0, le=1000)]
    unseen: Annotated[Number, Field(ge=0, le=0.5)]
    old_makers: Annotated[Number, Field(ge=0, le=100_000)]
    fold: Annotated[int, Field(ge=1)]


class Evaluate(Section):
    accepted_error: Annotated[Number, Field(gt=0, lt=1)]
    certainty: Annotated[Number, Field(ge=0.5, lt=1)]
    bins: Annotated[int, Field(ge=2, le=100)]
    pairs: Annotated[int, Field(ge=1, le=528)]
    cards: Annotated[int, Field(ge=10, le=100_000)]


class Export(Section):
    min_agreement: Share
    max_difference: Share
    int8: bool
    max_loss: Share


class Robustness(Section):
    per_class: Annotated[int, Field(ge=1, le=10_000)]


class Parameters(Section):
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)]
    data: Data
    filter: Filter
    split: Split
    train: Train
    numbers: Numbers
    evaluate: Evaluate
    export: Export
    robustness: Robustness


def _explain(error: ErrorDetails) -> str:
    name = ".".join(str(part) for part in error["loc"])
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        model: Any = Parameters
        for part in error["loc"][:-1]:
            fields = getattr(model, "model_fields", None)
            model = fields[part].annotation if fields else get_args(model)[1]
        return f"{name}: no such parameter; allowed here: {', '.join(model.model_fields)}"
    if kind == "missing":
        return f"{name}: missing; add it (README.md, 'Parameters', lists them all)"
    allowed = str(context["error"]) if kind == "value_error" else error["msg"]
    return f"{name} = {error['input']!r:.200}: {allowed[0].lower()}{allowed[1:]}"


def parse(text: str, where: str = "params.yaml") -> Parameters:
    """Parameters from the text of a params.yaml.

    Raises:
        ParameterError: the text is not YAML, or a name, type or range is wrong.
    """
    try:
        values = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ParameterError(f"{where} is not valid YAML: {error}") from None
    try:
        return Parameters.model_validate(values)
    except ValidationError as error:
        wrong = "\n".join(f"  {_explain(item)}" for item in error.errors())
        raise ParameterError(f"{where}:\n{wrong}") from None


def load(path: Path = PARAMS_FILE) -> Parameters:
    """Parameters of this workspace.

    Raises:
        ParameterError: the file is missing or unusable.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(
            f"{path} cannot be read: {error}; run from the project folder"
        ) from None
    return parse(text, str(path))
