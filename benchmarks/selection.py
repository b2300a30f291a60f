"""How well each rule of selection finds the run that is best on a target set, from finished runs; nothing is trained.

    python benchmarks/selection.py studies/NAME/runs tunes/NAME/runs --target shift --metric auroc --json rules.json

Runs of one manifest count as the trials of one search. For each rule (`salign.experiment.rules`) the table has
Spearman's rank correlation of the rule's figure with the metric on the target, and the regret in points: the metric on
the target of the best run minus that of the run that the rule chooses. Intervals are 95 % percentiles over 2,000 draws
of the runs with replacement. `random` is the mean regret of a random choice; `mean` is the mean of validation and
region test. The region test is measured here, on all validation images with people's maps, `--draws` times. The rule
then takes the run that is best on validation among the runs within one standard deviation (over the draws) of the best
region test, as `salign tune` does.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import stats

from salign.data.reading.datamodule import predict_loader
from salign.evaluate.classification import worst_class_accuracy
from salign.evaluate.reliance import FILLS, reliance
from salign.runs.analyse import draw_images, unmarked_classes
from salign.runs.run import Run

RULES = ("validation", "worst", "region", "mean")


def region_test(run: Run, metric: str, draws: int) -> tuple[float, float, int]:
    """The metric on validation images in the surroundings of others: mean and sd over draws; and how many images."""
    images = draw_images(run, "val", 10_000, 0)
    if not images.annotated.any():
        return float("nan"), float("nan"), 0
    model = run.model()
    table = reliance(
        lambda pixels: model(pixels).logits.float(),
        predict_loader(images, 64, 0),
        positive=None if run.positive is None else run.classes.index(run.positive),
        generator=torch.Generator().manual_seed(0),
        fills={"other": FILLS["other"]},
        unmarked=unmarked_classes(images),
        draws=draws,
    )
    row = table[(table["kept"] == "inside") & (table["metric"] == metric)].iloc[0]
    return float(row["value"]), float(row["sd"]), int(row["images"])


def numbers(names: pd.Series, run: Run) -> np.ndarray:
    return pd.Categorical(names.astype(str), run.classes).codes.astype(np.int64)


def measure(folder: Path, target: str, metric: str, draws: int) -> dict[str, object]:
    run = Run.open(folder)
    figures = run.figures()
    whole = figures[figures["group_column"] == ""].set_index(["split", "metric"])["value"]
    name = metric if ("val", metric) in whole else f"{metric}_macro"
    answers = run.predictions("val")
    region, sd, images = region_test(run, metric, draws)
    return {
        "data": Path(run.recipe.data.manifest).parent.name,
        "run": folder.name,
        "validation": float(whole["val", name]),
        "worst": float(worst_class_accuracy(*(numbers(answers[column], run) for column in ("predicted", "label")))),
        "region": region,
        "sd": sd,
        "mean": (float(whole["val", name]) + region) / 2,
        "target": float(whole[target, name]),
        "images": images,
    }


def quality(runs: pd.DataFrame, rule: str) -> tuple[float, float]:
    """Spearman's correlation, and regret in points; the mean of the target over equally good runs is what it gets."""
    figures, target = runs[rule].to_numpy(), runs["target"].to_numpy()
    rank = float("nan") if np.ptp(figures) == 0 or np.ptp(target) == 0 else stats.spearmanr(figures, target).statistic
    return float(rank), 100 * float(target.max() - target[chosen(runs, rule)].mean())


def chosen(runs: pd.DataFrame, rule: str) -> np.ndarray:
    """`(N,)` bool: the best by the rule."""
    figures = runs[rule].to_numpy()
    level = figures >= figures.max() - (
        np.nan_to_num(runs["sd"].to_numpy()[figures.argmax()]) if rule == "region" else 0
    )
    validation = np.where(level, runs["validation"], -np.inf)
    return level & (validation == validation.max())


def judge(table: pd.DataFrame, resamples: int = 2000) -> pd.DataFrame:
    rows = []
    for data, runs in table.groupby("data", sort=False):
        target = runs["target"].to_numpy()
        draws = np.random.default_rng(0).integers(len(runs), size=(resamples, len(runs)))
        for rule in RULES:
            if runs[rule].isna().any():
                continue
            rank, regret = quality(runs, rule)
            spread = np.array([quality(runs.iloc[draw], rule) for draw in draws])
            ends = np.nanpercentile(spread, [2.5, 97.5], axis=0)
            rows.append(
                {"data": data, "runs": len(runs), "rule": rule, "spearman": rank, "rank_low": ends[0, 0]}
                | {"rank_high": ends[1, 0], "regret": regret, "regret_low": ends[0, 1], "regret_high": ends[1, 1]}
                | {
                    "chosen": runs["run"].iloc[int(chosen(runs, rule).argmax())],
                    "best": runs["run"].iloc[int(target.argmax())],
                }
            )
        rows.append(
            {"data": data, "runs": len(runs), "rule": "random", "regret": 100 * float(target.max() - target.mean())}
        )
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, help="folders of run folders")
    parser.add_argument("--target", required=True, help="test set that only scores the rules")
    parser.add_argument("--metric", choices=("auroc", "accuracy"), default="auroc")
    parser.add_argument("--draws", type=int, default=8, help="the region test is the mean of so many draws")
    parser.add_argument("--only", default="", help="runs whose name has this in it")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    runs = [path.parent for folder in options.folders for path in sorted(folder.glob("*/done"))]
    rows = []
    for folder in (run for run in runs if options.only in run.name):
        rows.append(measure(folder, options.target, options.metric, options.draws))
        print(
            " ".join(f"{value:.3f}" if isinstance(value, float) else str(value) for value in rows[-1].values()),
            flush=True,
        )
    table = judge(pd.DataFrame(rows))
    print(table.round(3).to_string(index=False))
    if options.json:
        content = {
            "runs": rows,
            "rules": table.to_dict("records"),
            "options": {key: str(value) for key, value in vars(options).items()},
        }
        options.json.write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
