"""The command `salign`, with one module per subcommand; heavy imports happen inside the calls, so that help is fast."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from salign import __version__
from salign.cli import (
    analyse,
    annotate,
    autoannotate,
    benchmark,
    data,
    demo,
    dfr,
    evaluate,
    experiment,
    explain,
    export,
    fuse,
    graph,
    init,
    maps,
    predict,
    publish,
    rebalance,
    report,
    reproduce,
    run,
    runs,
    saliency,
    search,
    serve,
    train,
    tune,
)
from salign.errors import Preempted, SalignError

app = typer.Typer(
    name="salign",
    help="Train image classifiers to look where people look. Start with `salign init FOLDER`, or with `salign demo`.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
_PANELS: dict[str, dict[str, Callable[..., None] | typer.Typer]] = {
    "Start here": {
        "init": init.init,
        "annotate": annotate.annotate,
        "run": run.run,
        "status": run.status,
        "runs": runs.runs,
        "demo": demo.demo,
    },
    "Images and maps": {
        "data": data.app,
        "maps": maps.app,
        "autoannotate": autoannotate.autoannotate,
    },
    "Training": {"train": train.train, "saliency": saliency.app, "pretrain": saliency.pretrain},
    "One model": {
        "evaluate": evaluate.evaluate,
        "predict": predict.predict,
        "explain": explain.explain,
        "analyse": analyse.analyse,
        "export": export.export,
        "serve": serve.serve,
        "publish": publish.publish,
        "fuse": fuse.fuse,
        "rebalance": rebalance.rebalance,
        "dfr": dfr.dfr,
    },
    "Many models": {
        "experiment": experiment.experiment,
        "tune": tune.tune,
        "report": report.report,
        "reproduce": reproduce.reproduce,
        "benchmark": benchmark.benchmark,
    },
    "Beyond images": {"graph": graph.app, "search": search.search},
}
"""Heading in the help -> its commands, in the order in which people work."""
for _panel, _commands in _PANELS.items():
    for _name, _command in _commands.items():
        if isinstance(_command, typer.Typer):
            app.add_typer(_command, name=_name, rich_help_panel=_panel)
        else:
            app.command(_name, rich_help_panel=_panel)(_command)

_UNWRITABLE = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR,
    errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP,
}  # fmt: skip


def _version(value: bool) -> None:
    if value:
        typer.echo(f"salign {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version, and stop.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; a mistake of the user ends in one message instead of a traceback.

    Characters that the encoding of the output lacks are printed as escape codes, because on Windows output that is
    redirected to a file often has an encoding with few characters.
    """
    if reconfigure := getattr(sys.stdout, "reconfigure", None):
        reconfigure(errors="backslashreplace")
    try:
        app()
    except SalignError as error:
        from salign.train.world import follows

        if follows():  # the first process reports it
            sys.exit(getattr(error, "code", 2))
        if isinstance(error, Preempted):
            typer.secho(str(error), err=True)
            sys.exit(error.code)
        typer.secho(f"error: {error}", fg="red", err=True)
        sys.exit(2)
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        where = error.filename or "the output folder"
        typer.secho(
            f"error: cannot write {where}: {error.strerror}. What was written before is whole; make room or choose "
            "another --out, then run the same command again (salign train: with --resume).",
            fg="red",
            err=True,
        )
        sys.exit(2)
