"""From predictions and histories to numbers and comparisons: arrays in, frozen results out, no disk."""
