"""Looking for a recipe: the space that strategies declare, the search in it, and its confirmation on other seeds."""
