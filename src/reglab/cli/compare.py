"""``reglab compare``."""

from __future__ import annotations

from typing import Any

import click

from reglab.cli.define import defined, study_options

__all__ = ["compare"]


@click.command()
@study_options()
def compare(study: str | None, recipes: tuple[str, ...], **options: Any) -> None:
    """Train recipes under identical conditions and compare them.

    Every recipe gets, for each seed, the same split, the same initial weights and the same batches. STUDY is a YAML
    file that holds the same as the options; options that are given too go before it.

    \b
    Examples:
      reglab compare --data digits --model mlp --recipe 'l2(kernel=1e-3)' --recipe 'dropout(rate=0.3)'
      reglab compare --data photos/ --image-size 64 --model my_models.py:build --recipe mixup --seeds 5
      reglab compare study.yaml --epochs 100
    """  # noqa: D301  # the backspace is click's mark of lines that are not to be filled
    from reglab.cli.show import run_and_show

    make, ways = defined(study, recipes, options)
    run_and_show(make(), ways=ways)
