"""The command `salign search`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from salign.cli.arguments import ThreadsOption, WorkersOption
from salign.limits import LARGEST_SEED
from salign.location import command_of

if TYPE_CHECKING:
    from salign.experiment.runner import Executor
    from salign.search.predictor import Order
    from salign.search.spaces import Space
    from salign.search.table import Ranked


def search(
    source: Annotated[
        Path,
        typer.Argument(help="A recipe whose candidates are trained (.yaml); or a table of cells (.csv, .parquet)."),
    ],
    space: Annotated[
        str,
        typer.Option(help="nasbench201 or nasbench_macro; or a YAML file with recipe keys and lists of their values."),
    ],
    budget: Annotated[
        int, typer.Option(min=10, max=10_000, help="Train, or look at the values of, so many cells.")
    ] = 30,
    target: Annotated[
        str, typer.Option(help="Column of the table with what was measured, the higher the better.")
    ] = "value",
    metric: Annotated[
        str, typer.Option(help="Candidates are judged by auroc or accuracy on validation images.")
    ] = "accuracy",
    predictor: Annotated[str, typer.Option(help="Rank by gin (the graph network), ridge or forest.")] = "gin",
    order: Annotated[
        str,
        typer.Option(help="Pretraining edits cells from easy to hard (easy), in random order, or not at all (none)."),
    ] = "easy",
    best: Annotated[int, typer.Option(min=0, max=1000, help="Train so many candidates that are predicted best.")] = 3,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of all that is drawn.")] = 0,
    out: Annotated[Path, typer.Option(help="The search's own folder is made in this folder.")] = Path("searches"),
    workers: WorkersOption = None,
    threads: ThreadsOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress bar.")] = False,
) -> None:
    """Choose an architecture: train some candidates, let a predictor rank the rest, and train the best of these.

    Writes OUT/NAME/ranking.csv and OUT/NAME/page.html, a picture of predicted against measured values. A recipe's
    candidates are runs of a study in the same folder: what is done never runs again, and the same command goes on. With
    a table, nothing is trained. Ridge regression, a random forest and a guess stand beside the predictor.
    """
    from salign.errors import SalignError, one_of
    from salign.files import check_output
    from salign.search.spaces import FEWEST, SPACES, read_cells, read_space

    one_of(predictor, ("gin", "ridge", "forest"), "--predictor")
    one_of(order, ("easy", "random", "none"), "--order")
    one_of(metric, ("auroc", "accuracy"), "--metric")
    cells_of, edits = read_space(space), cast("Order", order)
    is_table = source.suffix.lower() in (".csv", ".parquet")
    folder = out / (f"{source.stem}-{target}" if is_table else source.stem)
    check_output(folder, folder=True)
    if is_table:
        table, cells, values = read_cells(source, cells_of, target)
        from salign.search.table import rank_table

        codes = table["code"].tolist()
        ranked = rank_table(cells_of, codes, cells, values, budget=budget, predictor=predictor, order=edits, seed=seed)
        _show(ranked, folder, f"Cells of {cells_of.name}", target)
        return
    if space in SPACES:
        raise SalignError(f"--space {space}: its cells are read from a table; a recipe needs a .yaml of its own keys.")
    if cells_of.size < FEWEST:
        raise SalignError(
            f"{space}: {cells_of.size} candidates; train them all as networks of a study, {FEWEST} at least."
        )
    cells_of.cells()  # refuses a space with too many cells
    _train(source, cells_of, space, folder, budget, metric, predictor, edits, best, seed, out, workers, threads, quiet)


def _train(
    source: Path,
    cells_of: Space,
    space: str,
    folder: Path,
    budget: int,
    metric: str,
    predictor: str,
    order: Order,
    best: int,
    seed: int,
    out: Path,
    workers: int | None,
    threads: int | None,
    quiet: bool,
) -> None:
    """Train the candidates as a study, rank the rest, and train the best of the rest as part of the same study."""
    import numpy as np

    from salign.cli.experiment import run_cells
    from salign.errors import SalignError
    from salign.experiment.store import StudyFolder, read_results
    from salign.search.candidates import candidate_study, draw_cells, measured_values, name_of
    from salign.train.recipe import ClassifyRecipe, Recipe

    recipe = Recipe.read(source)
    if not isinstance(recipe, ClassifyRecipe) or recipe.posthoc is not None or recipe.data.multi_label:
        raise SalignError(f"{source}: a search compares trained classifiers with one class per image.")
    words = ["salign", "search", str(source), "--space", space, "--budget", str(budget), "--metric", metric]
    words += ["--predictor", predictor, "--order", order, "--best", str(best), "--seed", str(seed), "--out", str(out)]
    again = command_of(words)

    def executor() -> Executor:
        from salign.experiment.runner import LocalExecutor

        return LocalExecutor(workers, threads)

    def values_of_cells(cells: np.ndarray) -> np.ndarray:
        study = candidate_study(recipe, space, cells, metric=metric, name=folder.name)
        run_cells(study, out, executor, again=again, quiet=quiet)
        return measured_values(study, read_results(study, StudyFolder.of(study, out)), cells)

    first = draw_cells(cells_of, budget, seed)
    values = values_of_cells(first)
    every = cells_of.cells()
    known = {name_of(cell): value for cell, value in zip(first, values, strict=True)}
    from salign.search.table import rank_table

    def rank() -> Ranked:
        measured = np.array([known.get(name_of(cell), np.nan) for cell in every])
        codes = [name_of(cell) for cell in every]
        return rank_table(
            cells_of, codes, every, measured, budget=len(known), predictor=predictor, order=order, seed=seed
        )

    ranked = rank()
    fresh = [code for code in ranked.ranking["code"] if code not in known][:best]
    if fresh:
        cells = np.array([cell for cell in every if name_of(cell) in known or name_of(cell) in fresh])
        known |= dict(zip([name_of(cell) for cell in cells], values_of_cells(cells), strict=True))
        values_by_code = ranked.ranking["code"].map(known)
        ranked.ranking["measured"] = values_by_code.to_numpy(dtype=float)
        chosen = ", ".join(f"{code} {known[code]:.3f}" for code in fresh)
        drawn_best = np.nanmax([value for code, value in known.items() if code not in fresh])
        ranked.sentences.append(
            f"Trained because they were predicted best: {chosen}; best of those drawn: {drawn_best:.3f}."
        )
    _show(ranked, folder, f"Candidates of {cells_of.name}", f"{metric} on validation images")


def _show(ranked: Ranked, folder: Path, title: str, target: str) -> None:
    from salign.search.report import write_ranking, write_search_page

    write_ranking(folder, ranked.ranking)
    page = write_search_page(folder, title, ranked.sentences, ranked.ranking, ranked.taus, ranked.points, target)
    for line in ranked.sentences:
        typer.echo(line)
    top = ranked.ranking.iloc[0]
    typer.echo(f"predicted best: {top['code']} ({top['cell']})")
    typer.echo(f"wrote {folder / 'ranking.csv'} and {page}: open the page in a browser")
