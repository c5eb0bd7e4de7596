"""The version, which results and exports name."""

__all__ = ["__version__"]

__version__ = "0.1.0"
