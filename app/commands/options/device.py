"""Options of the machine, shared by commands that run a model."""

from typing import Literal

Device = Literal["auto", "cpu", "cuda"]
