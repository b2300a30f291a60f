"""The command `salign publish`."""

from __future__ import annotations

from typing import Annotated

import typer

from salign.cli.arguments import RunArgument


def publish(
    run: RunArgument,
    to: Annotated[str, typer.Option(help="Give it to this new folder, or to the repository hf:OWNER/NAME.")],
    public: Annotated[
        bool, typer.Option("--public", help="A new repository is seen by everybody, not by its owner alone.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Send it; without this, a repository is sent nothing.")] = False,
) -> None:
    """Give a run away: weights, model card, data card, figures, recipe and exported files, and nothing of an image.

    Writes the folder, or sends it to a repository of Hugging Face. What would be sent is listed first, and nothing is
    sent without --yes.
    """
    from salign.runs.folder import RunFolder

    RunFolder.open(run)
    from salign.runs.publish import HUB, check_place, publish, published_files

    check_place(to)
    from salign.runs.run import Run

    opened = Run.open(run)
    for name, path in published_files(opened).items():
        typer.echo(f"  {name}  {path.stat().st_size / 1e6:.2f} MB")
    if to.startswith(HUB) and not yes:
        seen = "everybody" if public else "its owner alone"
        typer.echo(
            f"Nothing was sent. These files would go to {to.removeprefix(HUB)}, which {seen} would see if it is new. "
            "Read README.md and data-card.md first. Next: the same command with --yes"
        )
        return
    where = publish(opened, to, public=public, say=typer.echo)
    typer.echo(f"wrote {where}. Next: read its README.md as somebody who does not know the run")
