"""params.yaml: a wrong name, type or range is named before anything runs."""

import functools
import re

from vintraining.parameters import RENAMED, ParameterError, load, parse

import pytest
import yaml

from conftest import PROJECT

TEXT = (PROJECT / "params.yaml").read_text()


def changed(old: str, new: str) -> str:
    assert TEXT.count(old) == 1, old
    return TEXT.replace(old, new)


def test_the_projects_own_parameters_are_valid():
    assert load(PROJECT / "params.yaml").train.epochs >= 1


def test_every_parameter_has_a_comment():
    values = [line for line in TEXT.splitlines() if ": " in line and "http" not in line]
    assert values
    assert [line for line in values if "#" not in line] == []


@pytest.mark.parametrize(
    ("text", "names", "allowed"),
    [
        (changed("  epochs:", "  epochs: 0 #"), "train.epochs = 0", "greater than or equal to 1"),
        (changed("  epochs:", "  epochs: many #"), "train.epochs = 'many'", "integer"),
        (changed("  epochs:", "  epoch:"), "train.epoch", "allowed here: .*epochs"),
        (changed("  epochs:", "  epochs: true #"), "train.epochs = True", "integer"),
        (changed("  dropout:", "  dropout: 1.5 #"), "train.dropout = 1.5", "less than 1"),
        (changed("  dropout:", "  dropout: .nan #"), "train.dropout = nan", ""),
        (changed("split: byclass", "split: letters"), "data.split = 'letters'", "'byclass'"),
        (changed('fold: ""', "fold: aoC"), "filter.fold = 'aoC'", "a to z"),
        (changed('fold: ""', "fold: io"), "filter.fold = 'io'", "not in a VIN"),
        (changed("    rotation:", "    rotation: 90 #"), "train.augmentation.rotation", "45"),
        (changed("  pairs:", "  #"), "evaluate.pairs", "missing"),
        (changed("https://bio", "file://bio"), "data.urls.0", "http"),
        ("", "params.yaml", ""),
        ("seed: [1", "params.yaml", "not valid YAML"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_is_allowed(text, names, allowed):
    with pytest.raises(ParameterError) as error:
        parse(text)
    assert names in str(error.value)
    assert re.search(allowed, str(error.value))


@pytest.mark.parametrize("old", RENAMED)
def test_an_old_name_is_told_with_the_new_one(old):
    values = yaml.safe_load(TEXT)
    *sections, name = old.split(".")
    functools.reduce(dict.__getitem__, sections, values)[name] = 1
    with pytest.raises(ParameterError) as error:
        parse(yaml.safe_dump(values))
    assert f"{old}: no longer a parameter; it has become {RENAMED[old]}" in str(error.value)


def test_numbers_as_people_write_them_are_understood():
    text = changed("learning_rate: 0.003", "learning_rate: 1e-3")
    assert parse(text).train.learning_rate == 0.001


def test_a_stage_stops_with_the_message(workspace):
    workspace.set({"train.dropout": 2})
    for script in ("download.py", "filter.py", "split.py"):
        result = workspace.run_here(script)
        assert result.returncode == 1
        assert "train.dropout = 2" in result.stderr and "Traceback" not in result.stderr
    assert not (workspace.folder / "data").exists()
