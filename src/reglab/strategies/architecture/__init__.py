"""Strategies that act on what flows through the network."""
