"""Rich's console for the commands, in whose texts every character can be seen."""

from __future__ import annotations

from collections.abc import Iterable

import rich.console
from rich.segment import Segment

from reglab.inert import visible

__all__ = ["Console"]


class Console(rich.console.Console):
    """A console on which no name steers the terminal.

    A recipe, a class, a file or an error of somebody else's code can hold escape sequences, line ends or characters
    that turn the direction of others. They are replaced in what is about to be printed, wherever it comes from.
    """

    def render(
        self, renderable: rich.console.RenderableType, options: rich.console.ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(visible(segment.text, lines=True), segment.style)
