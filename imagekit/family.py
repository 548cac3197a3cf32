"""torch and what is compiled against it: a module of its own, which loads nothing for those who only ask."""

FAMILY = ("torch", "torchvision", "torchaudio")
"""torch, and those whose versions follow it (METADATA of their wheels pins it)."""
