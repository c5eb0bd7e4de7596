"""Strategies that act on how the optimizer steps, and for how long."""
