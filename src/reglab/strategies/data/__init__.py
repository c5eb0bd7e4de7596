"""Strategies that act on the examples: transformed, mixed, attacked."""
