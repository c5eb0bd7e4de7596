"""The disk of a study: what is written, how it stays whole, and how it is read again."""
