"""How results look. Each table is computed first and rendered second."""
