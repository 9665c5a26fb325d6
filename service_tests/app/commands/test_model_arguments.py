"""Model options of the command line: parts, their options, and sizes."""

import re

import pytest

from app.commands.main import Invocation, parse
from app.commands.model_arguments import build_model_config, parse_part_options
from app.commands.options.train import TrainOptions
from models.config import ModelConfig, Part
from models.presets import preset


def parse_model(words: str) -> ModelConfig:
    invocation = parse(["train", "log.csv", "--out", "model", *words.split()])
    assert isinstance(invocation, Invocation)
    arguments = invocation.options
    assert isinstance(arguments, TrainOptions)
    return build_model_config(arguments, preset(arguments.preset))


def test_preset_with_sizes_keeps_its_name_and_parts() -> None:
    assert parse_model("--preset cprec --dim 32").preset == "cprec"
    assert parse_model("--preset cprec --dim 32").embedding == preset("cprec").embedding


def test_options_are_added_to_their_part() -> None:
    config = parse_model("--preset blossomrec --option encoder.selector=mean --option encoder.block=8")
    assert config.encoder == Part("blossom", {"selector": "mean", "block": 8})
    assert config.preset == "custom"


def test_options_apply_to_the_replacing_part() -> None:
    config = parse_model("--encoder dilated_convolution --option encoder.dilations=[1,2]")
    assert config.encoder == Part("dilated_convolution", {"dilations": [1, 2]})


def test_option_values_are_json_if_they_parse_as_json() -> None:
    texts = ["encoder.a=1", "encoder.b=1.5", "encoder.c=true", "encoder.d=null", "encoder.e=none", "head.f=[3]"]
    assert parse_part_options(texts) == {
        "encoder": {"a": 1, "b": 1.5, "c": True, "d": None, "e": "none"},
        "head": {"f": [3]},
    }


@pytest.mark.parametrize(
    "text", ["selector=mean", "encoder.selector", "tower.selector=mean", "encoder.=1", "encoder.a b=1"]
)
def test_malformed_option_raises_and_quotes_the_text(text: str) -> None:
    with pytest.raises(ValueError, match=rf"form PART\.NAME=VALUE .*{re.escape(repr(text))}"):
        parse_part_options([text])
