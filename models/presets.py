"""Presets: named combinations of embedding, encoder and head with their sizes."""

from collections.abc import Mapping

from models.config import ModelConfig, Part

PRESETS: Mapping[str, ModelConfig] = {
    preset.preset: preset
    for preset in (
        ModelConfig(Part("codes"), Part("cone"), Part("tied"), intervals=True, transitions=8, preset="blossom"),
        ModelConfig(Part("full"), Part("self_attention"), Part("tied"), preset="sasrec"),
        ModelConfig(Part("full"), Part("blossom"), Part("tied"), preset="blossomrec"),
        ModelConfig(
            Part("blocks", {"factors": "trained", "ranks": [0.75, 0.5]}),
            Part("self_attention", {"sharing": "adjacent_layer"}),
            Part("tied"),
            preset="cprec",
        ),
        ModelConfig(
            Part("compositional", {"assignment": "trained", "context_dim": 16, "max_categories": 2}),
            Part("twin_attention", {"layers": 2, "hidden": 256, "positions": "rotary"}),
            Part("tied"),
            preset="lsan",
        ),
        ModelConfig(Part("full"), Part("none"), Part("popularity"), dim=1, max_len=1, dropout=0.0, preset="popular"),
    )
}


def preset(name: str) -> ModelConfig:
    """Return the preset `name`; ValueError lists the names if it is unknown."""
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; choose from {', '.join(PRESETS)}")
    return PRESETS[name]
