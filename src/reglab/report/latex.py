r"""The table of a study in LaTeX, with booktabs."""

from __future__ import annotations

import math

from reglab.analysis.compare import Row
from reglab.inert import latex
from reglab.report.tables import legend, p_value
from reglab.results import Results

__all__ = ["table"]

_HEAD = r"""% Needs \usepackage{{booktabs}} and \usepackage{{textcomp}}. Letters beyond Latin need LuaLaTeX or XeLaTeX.
\begin{{table}}
  \centering
  \caption{{{caption}}}
  \label{{tab:reglab}}
  \begin{{tabular}}{{lrrrlrrrr}}
    \toprule
    Recipe & Accuracy & Difference & Interval & Verdict & $p$ & Train & Gap & Runs \\
    \midrule
"""
_TAIL = r"""    \bottomrule
  \end{tabular}
\end{table}
"""


def table(results: Results) -> str:
    """Return a table environment: a row a recipe, verdicts of better and worse in bold, the legend as its caption."""
    rows = "".join(f"    {' & '.join(_cells(row))} \\\\\n" for row in results.comparison.rows)
    caption = latex(f"{results.headline}. {legend(results)}")
    return _HEAD.format(caption=caption) + rows + _TAIL


def _cells(row: Row) -> list[str]:
    return [
        latex(row.name), _spread(row), *_difference(row), _number(100 * row.mean("train_accuracy"), ".1f"),
        _number(100 * row.mean("gap"), ".1f"),
        str(row.finished) if row.finished == len(row.seeds) else f"{row.finished} of {len(row.seeds)}",
    ]  # fmt: skip


def _spread(row: Row) -> str:
    mean, std = 100 * row.mean("accuracy"), 100 * row.std("accuracy")
    return _number(mean, ".2f") if math.isnan(std) else rf"${mean:.2f} \pm {std:.2f}$"


def _difference(row: Row) -> list[str]:
    found = row.verdict
    if found is None:
        return ["", "", "", ""]
    interval = f"${found.interval()}$" if found.interval() else ""
    word = rf"\textbf{{{found.word}}}" if found.word in ("better", "worse") else found.word
    return [_number(100 * found.paired.mean, "+.2f"), interval, word, latex(p_value(found))]


def _number(value: float, form: str) -> str:
    return "--" if math.isnan(value) else f"${value:{form}}$"
