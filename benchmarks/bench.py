"""All measurements of docs/performance.md: ``python benchmarks/bench.py [--write] [PART ...]``, or ``make bench``.

Each part is a script of this folder and prints Markdown, which goes to the terminal and, with ``--write``, to its place
in docs/performance.md, between ``<!-- PART -->`` and ``<!-- end of PART -->``. Without names all parts are run, one
after another; nothing else should run meanwhile.
"""

from __future__ import annotations

import datetime
import re
import subprocess
import sys
import time
from pathlib import Path

PARTS = ("startup", "steps", "studies", "pipeline", "growth", "limits", "masks")
HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"


def printed(part: str) -> str:
    """Run a part and return what it printed; it tells of its progress on standard error."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, str(HERE / f"{part}.py")], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{part} ended with {done.returncode}")
    minutes = (time.perf_counter() - began) / 60
    day = datetime.date.today().isoformat()
    return f"`python benchmarks/{part}.py`, {day}, {minutes:.0f} min:\n\n{done.stdout.strip()}"


def placed(page: str, part: str, text: str) -> str:
    """Return the page with what a part printed in its place."""
    begin, end = f"<!-- {part} -->", f"<!-- end of {part} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(page):
        raise SystemExit(f"{PAGE.name} has no place for {part}: {begin} and {end}")
    return pattern.sub(lambda _: f"{begin}\n{text}\n{end}", page)


def main() -> None:
    """Run parts, print them, and write them down if asked."""
    names = [name for name in sys.argv[1:] if name != "--write"] or list(PARTS)
    if unknown := [name for name in names if name not in PARTS]:
        raise SystemExit(f"no part is called {', '.join(unknown)}; there are {', '.join(PARTS)}")
    for part in names:
        text = printed(part)
        print(text + "\n", flush=True)
        if "--write" in sys.argv:
            PAGE.write_text(placed(PAGE.read_text(encoding="utf-8"), part, text), encoding="utf-8")


if __name__ == "__main__":
    main()
