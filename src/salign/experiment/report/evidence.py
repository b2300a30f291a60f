"""Sections of the report on where the models look and what they use; each makes blocks of the page from groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from salign.errors import SalignError
from salign.experiment.report.answers import read_answers
from salign.experiment.report.doubts import alike_answers
from salign.experiment.report.examples import examples
from salign.experiment.report.groups import Group, heading
from salign.experiment.report.saliency import MOST_RUNS, ArmMaps, picture, read_arm
from salign.experiment.report.tables import NOTHING, decimal, mean_in_words, points
from salign.experiment.study import Study
from salign.pages.plots import Cloud, Styles, bars, scatter
from salign.pages.sheet import Block, Plots, Table, Text, Tile, Tiles

MOST_IMAGES = 12
"""Number of test images shown in all groups together."""
AGREEMENT = {"energy": "energy inside the human map", "cc": "correlation with the human map (CC)"}
"""Metric of `salign.evaluate.agreement` -> its label on an axis."""
_THAT_ANSWER_ALIKE = " Runs that answer alike: to all images of the set, so that nothing can change what they answer."


def agreement(study: Study, groups: Sequence[Group], runs: pd.DataFrame, styles: Styles) -> list[Block]:
    """Plot each run's agreement with people against its figure on the target set."""
    svgs, sentences = [], []
    for number, group in enumerate(groups):
        for metric, words in AGREEMENT.items():
            clouds = []
            for arm in group.arms:
                scores = [group.scores(arm, study.target, name) for name in (f"agreement/{metric}", study.metric)]
                both = pd.concat(scores, axis=1, join="inner")
                if len(both):
                    clouds.append(Cloud(arm, both.iloc[:, 0].to_numpy(), 100 * both.iloc[:, 1].to_numpy()))
            if not clouds:
                continue
            labels = (words, f"{study.metric} on {study.target}, points")
            svgs.append(
                scatter(clouds, styles, labels, title=heading(groups, group), name=f"agreement-{number}-{metric}")
            )
            sentences.append(f"{group.title}, {words}: {_spearman(clouds)}")
    if not svgs:
        return []
    caption = (
        f"A point per run: how far its maps agree with people's on {study.target} (mean over images), and how well it "
        "answers there. An order over arms alone says that arms differ, not that one follows from the other."
    )
    return [Plots(caption, svgs), Text(sentences)]


def consistency(study: Study, groups: Sequence[Group], runs: pd.DataFrame, styles: Styles) -> list[Block]:
    """Make a table of how far the runs of each arm agree with each other, and show the average map of each run."""
    blocks: list[Block] = []
    for group in groups:
        rows, tiles, absent = [], list[Tile](), list[str]()
        for arm in group.arms:
            paths = group.paths(runs, arm)
            try:
                maps = read_arm(list(paths.values()), study.target)
            except SalignError as error:
                absent.append(f"{group.title}, {arm}: no maps. {error}")
                continue
            rows.append({"arm": arm, "runs": str(len(maps.maps))} | _consistency(study, group, arm, maps))
            people = [("people", picture(maps.human))] if maps.human is not None else []
            grid = [(f"seed {seed}", picture(average)) for seed, average in zip(paths, maps.averages, strict=False)]
            note = f"; the first {MOST_RUNS} of {len(paths)} runs" if len(paths) > MOST_RUNS else ""
            tiles.append(Tile(f"{arm}{note}", [*people, *grid]))
        if rows:
            same = [f"{share.share} of {arm}" for arm, share in alike_answers(group, runs, study.target).items()]
            caption = (
                f"{group.title}, on {study.target}. Maps alike: mean correlation (CC) of the maps of one image over "
                "all pairs of runs. Answers alike: share of equal answers over all pairs. Entropy: 0 = one cell, 1 = "
                "everywhere the same. Energy and CC: agreement with people, mean ± sd over runs."
            ) + f" Runs that give all images one answer, and so agree by that alone: {', '.join(same)}." * bool(same)
            blocks.append(Table(caption, pd.DataFrame(rows), names=1))
            caption = (
                f"{group.title}: average map of the test images for the class answered, a picture per run, beside the "
                "average of people's maps; each stretched to the full range of colours, dark blue to yellow."
            )
            blocks.append(Tiles(caption, tiles, cells=True))
        if absent:
            blocks.append(Text(absent))
    return blocks


def reliance(study: Study, groups: Sequence[Group], runs: pd.DataFrame, styles: Styles) -> list[Block]:
    """Show how the answers change when the surroundings of the human region, or the region itself, are replaced."""
    blocks: list[Block] = []
    for number, group in enumerate(groups):
        rows = []
        alike = alike_answers(group, runs, study.target)
        names = {metric for *_, metric in group.places if metric.startswith("reliance/inside/")}
        for arm in group.arms:
            whole = group.scores(arm, study.target, "reliance/all//accuracy")
            for fill in sorted({name.split("/")[2] for name in names}):
                row = {"arm": arm, "replaced by": fill, "untouched": _mean(whole)}
                for side, title in (("inside", "kept"), ("outside", "removed")):
                    scores = group.scores(arm, study.target, f"reliance/{side}/{fill}/accuracy")
                    flipped = group.scores(arm, study.target, f"reliance/{side}/{fill}/flipped")
                    row |= {
                        f"region {title}": _mean(scores),
                        f"{title}: lost": points((whole - scores).mean()),
                        f"{title}: flipped %": points(flipped.mean()),
                    }
                if alike:
                    row["runs that answer alike"] = alike[arm].share if arm in alike else "none"
                if not whole.empty:
                    rows.append(row)
        if rows:
            caption = (
                f"{group.title}, annotated images of {study.target}: accuracy in points (mean ± sd over seeds) where "
                "only the human region is kept and the rest replaced, and where only the region is replaced (other: by "
                "another image's background); what that loses, and the share of answers that change. A model that uses "
                "the region keeps its answers when it is kept and loses them when it is removed."
            ) + _THAT_ANSWER_ALIKE * bool(alike)
            blocks += _region_bars(study, group, number, styles)
            blocks.append(Table(caption, pd.DataFrame(rows), names=2, folded="All replacements"))
    return blocks


def _region_bars(study: Study, group: Group, number: int, styles: Styles) -> list[Block]:
    """Draw three bars per arm: accuracy on the untouched images, and with the surroundings or the region replaced.

    The replacement is another image's background.
    """
    scores = {
        title: [100 * group.scores(arm, study.target, f"reliance/{metric}/accuracy").mean() for arm in group.arms]
        for title, metric in (
            ("untouched", "all/"),
            ("human region kept, the rest replaced", "inside/other"),
            ("human region replaced, the rest kept", "outside/other"),
        )
    }
    if np.isnan(scores["human region kept, the rest replaced"]).all():
        return []
    label = f"accuracy on annotated images of {study.target}, points"
    svg = bars(group.arms, scores, label, title=group.title, name=f"reliance-{number}")
    caption = (
        "A model that uses the region keeps its answers when the region is kept, and loses them when it is replaced by "
        "another image's background."
    )
    return [Plots(caption, [svg])]


def gallery(study: Study, groups: Sequence[Group], runs: pd.DataFrame, styles: Styles) -> list[Block]:
    """Show the test images on which the guided arm and the baseline differ most.

    No other section of the report reads test images.
    """
    blocks: list[Block] = []
    most = max(2, MOST_IMAGES // max(1, len(groups)))
    for group in groups[: MOST_IMAGES // most]:
        if group.shared(study.guided, study.baseline) is None:
            continue
        try:
            blocks.append(_gallery(study, group, runs, most))
        except (SalignError, OSError):
            sentence = (
                f"{group.title}: no pictures. The images, or the maps of a run, are not where they were any more."
            )
            blocks.append(Text([sentence]))
    return blocks


def telling_images(blocks: Sequence[Block], count: int = 3) -> list[Block]:
    """Take the images with the largest gains and the largest loss from the blocks of `gallery`.

    There is no block where `gallery` shows no images.
    """
    for block in blocks:
        if isinstance(block, Tiles) and block.tiles:
            best = [*block.tiles[: count - 1], block.tiles[-1]] if len(block.tiles) >= count else block.tiles
            return [Tiles("Where the two differ most: the largest gains, and the largest loss.", best, row=True)]
    return []


def _gallery(study: Study, group: Group, runs: pd.DataFrame, most: int) -> Tiles:
    arms = [arm for arm in (study.guided, study.baseline, *study.controls) if arm in group.arms]
    paths = {arm: group.paths(runs, arm, group.shared(study.guided, study.baseline)) for arm in arms}
    seeds = sorted(set(paths[study.guided]) & set(paths[study.baseline]))
    first, second = (
        read_answers([paths[arm][seed] for seed in seeds], study.target) for arm in (study.guided, study.baseline)
    )
    maps = {arm: read_arm(list(images.values()), study.target) for arm, images in paths.items() if images}
    images = examples(paths[study.guided][seeds[0]], study.target, first, second, maps, most=most)
    tiles = [
        Tile(
            f"{example.id}, {example.label}: probability of this class {example.first:.2f} with {study.guided}, "
            f"{example.second:.2f} with {study.baseline}",
            example.pictures,
        )
        for example in images
    ]
    caption = (
        f"{group.title}: of the analysed images of {study.target} those where the mean probability of the true class "
        f"differs most between {study.guided} and {study.baseline}; gains first, then losses, the largest last. Maps: "
        "for the class answered, averaged over runs."
    )
    return Tiles(caption, tiles)


def _consistency(study: Study, group: Group, arm: str, maps: ArmMaps) -> dict[str, str]:
    people = {
        title: group.scores(arm, study.target, f"agreement/{metric}")
        for metric, title in (("energy", "energy inside people's map"), ("cc", "CC with people"))
    }
    return {
        "maps alike (CC)": decimal(maps.agreement),
        "answers alike %": points(maps.answers),
        "entropy": decimal(maps.spread),
    } | {title: f"{decimal(values.mean())} ± {decimal(values.std(ddof=1))}" for title, values in people.items()}


def _spearman(clouds: Sequence[Cloud]) -> str:
    """Put into words the rank correlation over all runs, and that within arms: of each arm's ranks minus their mean."""
    x, y = (np.concatenate([getattr(cloud, name) for cloud in clouds]) for name in ("x", "y"))
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return f"{len(x)} runs, too few or too equal to rank."
    text = f"Spearman's rho over {len(x)} runs {stats.spearmanr(x, y).statistic:+.2f}"
    ranks = [[stats.rankdata(values) - (len(values) + 1) / 2 for values in (cloud.x, cloud.y)] for cloud in clouds]
    first, second = (np.concatenate([pair[k] for pair in ranks]) for k in (0, 1))
    if len(clouds) > 1 and np.ptp(first) > 0 and np.ptp(second) > 0:
        text += f", within arms {np.corrcoef(first, second)[0, 1]:+.2f}"
    return f"{text}."


def _mean(values: pd.Series) -> str:
    return mean_in_words(values.mean(), values.std(ddof=1)) if len(values) else NOTHING
