"""Sparsity counts what is small beside the largest of its kernel."""

from __future__ import annotations

import numpy as np

from reglab.study.sparsity import sparsity


def test_sparsity_counts_kernels_alone_and_in_proportion():
    kernel = np.array([[2.0, 0.019], [-0.5, 0.021]])
    assert sparsity([kernel, np.zeros(100)]) == 0.25
    assert sparsity([kernel * 1e-6]) == 0.25
    assert np.isnan(sparsity([np.ones(3)]))
