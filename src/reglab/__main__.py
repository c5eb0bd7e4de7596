"""``python -m reglab``."""

from reglab.cli import main

main()
