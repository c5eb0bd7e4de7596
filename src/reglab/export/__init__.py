"""Taking a recipe home: its text, the trained network, and a training script in plain Keras."""
