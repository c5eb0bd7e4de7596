"""Stands in for Keras in processes that have this folder on their path: what imports it gets a workbench that plays.

Importing Keras and compiling take most of the time of a training on a cluster. Where a test is about processes, nodes
and what they send each other, nothing of it is needed.
"""

import sys

import stage_bench

__version__ = stage_bench.__version__


class backend:
    """The part of ``keras.backend`` that reglab asks."""

    @staticmethod
    def backend() -> str:
        return "stage_bench"


sys.modules["reglab.study.workbench"] = stage_bench
