r"""The table of a study in LaTeX, with booktabs."""

from __future__ import annotations

import math

from reglab.analysis.compare import Row
from reglab.inert import latex
from reglab.report import verdicts
from reglab.report.tables import capitalized, legend, p_value
from reglab.results import Results
from reglab.tasks import Metric

__all__ = ["table"]

_HEAD = r"""% Needs \usepackage{{booktabs}} and \usepackage{{textcomp}}. Letters beyond Latin need LuaLaTeX or XeLaTeX.
\begin{{table}}
  \centering
  \caption{{{caption}}}
  \label{{tab:reglab}}
  \begin{{tabular}}{{lrrrlrrrr}}
    \toprule
    Recipe & {metric} & Difference & Interval & Verdict & $p$ & Train & Gap & Runs \\
    \midrule
"""
_TAIL = r"""    \bottomrule
  \end{tabular}
\end{table}
"""


def table(results: Results) -> str:
    """Return a table environment: a row a recipe, verdicts of better and worse in bold, the legend as its caption."""
    rows = "".join(f"    {' & '.join(_cells(row, results.metric))} \\\\\n" for row in results.comparison.rows)
    caption = latex(f"{results.headline}. {legend(results)}")
    return _HEAD.format(caption=caption, metric=latex(capitalized(results.metric.title))) + rows + _TAIL


def _cells(row: Row, metric: Metric) -> list[str]:
    scale = metric.scale
    return [
        latex(row.name), _spread(row, metric), *_difference(row, metric),
        _number(scale * row.mean(f"train_{metric.name}"), metric.rough), _number(scale * row.mean("gap"), metric.rough),
        str(row.finished) if row.finished == len(row.seeds) else f"{row.finished} of {len(row.seeds)}",
    ]  # fmt: skip


def _spread(row: Row, metric: Metric) -> str:
    mean, std = metric.scale * row.mean(metric.name), metric.scale * row.std(metric.name)
    return _number(mean, metric.form) if math.isnan(std) else rf"${mean:{metric.form}} \pm {std:{metric.form}}$"


def _difference(row: Row, metric: Metric) -> list[str]:
    found = row.verdict
    if found is None:
        return ["", "", "", ""]
    interval = f"${verdicts.interval(found)}$" if verdicts.interval(found) else ""
    word = rf"\textbf{{{found.word}}}" if found.word in ("better", "worse") else found.word
    return [_number(metric.scale * found.paired.mean, f"+{metric.form}"), interval, word, latex(p_value(found))]


def _number(value: float, form: str) -> str:
    return "--" if math.isnan(value) else f"${value:{form}}$"
