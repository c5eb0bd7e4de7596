"""Draws paper.png, the paper's Table 2 beside what docs/results/paper records: ``docs/images/paper.py CHROMIUM``."""

import sys
import tempfile
from pathlib import Path

import plotly.graph_objects as go
from playwright.sync_api import sync_playwright

from reglab import paper
from reglab.facade import Results
from reglab.study.storage.packed import unpack

HERE = Path(__file__).resolve().parent
LOWEST = -8.0  # points; what is worse is drawn at the edge, with its number


def differences() -> list[tuple[str, float, float]]:
    """Return each arm with the paper's and our difference from the baseline, in points."""
    with tempfile.TemporaryDirectory() as scratch:
        unpack(HERE.parent / "results" / "paper" / "full", Path(scratch) / "study")
        rows = {row.name: row for row in Results.load(Path(scratch) / "study").comparison.rows}
    base = paper.TABLE2[paper.BASELINE].accuracy
    return [
        (name, 100 * (published.accuracy - base), 100 * rows[name].differences["accuracy"].mean)
        for name, published in paper.TABLE2.items()
        if name != paper.BASELINE
    ]


def figure() -> go.Figure:
    """Return the figure: two dots per arm."""
    found = sorted(differences(), key=lambda row: row[1])
    names = [name for name, _, _ in found]
    drawn = go.Figure()
    for name, theirs, ours in found:
        drawn.add_scatter(
            x=[max(theirs, LOWEST), max(ours, LOWEST)], y=[name, name], mode="lines",
            line={"color": "#c8ccd2", "width": 3}, showlegend=False,
        )  # fmt: skip
    for title, values, colour, symbol in (
        ("the paper, one run on CIFAR-10", [row[1] for row in found], "#8a8f98", "circle"),
        ("here, one seed on CIFAR-10 (JPEG)", [row[2] for row in found], "#2563c9", "diamond"),
    ):
        out = [value < LOWEST for value in values]
        drawn.add_scatter(
            x=[max(value, LOWEST) for value in values], y=names, mode="markers+text", name=title,
            text=[f"{value:.0f}" if beyond else "" for value, beyond in zip(values, out, strict=True)],
            textposition="top right",
            marker={"color": colour, "size": 11, "symbol": ["triangle-left" if each else symbol for each in out]},
        )  # fmt: skip
    drawn.add_vline(x=0, line_color="#444", line_width=1)
    drawn.update_layout(
        template="plotly_white", width=860, height=430, margin={"l": 10, "r": 20, "t": 60, "b": 50},
        title={"text": "Accuracy against no regularization, 200 epochs on all images", "x": 0.01},
        legend={"orientation": "h", "y": 1.08, "x": 0, "xanchor": "left"}, font={"family": "sans-serif", "size": 14},
    )  # fmt: skip
    drawn.update_xaxes(title="points", range=[LOWEST - 0.6, 8], zeroline=False)
    drawn.update_yaxes(automargin=True)
    return drawn


def main() -> None:
    """Draw it in a browser."""
    with sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=sys.argv[1])
        page = browser.new_page(viewport={"width": 870, "height": 440}, device_scale_factor=2)
        page.set_content(figure().to_html(include_plotlyjs=True, config={"staticPlot": True}))
        page.wait_for_selector(".main-svg")
        page.locator(".plot-container").screenshot(path=HERE / "paper.png")
        browser.close()


if __name__ == "__main__":
    main()
