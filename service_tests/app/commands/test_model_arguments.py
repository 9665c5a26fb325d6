"""The command line names parts and their options, and what it means is what is built."""

import argparse

import pytest

from app.commands.model_arguments import add_model_arguments, model_of, part_options
from models.config import ModelConfig, Part
from models.presets import preset


def model(words: str) -> ModelConfig:
    parser = argparse.ArgumentParser()
    add_model_arguments(parser)
    arguments = parser.parse_args(words.split())
    return model_of(arguments, preset(arguments.preset))


def test_a_preset_alone_keeps_its_name_and_its_parts() -> None:
    assert model("--preset cprec --dim 32").preset == "cprec"
    assert model("--preset cprec --dim 32").embedding == preset("cprec").embedding


def test_options_join_the_part_that_they_name() -> None:
    found = model("--preset blossomrec --option encoder.selector=mean --option encoder.block=8")
    assert found.encoder == Part("blossom", {"selector": "mean", "block": 8})
    assert found.preset == "custom"


def test_options_go_to_the_part_that_replaces_the_presets() -> None:
    found = model("--encoder dilated_convolution --option encoder.dilations=[1,2]")
    assert found.encoder == Part("dilated_convolution", {"dilations": [1, 2]})


def test_values_are_json_where_they_read_as_json() -> None:
    texts = ["encoder.a=1", "encoder.b=1.5", "encoder.c=true", "encoder.d=null", "encoder.e=none", "head.f=[3]"]
    assert part_options(texts) == {"encoder": {"a": 1, "b": 1.5, "c": True, "d": None, "e": "none"}, "head": {"f": [3]}}


@pytest.mark.parametrize(
    "text", ["selector=mean", "encoder.selector", "tower.selector=mean", "encoder.=1", "encoder.a b=1"]
)
def test_what_cannot_be_meant_is_refused_by_its_text(text: str) -> None:
    with pytest.raises(ValueError, match=r"PART\.NAME=VALUE is meant"):
        part_options([text])
