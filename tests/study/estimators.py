"""scikit-learn's checks of estimators, with those that train for long marked as slow."""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

WEIGHTS = {
    "check_sample_weight_equivalence_on_dense_data": "it asks for seven equal digits of a weighted and of a repeated "
    "training. Repeated examples make other batches, and another part is held out. In one batch of everything, with "
    "the last epoch kept, the two are equal to the rounding of float32, which "
    "test_a_weight_is_a_repetition_and_a_weight_of_zero_leaves_out holds."
}


# The same as another check with other kinds of input, or of less interest for what each training of it takes.
SLOW_CHECKS = {
    "check_array_api_input(array_namespace=numpy,expect_only_array_outputs=False)",
    "check_classifier_data_not_an_array()",
    "check_classifiers_classes()",
    "check_classifiers_train(readonly_memmap=True)",
    "check_classifiers_train(readonly_memmap=True,X_dtype=float32)",
    "check_decision_proba_consistency()",
    "check_dtype_object()",
    "check_estimators_dtypes()",
    "check_estimators_fit_returns_self()",
    "check_estimators_overwrite_params()",
    "check_estimators_pickle(readonly_memmap=True)",
    "check_f_contiguous_array_estimator()",
    "check_fit2d_1feature()",
    "check_fit2d_predict1d()",
    "check_fit_score_takes_y()",
    "check_methods_sample_order_invariance()",
    "check_n_features_in_after_fitting()",
    "check_non_transformer_estimators_n_iter()",
    "check_pipeline_consistency()",
    "check_positive_only_tag_during_fit()",
    "check_readonly_memmap_input()",
    "check_sample_weight_equivalence_on_dense_data()",
    "check_sample_weights_list()",
    "check_sample_weights_not_an_array()",
    "check_sample_weights_pandas_series()",
    "check_supervised_y_2d()",
}


def checks_of(estimator):
    """Return scikit-learn's checks of an estimator by the names it gives them; those that train for long are slow."""
    found = []
    for each, check in estimator_checks_generator(estimator):
        name = check.func.__name__
        called = f"{name}({','.join(f'{key}={value}' for key, value in check.keywords.items())})"
        marks = [pytest.mark.xfail(reason=WEIGHTS[name])] if name in WEIGHTS else []
        marks += [pytest.mark.slow] if called in SLOW_CHECKS else []
        found.append(pytest.param(each, check, marks=marks, id=called))
    return found
