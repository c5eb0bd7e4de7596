"""Strategies that act on the weights themselves: noisy ones, bounded ones."""
