"""What is asked of a study beyond comparing, each in a file that walks the whole way, as ``Study.run`` does."""
