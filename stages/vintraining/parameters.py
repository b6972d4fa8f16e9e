"""`params.yaml`: what may stand in it, and the message when something else does.

The comments beside the values in `params.yaml` say what each one does.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from vintraining.model.augmentation import Augmentation
from vintraining.model.processor import Arithmetic
from vintraining.section import Number, Section, Share

import yaml
from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import ErrorDetails

from vinreader.spec import CHARACTERS, UserError

PARAMS_FILE = Path("params.yaml")
# What parameters were called before, and what has taken their place.
RENAMED = {
    "train.weight_average": "train.ema_share",
    "finetune.as_written": "finetune.unaugmented_share",
    "finetune.rate": "finetune.learning_rate, which is no longer a share of train.learning_rate",
    "finetune.checked.pseudo_label_threshold": "nothing: cards that nobody checked do not teach",
    "finetune.label_smoothing": "nothing: there is none",
    "finetune.class_prior": "nothing: it is that of the whole mixture",
    "adapt": "finetune.checked: kept is holdout",
    "numbers.least": "numbers.min_count",
    "evaluate.accepted_error": "evaluate.target_risk",
    "evaluate.certainty": "evaluate.target_risk alone",
    "evaluate.margin": "evaluate.target_risk alone",
    "export.max_loss": "export.max_int8_loss",
    "robustness": "an option of benchmarks/robustness.py",
}


class ParameterError(UserError):
    """params.yaml cannot be used; the text names the parameter, its value and what is allowed."""


def _lowercase_letters(text: str) -> str:
    if not all("a" <= letter <= "z" for letter in text) or len(set(text)) != len(text):
        raise ValueError("lowercase letters a to z, each at most once")
    if foreign := sorted(set(text) - set(CHARACTERS.lower())):
        raise ValueError(f"no {', '.join(foreign)}: the capital is not in a VIN")
    return text


class _Loader(yaml.SafeLoader):
    """Plain YAML: no name twice in a section, and no aliases, with which a few lines can stand for
    billions."""

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


class Data(Section):
    source: Literal["auto", "emnist", "embedded"]
    split: Literal["byclass", "balanced"]
    archive: Annotated[str, Field(min_length=1)]
    urls: Annotated[list[Annotated[str, Field(pattern=r"^https?://")]], Field(min_length=1)]
    require_official: bool
    embedded_per_class: Annotated[int, Field(ge=20, le=100_000)]
    embedded_writers: Annotated[int, Field(ge=10, le=100_000)]


class Filter(Section):
    fold: Annotated[str, AfterValidator(_lowercase_letters)]


# How many writers, or what the names of these writers begin with (a laboratory of UNIPEN).
Holdout = Annotated[int, Field(ge=0)] | list[Annotated[str, Field(min_length=1)]]


class LabelledFolder(Section):
    share: Annotated[Number, Field(gt=0, lt=1)]
    validation: Holdout
    test: Holdout


class Split(Section):
    validation: Annotated[Number, Field(gt=0, lt=0.5)]
    cap: Annotated[int, Field(ge=0)]
    embedded_share: Annotated[Number, Field(ge=0, le=0.9)]


class Train(Section):
    widths: Annotated[list[Annotated[int, Field(ge=1, le=1024)]], Field(min_length=3, max_length=3)]
    depths: Annotated[list[Annotated[int, Field(ge=1, le=16)]], Field(min_length=3, max_length=3)]
    arithmetic: Arithmetic
    dropout: Annotated[Number, Field(ge=0, lt=1)]
    epochs: Annotated[int, Field(ge=1, le=10_000)]
    batch_size: Annotated[int, Field(ge=1, le=8192)]
    learning_rate: Annotated[Number, Field(gt=0, le=1)]
    warmup: Annotated[Number, Field(ge=0, lt=1)]
    warmup_start: Annotated[Number, Field(gt=0, le=1)]
    weight_decay: Annotated[Number, Field(ge=0, le=1)]
    label_smoothing: Annotated[Number, Field(ge=0, lt=1)]
    ema_share: Annotated[Number, Field(ge=0, lt=1)]
    batch_norm_momentum: Annotated[Number, Field(ge=0, lt=1)]
    class_balance: Share
    threads: Annotated[int, Field(ge=1, le=256)]
    patience: Annotated[int, Field(ge=1)]
    crossed_out: Annotated[Number, Field(ge=0, le=0.5)]
    augmentation: Augmentation


def _leave_room(folders: dict[str, LabelledFolder]) -> dict[str, LabelledFolder]:
    if (together := sum(folder.share for folder in folders.values())) >= 1:
        raise ValueError(f"shares of less than 1 together, not {together:g}")
    return folders


class CheckedCards(Section):
    share: Annotated[Number, Field(gt=0, lt=1)]
    passes: Annotated[int, Field(ge=1, le=1000)]
    holdout: Annotated[Number, Field(gt=0, le=0.5)]


class Finetune(Section):
    labelled: Annotated[dict[str, LabelledFolder], AfterValidator(_leave_room)]
    checked: CheckedCards
    steps: Annotated[int, Field(ge=1, le=1_000_000)]
    learning_rate: Annotated[Number, Field(gt=0, le=1)]
    unaugmented_share: Share


class Numbers(Section):
    min_count: Annotated[int, Field(ge=2, le=1000)]
    strength: Annotated[Number, Field(gt=0, le=1000)]
    diversity: Annotated[Number, Field(ge=0, le=1000)]
    damping: Annotated[Number, Field(ge=0, le=1)]
    unseen: Annotated[Number, Field(ge=0, le=0.5)]
    old_makers: Annotated[Number, Field(ge=0, le=100_000)]
    habit: Annotated[Number, Field(ge=0, le=100_000)]
    older: Share
    outside: Annotated[Number, Field(gt=0, le=1)]
    stray: Annotated[Number, Field(gt=0, le=0.1)]
    usual_check: Share
    known_maker: Annotated[int, Field(ge=1)]
    base: Literal["released", "none"]
    fold: Annotated[int, Field(ge=1)]


class Evaluate(Section):
    target_risk: Annotated[Number, Field(gt=0, lt=1)]
    risks: list[Annotated[Number, Field(gt=0, lt=1)]]
    bins: Annotated[int, Field(ge=2, le=100)]
    pairs: Annotated[int, Field(ge=1, le=528)]
    cards: Annotated[int, Field(ge=10, le=100_000)]
    prior_cards: Annotated[int, Field(ge=1, le=1_000_000)]


class Export(Section):
    min_agreement: Share
    max_difference: Share
    int8: bool
    max_int8_loss: Share


class Parameters(Section):
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)]
    data: Data
    filter: Filter
    split: Split
    train: Train
    finetune: Finetune
    numbers: Numbers
    evaluate: Evaluate
    export: Export


def _explain(error: ErrorDetails) -> str:
    name = ".".join(str(part) for part in error["loc"])
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden" and name in RENAMED:
        return f"{name}: no longer a parameter; it has become {RENAMED[name]}"
    if kind == "extra_forbidden":
        model: Any = Parameters
        for part in error["loc"][:-1]:
            fields = getattr(model, "model_fields", None)
            model = fields[part].annotation if fields else get_args(model)[1]
        return f"{name}: no such parameter; allowed here: {', '.join(model.model_fields)}"
    if kind == "missing":
        return f"{name}: missing; add it, as in the committed params.yaml"
    allowed = str(context["error"]) if kind == "value_error" else error["msg"]
    return f"{name} = {error['input']!r:.200}: {allowed[0].lower()}{allowed[1:]}"


def parse(text: str, where: str = "params.yaml") -> Parameters:
    """Parameters from the text of a params.yaml. Raises: ParameterError."""
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
    """Parameters of this workspace. Raises: ParameterError."""
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(
            f"{path} cannot be read: {error}; run from the project folder"
        ) from None
