"""imagekit: PyTorch+CUDA images whose every version is chosen from facts, pinned, and proven."""

__version__ = "0.1.0"
