"""Strategies that act on the gradient, or on where it is taken."""
