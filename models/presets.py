"""Presets: named combinations of embedding, encoder and head with their sizes."""

from collections.abc import Mapping

from models.config import ModelConfig, Part

PRESETS: Mapping[str, ModelConfig] = {
    preset.preset: preset
    for preset in (
        ModelConfig(Part("codes"), Part("cone"), Part("tied"), intervals=True, preset="blossom"),
        ModelConfig(Part("full"), Part("self_attention"), Part("tied"), preset="sasrec"),
        ModelConfig(Part("full"), Part("blossom"), Part("tied"), preset="blossomrec"),
        ModelConfig(Part("blocks"), Part("dilated_convolution"), Part("adaptive"), preset="cprec"),
        ModelConfig(Part("compositional"), Part("twin_attention"), Part("tied"), preset="lsan"),
        ModelConfig(Part("full"), Part("none"), Part("popularity"), dim=1, max_len=1, dropout=0.0, preset="popular"),
    )
}


def preset(name: str) -> ModelConfig:
    """Return the preset `name`; ValueError lists the names if it is unknown."""
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; choose from {', '.join(PRESETS)}")
    return PRESETS[name]
