"""Strategies that evaluate with averages of weights."""
