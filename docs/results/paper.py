"""The study of the paper: shows what is recorded beside this file, and trains and records what is left.

``make paper`` shows; ``make paper DATA=cifar10-images.tar.xz`` trains what is left. A series that was begun goes on
with the backend and the versions that it was begun with. Interrupt it whenever you like: what has ended is packed into
``docs/results/paper``, and it goes on from there. With ``--page`` the tables are written into
``docs/results/paper.md``.
"""

import argparse
import re
from pathlib import Path

from reglab import paper
from reglab.cli.console import Console
from reglab.cli.paper import PAPER
from reglab.cli.show import show_table, trained
from reglab.facade import Results, Study
from reglab.report.paper import published_tables
from reglab.report.tables import comparison_table, markdown_rows
from reglab.study.storage.packed import pack, unpack
from reglab.study.storage.view import View, holds_study

HERE = Path(__file__).resolve().parent
PAGE = HERE / "paper.md"
MODEL = "inception(filters=(12,24,12), pooled=true)"
SERIES = {
    "full": ("all training images, one seed", {"seeds": 1}),
    "small": ("10,000 training images, five seeds", {"seeds": 5, "train_size": 10_000}),
}


def main() -> None:
    """Show every series, and train what is left of it where there is data."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="the archive or folder of images, to train what is left")
    parser.add_argument("--series", choices=SERIES, action="append", help="only this one; can be given again")
    parser.add_argument("--workers", type=int, help="trainings at the same time")
    parser.add_argument("--out", type=Path, default=Path("reglab-out"), help="where the study folders are made")
    parser.add_argument("--page", action="store_true", help="write the tables into paper.md")
    said = parser.parse_args()
    console = Console()
    for name in said.series or SERIES:
        folder, packed = said.out / f"paper-{name}", HERE / "paper" / name
        if packed.exists():
            unpack(packed, folder)
        if said.data and left(folder):
            try:
                trained(study(name, folder, said.data), console, execution=execution(said))
            finally:
                if left(folder) >= 0:
                    pack(folder, packed)
        show(name, folder, console)
        if said.page and holds_study(folder):
            PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), name, folder), encoding="utf-8")


def study(name: str, folder: Path, data: str) -> Study:
    """Return the study of a series, begun or not."""
    if holds_study(folder):
        return Study.resume(folder, data=data)
    settings = {**PAPER, **SERIES[name][1]}
    return Study(data, MODEL, paper.both(), baseline=paper.BASELINE, out=folder, **settings)


def execution(said: argparse.Namespace) -> dict[str, int | None]:
    """Return how it is trained."""
    return {"workers": said.workers, "checkpoint_every": 5}


def left(folder: Path) -> int:
    """Return how many runs are left to train, -1 where the study has not begun."""
    if not holds_study(folder):
        return -1
    with View(folder) as view:
        if view.about is None:
            return -1
        counts = view.status().counts
    return counts["planned"] + counts["failed"]


def show(name: str, folder: Path, console: Console) -> None:
    """Print a series and the paper's figures beside it."""
    console.print(f"\n{SERIES[name][0]}")
    if not holds_study(folder):
        console.print("Nothing of it is recorded yet. To begin: make paper DATA=...")
        return
    results = Results.load(folder)
    done = sum(run.status == "finished" for of_name in results.runs.values() for run in of_name.values())
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    console.print(f"{done} runs are recorded, trained on {', '.join(devices(folder))} with {versions}.")
    missing = left(folder)
    console.print(
        f"{missing} are left to train: make paper DATA=cifar10-images.tar.xz"
        if missing
        else "Nothing is left to train."
    )
    show_table(comparison_table(results), console)
    for title, table in published_tables(results, "both").items():
        console.print(f"\nBeside {title} of the paper, whose figures are single runs on CIFAR-10")
        show_table(table, console)


def devices(folder: Path) -> list[str]:
    """Return what the runs of a study were trained on."""
    with View(folder) as view:
        ended = [row["id"] for row in view.runs() if row["status"] in ("finished", "diverged")]
        return sorted({view.record(run).device for run in ended})


def filled(page: str, name: str, folder: Path) -> str:
    """Return the page with the tables of a series between its marks."""
    results = Results.load(folder)
    lines = [*markdown_rows(comparison_table(results)), ""]
    for title, table in published_tables(results, "both").items():
        lines += [f"Beside {title} of the paper:", "", *markdown_rows(table), ""]
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    text = "\n".join([begin, "", *lines, end])
    return re.sub(f"{begin}.*?{end}", lambda match: text, page, flags=re.DOTALL)


if __name__ == "__main__":
    main()
