"""Draws demo.svg from what ``make demo`` left in reglab-out/demo: ``.venv/bin/python docs/images/demo.py``."""

import re
from pathlib import Path

from rich.console import Console

from reglab import paper
from reglab.cli.demo import DEMO
from reglab.cli.show import run_and_show
from reglab.facade import Study

console = Console(record=True, width=108, force_terminal=True)
study = Study(recipes=paper.table2(), baseline=paper.BASELINE, out="reglab-out/demo", **DEMO)
study.recipes, notes = paper.without_transforms(study.recipes, study.dataset.label_changing)
run_and_show(study, notes=tuple(notes), console=console)
picture = console.export_svg(title="make demo")
picture = re.sub(
    r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL
)  # the viewer's own font, nothing from elsewhere
Path(__file__).with_name("demo.svg").write_text(picture.replace("Fira Code, monospace", "monospace"))
