"""The command `salign experiment`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from salign.cli.arguments import Verify
from salign.limits import MOST_WORKERS
from salign.location import command_of, quote

if TYPE_CHECKING:
    from salign.experiment.runner import Executor
    from salign.experiment.store import Results, StudyFolder
    from salign.experiment.study import Study
    from salign.experiment.worker import Outcome


def experiment(
    study: Annotated[
        Path,
        typer.Argument(
            help=("The study, as YAML; recipes/studies has some, and docs/experiments.md explains the keys.")
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one value of the YAML, e.g. metric=accuracy; repeat."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The study's own folder is made in this folder.")] = Path("studies"),
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_WORKERS,
            help="So many runs train at a time on this machine (default: one per GPU, or per CPU).",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST_WORKERS, help="Each run on this machine has so many CPU threads (default: an equal share)."
        ),
    ] = None,
    ray_address: Annotated[
        str | None,
        typer.Option(help="Run on this Ray cluster instead; `auto` means the one that this machine belongs to."),
    ] = None,
    cpus: Annotated[float, typer.Option(help="Ray: each run takes so many CPUs.")] = 1,
    gpus: Annotated[
        float | None,
        typer.Option(
            help=("Ray: each run takes so many GPUs; with fractions runs share one (default: 1 if there are any).")
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="Only say which runs are done and which are left.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress bar.")] = False,
    verify: Verify = False,
) -> None:
    """Run a study: many arms, seeds and controls with the same data and budget.

    Writes OUT/NAME/runs, what is asked (question.json, once, before the first run), and runs.csv, a row per run. What
    is done is never run again: a study that was stopped, killed or extended goes on with the same command, also on
    several machines at once that share OUT.
    """
    from salign.experiment.study import Study, check_arms

    read = Study.read(study, overrides)
    if show:
        check_arms(read)
    changed = [word for value in overrides or [] for word in ("--set", value)]
    again = command_of(["salign", "experiment", study, *changed, "--out", out])

    def executor() -> Executor:
        from salign.experiment.runner import LocalExecutor, RayExecutor

        return RayExecutor(ray_address, cpus=cpus, gpus=gpus) if ray_address else LocalExecutor(workers, threads)

    if verify:
        _verify(read)
    failed = [] if show else run_cells(read, out, executor, again=again, quiet=quiet)
    folder, results = print_results(read, out, again=again, failed=len(failed))
    if not show:
        from salign.experiment.run_table import write_run_table

        typer.echo(f"wrote {write_run_table(results.runs, folder.path)}: a row per run")
    typer.echo(f"{'' if show else 'wrote '}{folder.path}. Next: salign report {quote(study)} --out {quote(out)}")
    if failed:
        raise typer.Exit(1)


def _verify(study: Study) -> None:
    from salign.data.manifest.verdict import forget_verdicts
    from salign.experiment.study import expand

    for manifest in {cell.recipe.data.manifest for cell in expand(study)}:
        forget_verdicts(manifest)


def run_cells(study: Study, out: Path, executor: Callable[[], Executor], *, again: str, quiet: bool) -> list[Outcome]:
    """Run the unfinished runs of a study and print the failures; Ctrl-C or SIGTERM stops and prints how to continue.

    Args:
        study: the study.
        out: folder that holds the study's folder.
        executor: creates the executor. It is called late, because it imports torch, and mistakes in the study are
            reported before that.
        again: the command that continues the study, for the message.
        quiet: show no progress bar.

    Returns:
        The outcomes of the runs that failed.

    Raises:
        SalignError: a value, a set or a manifest of the study is wrong; see `salign.experiment.study.check_arms`.
    """
    import signal

    from salign.experiment.study import check_arms

    check_arms(study)
    from salign.experiment.runner import run_study  # imports torch, so after the checks
    from salign.experiment.store import StudyFolder

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM stops as Ctrl-C does
    try:
        failed = run_study(study, StudyFolder.of(study, out), executor(), progress=not quiet)
    except KeyboardInterrupt:
        typer.secho(f"stopped. Go on with: {again}", err=True)
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)
    for outcome in failed[:10]:
        typer.secho(f"could not run {outcome.task.recipe.name}: {outcome.error}", fg="red", err=True)
    if len(failed) > 10:
        typer.secho(f"and {len(failed) - 10} more", fg="red", err=True)
    return failed


def print_results(study: Study, out: Path, *, again: str, failed: int = 0) -> tuple[StudyFolder, Results]:
    """Print the results of the finished runs and how many runs are left; return the study's folder and results.

    Args:
        study: the study.
        out: folder that holds the study's folder.
        again: the command that continues the study, for the message.
        failed: number of failed runs, which were already reported one by one.
    """
    from salign.cli.show import study_table
    from salign.experiment.store import StudyFolder, read_results

    folder = StudyFolder.of(study, out)
    results = read_results(study, folder)
    if len(results.runs):
        study_table(study, results)
    if failed:
        typer.echo(f"{failed} runs could not be run. When what is said above is mended, go on with: {again}")
    elif results.missing:
        typer.echo(f"{results.missing} runs are left. Go on with: {again}")
    return folder, results


def print_report(study: Study, folder: StudyFolder, results: Results, *, quiet: bool) -> None:
    """Write the report of the finished runs, and print its sentences."""
    from salign.experiment.report import write_report

    report = write_report(
        study, results.figures, results.runs, folder.path, missing=results.missing, progress=not quiet
    )
    for finding in report.findings:
        for sentence in finding.sentences:
            typer.echo(sentence)
    left = f"; {results.missing} of {results.missing + len(results.runs)} runs are missing" if results.missing else ""
    typer.echo(
        f"wrote {report.page}{left}. Next: open it in a browser; then salign explain last shows one model's answers"
    )
