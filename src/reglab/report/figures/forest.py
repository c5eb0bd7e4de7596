"""Differences from the baseline with their intervals."""

from __future__ import annotations

import math

import plotly.graph_objects as go

from reglab import inert
from reglab.analysis.compare import Row
from reglab.analysis.verdict import Verdict
from reglab.errors import ReglabError
from reglab.report import verdicts, words
from reglab.report.figures import theme
from reglab.results import Results

__all__ = ["forest"]

_ROW = 44  # pixels


def forest(results: Results) -> go.Figure:
    """Return how each recipe's deciding metric differs from the baseline's on the test set, the best on top.

    The thick line is the verdict's interval, adjusted for the number of recipes, over seeds; where only the sign is
    shown, it reaches from zero to the mean. The thin one takes the test examples as a sample too. Small dots are seeds.
    A filled mark is a verdict of better or worse.

    Raises:
        ReglabError: if no recipe has a seed that finished as well as the baseline's.

    Example:
        >>> reglab.figures.forest(reglab.Results.load("reglab-out/demo")).show()
    """
    rows = [row for row in results.comparison.rows if row.verdict is not None and row.verdict.paired.n > 0]
    if not rows:
        raise ReglabError("No recipe has a difference from the baseline yet: a seed has to finish in both.")
    metric = results.metric
    rows.sort(key=lambda row: metric.sign * _verdict(row).paired.mean)  # the axis goes upwards
    made = theme.figure(height=70 + _ROW * len(rows), message=words.forest(results))
    for position, row in enumerate(rows):
        _draw(made, results, row, position)
    made.add_vline(x=0, line={"color": theme.BASELINE, "width": 1.5})
    margin = _verdict(rows[0]).margin
    if margin is not None:
        made.add_vrect(
            x0=-metric.scale * margin, x1=metric.scale * margin, fillcolor=theme.BASELINE, opacity=0.12, line_width=0
        )
    made.update_yaxes(visible=False, range=[-0.6, len(rows) - 0.35])
    over = inert.plotly(results.baseline, length=24)
    title = f"{metric.apart or 'difference'} of test {metric.title} over {over}"
    made.update_xaxes(title_text=title, zeroline=False, ticksuffix="", tickformat="+~g")
    return made.update_layout(margin={"l": 8, "r": 8, "t": 8, "b": 48}, showlegend=False)


def _draw(made: go.Figure, results: Results, row: Row, position: int) -> None:
    verdict, look = _verdict(row), theme.looks(results)[row.name]
    metric, scale = verdict.metric, verdict.metric.scale
    mean, told = scale * verdict.paired.mean, inert.plotly(verdicts.sentence(verdict, row.name))
    if row.crossed is not None and math.isfinite(row.crossed.low):
        both = [scale * row.crossed.low, scale * row.crossed.high]
        made.add_scatter(x=both, y=[position] * 2, mode="lines", line={"color": look.color, "width": 1.5},
                         opacity=0.6, hoverinfo="skip", name=look.name, meta="over examples too")  # fmt: skip
    ends = (0.0, mean) if verdict.bound else (scale * verdict.low, scale * verdict.high)
    if all(map(math.isfinite, ends)):
        made.add_scatter(x=sorted(ends), y=[position] * 2, mode="lines",
                         line={"color": look.color, "width": 5}, opacity=0.85, hoverinfo="skip", name=look.name,
                         meta="interval")  # fmt: skip
    seeds = row.differences[metric.name].values
    made.add_scatter(
        x=[scale * value for value in seeds.values()], y=[position - 0.24] * len(seeds), mode="markers", name=look.name,
        marker={"color": look.color, "size": 4.5, "opacity": 0.55}, meta="seeds", hoverinfo="text",
        hovertext=[
            f"{look.name}, seed {seed}: {metric.differs(value, f'+{metric.form}')}" for seed, value in seeds.items()
        ],
    )  # fmt: skip
    decided = verdict.word in ("better", "worse")
    made.add_scatter(
        x=[mean], y=[position], mode="markers", name=look.name, meta="mean", hoverinfo="text", hovertext=[told],
        marker={"color": look.color if decided else theme.SURFACE, "size": 11, "symbol": look.symbol,
                "line": {"color": look.color, "width": 2.5}},
    )  # fmt: skip
    # Names stand over their lines, so that a narrow page loses nothing to an axis of names.
    made.add_annotation(x=0, xref="paper", xanchor="left", y=position + 0.36, yanchor="middle",
                        text=inert.plotly(row.name, length=26), font={"color": theme.INK, "size": 12})  # fmt: skip
    made.add_annotation(x=1, xref="paper", xanchor="right", y=position + 0.36, yanchor="middle",
                        text=f"{mean:+{metric.form}} {verdict.word}",
                        font={"color": theme.INK if decided else theme.MUTED, "size": 12})  # fmt: skip


def _verdict(row: Row) -> Verdict:
    assert row.verdict is not None
    return row.verdict
