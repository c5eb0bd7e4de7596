"""The seeds of a search, and of the confirmation that must not share any of them."""

from __future__ import annotations

from collections.abc import Callable

from reglab.errors import ReglabError
from reglab.recipe import Recipe
from reglab.studies import Study

__all__ = ["SEARCH_SEEDS", "searching_study"]

SEARCH_SEEDS = 100_000  # where seeds of searches begin; a confirmation has other ones, so that luck does not carry over


def searching_study(
    make: Callable[..., Study], *, seeds: int, beside: Recipe | None = None, confirmed: bool = True
) -> Study:
    """Return the study in which recipes are searched: sealed, on seeds of its own.

    Every kind of search begins here, so that seeds which cannot confirm are refused before anything is trained.

    Args:
        make: from ``recipes`` and settings to a study; its own seeds are those of the confirmation.
        seeds: how many seeds the search has.
        beside: the baseline of the search; by default no regularization.
        confirmed: whether a confirmation follows.

    Raises:
        ReglabError: if the confirmation would have seeds of the search.
    """
    recipe = beside or Recipe()
    recipes = {recipe.to_text(): recipe}
    study = make(recipes=recipes, baseline=recipe.to_text(), seeds=seeds, first_seed=SEARCH_SEEDS, sealed=True)
    if confirmed:
        confirming = make(recipes=recipes, baseline=recipe.to_text()).settings.seed_list()
        searched = study.settings.seed_list()
        if set(confirming) & set(searched):
            raise ReglabError(
                f"The confirmation has the seeds {_range(confirming)}, and the search {_range(searched)}: what was "
                "lucky in the search would be lucky again. Give the confirmation other seeds, with first_seed "
                "(--first-seed): 0, for example."
            )
    return study


def _range(seeds: list[int]) -> str:
    return f"{seeds[0]} to {seeds[-1]}"
