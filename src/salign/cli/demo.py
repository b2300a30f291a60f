"""`salign demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the images, the runs and the pictures.")] = Path("demo"),
    seeds: Annotated[int, typer.Option(min=1, help="Independent runs of each arm.")] = 4,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of each run.")] = 12,
) -> None:
    """Train with and without human saliency on real digits beside a coloured decoy, and show what each looked at.

    In training the decoy's colour names the digit; out of distribution it is random. Takes about five minutes on two
    cores. Stopped half-way, the same command goes on.
    """
    from rich.console import Console
    from rich.table import Table

    from salign.train.demo import SETS, run_demo, verdict

    typer.echo(f"training 3 arms x {seeds} seeds on 1,000 embedded digits ...")
    result = run_demo(out, seeds=seeds, epochs=epochs)
    table = Table(title="accuracy, mean ± sd over seeds (chance: 0.100)")
    for name in ("arm", "decoy agrees (test_iid)", "decoy random (test_ood)", "runs"):
        table.add_column(name, justify="left" if name == "arm" else "right")
    for arm, part in result.accuracy.groupby("arm", sort=False):
        table.add_row(str(arm), *(f"{part[name].mean():.3f} ± {part[name].std():.3f}" for name in SETS), str(len(part)))
    Console().print(table)
    typer.echo(verdict(result))
    typer.echo(f"wrote {result.page}, {result.picture} and {out / 'runs'}.")
    typer.echo(f"Next: open {result.page}; then train on your own images: salign data import --help")
