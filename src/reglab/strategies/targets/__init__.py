"""Strategies that act on the targets alone."""
