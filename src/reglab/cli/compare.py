"""``reglab compare``."""

from __future__ import annotations

from typing import Any

import click

from reglab.cli.options import settings_options, split, ways_options, where_options

__all__ = ["compare"]


@click.command()
@click.argument("study", required=False, type=click.Path(exists=True, dir_okay=False))
@click.option("--data", help="digits, cifar10, breast_cancer, wine, iris; a folder or archive with a folder a class; "
              "a .npz, .csv or .parquet file")  # fmt: skip
@click.option("--model", help="inception, mlp, resnet, with options as in 'inception(pooled=true)'; or "
              "module:function, file.py:function")  # fmt: skip
@click.option("--recipe", "recipes", multiple=True, metavar="RECIPE", help="for example "
              "'l2(kernel=1e-3)+dropout(rate=0.1)', none, or 'name=RECIPE'; can be given again")  # fmt: skip
@click.option("--baseline", help="name of the recipe the others are compared with [default: none]")
@settings_options()
@where_options
@ways_options
def compare(study: str | None, recipes: tuple[str, ...], **options: Any) -> None:
    r"""Train recipes under identical conditions and compare them.

    Every recipe gets, for each seed, the same split, the same initial weights and the same batches. STUDY is a YAML
    file that holds the same as the options; options that are given too go before it.

    \b
    Examples:
      reglab compare --data digits --model mlp --recipe 'l2(kernel=1e-3)' --recipe 'dropout(rate=0.3)'
      reglab compare --data photos/ --image-size 64 --model my_models.py:build --recipe mixup --seeds 5
      reglab compare study.yaml --epochs 100
    """
    from reglab.cli.show import run_and_show
    from reglab.laboratory import Study

    changes, ways = split(options)
    if recipes:
        changes["recipes"] = list(recipes)
    if study is not None:
        run_and_show(Study.from_yaml(study, **changes), ways=ways)
        return
    if "data" not in changes:
        raise click.UsageError(
            "Say which data: --data digits, a folder of images, a table; or give a study's YAML file."
        )
    run_and_show(Study(**changes), ways=ways)
