"""How many of a finished run's answers stay right under attack, and in which part of the image the attack works."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pandas as pd
import torch

from salign.checks import number
from salign.data.reading.datamodule import predict_loader
from salign.evaluate.attack import Norm
from salign.evaluate.reliance import GROUP
from salign.evaluate.robustness import COLUMNS, EPSILONS, IMAGE_COLUMNS, SIDES, attack_images, robust_accuracy
from salign.evaluate.tables import read_figures
from salign.files import check_output, replace_csv, replace_text
from salign.pages.plots import Line, curves, looks
from salign.pages.sheet import Block, Plots, Section, Table, Text, write_sheet
from salign.progress import track
from salign.readers import read_text
from salign.runs.analyse import analysis_device, choose_sets, draw_images
from salign.runs.compare import ANALYSIS
from salign.runs.run import Run

FIGURES, IMAGES, PAGE = "robustness.csv", "robustness_images.csv", "robustness.html"
_DONE = "robustness.json"
_WORDS = {"all": "everywhere", "outside": "outside", "inside": "inside"}
_UNITS = {"linf": "largest change of a value, in 1/255", "l2": "Euclidean length of the change, in 1/255"}


def attack_run(
    run: Run,
    *,
    sets: Sequence[str] | None = None,
    images: int = 200,
    epsilons: Sequence[float] = EPSILONS,
    norm: Norm = "linf",
    steps: int = 20,
    restarts: int = 4,
    seed: int = 0,
    progress: bool = False,
) -> pd.DataFrame:
    """Attack a run's answers everywhere, outside and inside people's maps; write it all to `run.path/analysis`.

    The images are those of `salign.runs.analyse.analyse_run`. If the folder holds figures of the same attack, they are
    read and nothing is computed.

    Args:
        run: a finished run.
        sets: `val` or names of test sets; None = all.
        images: the largest number of images per set; they are drawn at random.
        epsilons: radii in units of 1/255, see `salign.evaluate.robustness.fooled_from`.
        norm: "linf" or "l2".
        steps: gradient steps of each restart.
        restarts: how often each image is attacked.
        seed: decides which images are drawn, and the random starts.
        progress: show a progress bar.

    Returns:
        The rows of `salign.evaluate.robustness.robust_accuracy` with the columns `set` and `norm` in front. The file
        `robustness_images.csv` has a row per image and attacked part, and `robustness.html` shows the curves.

    Raises:
        SalignError: a set is unknown, a number is out of its range, or the manifest has changed since the run was made.
    """
    names = choose_sets(run, sets, images)
    for epsilon in epsilons:
        number("epsilon", epsilon, "(0, inf)")
    folder, radii = run.path / ANALYSIS, sorted(map(float, epsilons))
    settings = json.dumps(
        {"sets": names, "images": images, "epsilons": radii, "norm": norm, "steps": steps, "restarts": restarts}
        | {"seed": seed}
    )
    done = folder / _DONE
    if done.is_file() and read_text(done) == settings:
        return read_robustness(run)
    check_output(folder, folder=True)
    done.unlink(missing_ok=True)
    device = analysis_device(run)
    model = run.model().to(device)
    figures, attacked = [], []
    for name in names:
        dataset = draw_images(run, name, images, seed)
        loader = predict_loader(dataset, GROUP, run.recipe.data.workers if len(dataset) > 8 * GROUP else 0)
        table = attack_images(
            lambda pixels: model(pixels).logits,
            track(loader, f"attacking {name}", show=progress),
            ids=dataset.manifest.table["id"].astype(str).tolist(),
            names=dataset.manifest.table["label"].astype(str).tolist(),
            generator=torch.Generator().manual_seed(seed),
            epsilons=radii,
            steps=steps,
            restarts=restarts,
            norm=norm,
            device=device,
        )
        attacked.append(table.assign(set=name))
        figures.append(robust_accuracy(table, radii).assign(set=name, norm=norm))
    replace_csv(folder / IMAGES, pd.concat(attacked)[["set", *IMAGE_COLUMNS]])
    replace_csv(folder / FIGURES, pd.concat(figures)[["set", "norm", *COLUMNS]])
    write_sheet(folder / PAGE, f"Attacks on {run.path.name}", [Section("Robust accuracy", robustness_blocks(run))])
    replace_text(done, settings)
    return read_robustness(run)


def read_robustness(run: Run) -> pd.DataFrame:
    """Read the table that `attack_run` returned; it has no rows if the run was not attacked."""
    path = run.path / ANALYSIS / FIGURES
    if not path.exists():
        return pd.DataFrame(columns=["set", "norm", *COLUMNS])
    return read_figures(path, ("set", "norm", "images", "attacked"))


def table_by_radius(figures: pd.DataFrame) -> pd.DataFrame:
    """Return the figures of one set as a table to print: a row per radius, a column per attacked part of the image.

    Args:
        figures: the rows of `read_robustness` for one set.
    """
    columns = {"radius": [f"{radius:g}" for radius in sorted(set(figures["epsilon"]))]}
    for (which, side), part in figures.groupby(["images", "attacked"], sort=False):
        images = f"{part['n'].iloc[0]:.0f} images" + (" with a map" if which != "all" and side == "all" else "")
        columns[f"{_WORDS[str(side)]}, {images}"] = [
            f"{row.accuracy:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in part.sort_values("epsilon").itertuples()
        ]
    return pd.DataFrame(columns)


def robustness_blocks(run: Run, of: str = "") -> list[Block]:
    """Return curves and a table of accuracy by radius, and a sentence on where the attack acts; empty without figures.

    Args:
        run: a finished run, attacked or not.
        of: text in front of each caption, used where a page shows two runs.
    """
    table = read_robustness(run)
    blocks: list[Block] = []
    for count, (name, part) in enumerate(table.groupby("set", sort=False)):
        styles, lines = looks([_WORDS[side] for side in SIDES]), []
        both = len(set(part["images"])) > 1
        for side in SIDES:
            line = part[part["attacked"] == side]
            line = line[line["images"] == "with a map"] if both else line
            if len(line):
                x, *values = (line[column].to_numpy() for column in ("epsilon", "accuracy", "low", "high"))
                lines.append(Line(_WORDS[side], x, *(100 * value for value in values)))
        norm = str(part["norm"].iloc[0])
        title, axes = f"Accuracy under attack, {name}", (_UNITS[norm], "right answers, %")
        blocks.append(
            Plots(
                f"{of}{name}: the band is Wilson's 95 % interval.",
                [curves(lines, styles, axes, title=title, name=f"attack-{run.path.name}-{count}", log=False)],
            )
        )
        caption = (
            f"{of}{name}: share of right answers by the radius of the attack ({_UNITS[norm]}), everywhere, outside and "
            "inside of people's region."
        )
        blocks.append(Table(caption, table_by_radius(part), names=0))
        shares = part.dropna(subset=["effect_inside"])
        if len(shares):
            effect, area = (float(shares[column].iloc[-1]) for column in ("effect_inside", "area_inside"))
            radius = float(shares["epsilon"].iloc[-1])
            blocks.append(
                Text(
                    [
                        f"{of}{name}: {100 * effect:.0f} % of what the attack of radius {radius:g} does to the answers "
                        f"lies inside of people's region, which is {100 * area:.0f} % of the image."
                    ]
                )
            )
    return blocks
