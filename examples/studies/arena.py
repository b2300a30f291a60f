"""Helper for the studies of the arena: choose each loss's setting for the next study, and write the tables of the docs.

    python examples/studies/arena.py chosen recipes/studies/arena_tuning.yaml
    python examples/studies/arena.py tried recipes/studies/arena_tuning.yaml docs/arena/tried/digits.csv
    python examples/studies/arena.py table recipes/studies/arena.yaml docs/arena/digits.csv
    python examples/studies/arena.py maps recipes/studies/arena_maps.yaml docs/arena/maps/digits.csv

Settings that compete for one place share the part of their name before the "@": `energy@1`, `energy@10`, `energy@100`.
The setting that is best on the validation images of the tuning study is written as an arm of the next study.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
import yaml

from salign.experiment.arms import arm_changes
from salign.experiment.report.groups import Group, groups_of
from salign.experiment.report.saliency import read_arm
from salign.experiment.report.tables import main_table
from salign.experiment.report.worse_maps import maps_table
from salign.experiment.store import StudyFolder, read_results
from salign.experiment.study import Study, expand
from salign.files import replace_text

app = typer.Typer(no_args_is_help=True, help="Between the studies of the arena.")
Yaml = Annotated[Path, typer.Argument(help="The study")]
Csv = Annotated[Path, typer.Argument(help="CSV to write")]
Out = Annotated[Path, typer.Option(help="Folder with the studies that were run")]


@app.command()
def chosen(study: Yaml, out: Out = Path("studies")) -> None:
    """Print what was tried, and as YAML the best setting of every loss, per data set."""
    asked, _, groups = finished(study, out)
    for group in groups:
        scores = {arm: float(group.scores(arm, asked.target, asked.metric).mean()) for arm in group.arms}
        best: dict[str, str] = {}
        for arm in sorted(scores, key=lambda arm: -scores[arm]):
            best.setdefault(family(arm), arm)
            typer.echo(f"# {group.title} {arm}: {100 * scores[arm]:.1f}")
        arms = {name: deepcopy(arm_changes(arm, guided=asked.guided, own=asked.arms)) for name, arm in best.items()}
        typer.echo(yaml.safe_dump({group.dataset: arms}, default_flow_style=None, width=120, sort_keys=False))


@app.command()
def tried(study: Yaml, written: Csv, out: Out = Path("studies")) -> None:
    """Write a row per data set and setting: the figure that `chosen` goes by; none where a training came to no end."""
    asked, _, groups = finished(study, out)
    arms = dict.fromkeys((cell.dataset, cell.arm) for cell in expand(asked))
    rows = [
        {"dataset": group.dataset, "arm": arm, "figure": group.scores(arm, asked.target, asked.metric).mean()}
        for group in groups
        for dataset, arm in arms
        if dataset == group.dataset
    ]
    write(pd.DataFrame(rows), written)


@app.command()
def table(study: Yaml, written: Csv, out: Out = Path("studies")) -> None:
    """Write a row per data set and arm: figures of the answers, of the maps, and of what is used.

    `agreement` is the correlation with people's maps, `consistency` that of the maps of two runs, `relies` the share of
    answers that change when all but the human region is another image's; each on the analysed images of the target set.
    """
    asked, runs, groups = finished(study, out)
    rows = main_table(asked, groups)
    more = [looks(asked, group, arm, runs) for group in groups for arm in group.arms]
    found = pd.concat([rows, pd.DataFrame(more)], axis=1).drop(columns=["network", "images", "annotated"])
    write(found, written)


@app.command()
def maps(study: Yaml, written: Csv, out: Out = Path("studies")) -> None:
    """Write a row per arm and kind of maps: what worse and fewer maps leave of its figure on the target set."""
    asked, _, groups = finished(study, out)
    found = pd.concat([maps_table(asked, group).assign(dataset=group.dataset) for group in groups])
    write(found, written)


def finished(study: Path, out: Path) -> tuple[Study, pd.DataFrame, list[Group]]:
    """What was asked, the finished runs, and their figures by data set and network."""
    asked = Study.read(study)
    results = read_results(asked, StudyFolder.of(asked, out))
    return asked, results.runs, groups_of(asked, results.figures)


def write(found: pd.DataFrame, written: Path) -> None:
    """Write a table that the docs are made from."""
    replace_text(written, found.to_csv(index=False, float_format="%.4f"))
    typer.echo(f"wrote {written}; `make docs` writes docs/reference/arena.md from it")


def family(arm: str) -> str:
    """Whose place a setting competes for."""
    name = arm.partition("@")[0]
    return "cyborg" if name == "alpha" else name


def looks(study: Study, group: Group, arm: str, runs: pd.DataFrame) -> dict[str, object]:
    """What one arm's analyses say, and its setting in words."""
    paths = list(group.paths(runs, arm).values())
    changes = arm_changes(arm, guided=study.guided, own=study.arms)
    parts = [part for section in changes.values() for part in (section if isinstance(section, list) else [section])]
    return {
        "setting": ", ".join(filter(None, map(in_words, parts))),
        "agreement": group.scores(arm, study.target, "agreement/cc").mean(),
        "consistency": read_arm(paths, study.target).agreement,
        "relies": group.scores(arm, study.target, "reliance/inside/other/flipped").mean(),
    }


def in_words(options: dict[str, Any]) -> str:
    """The options of a loss or step without its name; those of an added loss stand in brackets behind its name."""
    words = []
    for key, value in options.items():
        if key == "also":
            words += [f"with {name} ({in_words(added)})" for name, added in value.items()]
        elif key != "name":
            words.append(f"{key} {value}")
    return ", ".join(words)


if __name__ == "__main__":
    app()
