"""Writes docs/reference/: from the code API index, command line, recipe keys and losses; from docs/arena/ the arena.

Run it with `make docs`.
tests/test_docs.py fails when the committed pages differ from what this would write.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import math
import pkgutil
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import typer.main
import yaml
from pydantic import BaseModel

import salign
from salign.cli import app
from salign.experiment import study
from salign.experiment.report.tables import NOTHING, difference_in_words, mean_in_words
from salign.experiment.report.worse_maps import describe_maps
from salign.losses import LOSSES
from salign.train import recipe
from salign.train.steps import STEPS

REFERENCE = Path(__file__).parent / "reference"
ARENA = Path(__file__).parent / "arena"
STUDIES = Path(__file__).parents[1] / "recipes" / "studies"
SOURCE = Path(salign.__file__).parents[1]
PARTS = (
    "errors", "checks", "types", "class_names", "files", "progress", "maps", "pages", "data", "annotations", "models",
    "losses", "explain", "evaluate", "machine", "train", "runs", "experiment", "annotate", "project",
    "graphs", "search", "runtime", "web", "serve",
)  # fmt: skip
SECTIONS: dict[str, type[BaseModel]] = {
    "": recipe.ClassifyRecipe,
    "data": recipe.DataRecipe,
    "model": recipe.ModelRecipe,
    "loss": recipe.LossRecipe,
    "train": recipe.TrainRecipe,
    "posthoc: fuse": recipe.FuseRecipe,
    "posthoc: rebalance": recipe.RebalanceRecipe,
}
MAPS: dict[str, type[BaseModel]] = {
    "model": recipe.SaliencyModelRecipe,
    "loss": recipe.SaliencyLossRecipe,
    "train": recipe.SaliencyTrainRecipe,
}
PRETRAIN: dict[str, type[BaseModel]] = {
    "model": recipe.EmbedderRecipe,
    "loss": recipe.PretrainLossRecipe,
    "train": recipe.SaliencyTrainRecipe,
}
STUDY: dict[str, type[BaseModel]] = {"": study.Study, "grids": study.Grid, "analysis": study.Analysis}
_NOTE = "<!-- written by docs/generate.py; edit the docstrings and run `make docs` -->"


def pages() -> dict[str, str]:
    """File name in docs/reference -> content."""
    return {
        "api.md": _api(), "cli.md": _cli(), "recipe.md": _recipe(), "losses.md": _losses(), "arena.md": _arena(),
    }  # fmt: skip


def main() -> None:
    """Write every page."""
    REFERENCE.mkdir(exist_ok=True)
    for name, text in pages().items():
        (REFERENCE / name).write_text(text, encoding="utf-8")
        print(f"wrote {REFERENCE / name}")


def _page(title: str, *blocks: str) -> str:
    return "\n\n".join([_NOTE, f"# {title}", *(block.strip("\n") for block in blocks if block.strip())]) + "\n"


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *([cell.replace("|", r"\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _first_line(thing: object) -> str:
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())


# --- API ---------------------------------------------------------------------------------------------------------


def _api() -> str:
    top = [[f"`salign.{name}`", _home(name), _short(getattr(salign, name))] for name in sorted(salign.__all__)]
    blocks = ["The public names, then every module with what it defines.", "## salign"]
    blocks.append(_table(["name", "defined in", "what it is"], top))
    for part in PARTS:
        blocks.append(f"## salign.{part}")
        for module in _modules(f"salign.{part}"):
            rows = [[f"`{name}`", _first_line(thing)] for name, thing in _defined(module)]
            path = Path(str(module.__file__)).relative_to(SOURCE)
            blocks.append(f"[`{module.__name__}`](../../src/{path.as_posix()}): {_first_line(module)}")
            blocks.append(_table(["name", "what it is"], rows))
    return _page("API", *blocks)


def _short(thing: Any) -> str:
    if isinstance(thing, Mapping):
        return "Table of " + ", ".join(f"`{key}`" for key in thing)
    return _first_line(thing)


def _home(name: str) -> str:
    thing = getattr(salign, name)
    module = "salign.losses" if isinstance(thing, Mapping) else thing.__module__
    return f"`{module}`"


def _modules(name: str) -> Iterator[ModuleType]:
    """Modules of a part that define something public, in the order of their names."""
    module = importlib.import_module(name)
    names = [name, *(below.name for below in pkgutil.walk_packages(getattr(module, "__path__", []), f"{name}."))]
    for module in map(importlib.import_module, names):
        if _defined(module):
            yield module


def _defined(module: ModuleType) -> list[tuple[str, Any]]:
    """Public functions and classes in the order of the source."""
    public = [
        (name, thing)
        for name, thing in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(thing) or inspect.isfunction(thing))
        and thing.__module__ == module.__name__
    ]
    return sorted(public, key=lambda pair: inspect.getsourcelines(pair[1])[1])


# --- Command line ------------------------------------------------------------------------------------------------


def _cli() -> str:
    root: Any = typer.main.get_command(app)
    blocks = ["Every command answers `--help`. A mistake ends in one message and exit code 2."]
    for path, command in _commands("salign", root):
        rows = [_parameter(parameter) for parameter in command.params]
        usage = " ".join([path, *(str(p.name).upper() for p in command.params if p.param_type_name == "argument")])
        blocks += [f"## {path}", f"`{usage} [OPTIONS]`", inspect.cleandoc(command.help or "")]
        blocks.append(_table(["", "what it does", "default"], rows) if rows else "")
    return _page("Command line", *blocks)


def _commands(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    for name, below in command.commands.items():
        if hasattr(below, "commands"):
            yield from _commands(f"{path} {name}", below)
        else:
            yield f"{path} {name}", below


def _parameter(parameter: Any) -> list[str]:
    if parameter.param_type_name == "argument":
        name, default = f"`{str(parameter.name).upper()}`", "needed"
    else:
        name = ", ".join(f"`{option}`" for option in [*parameter.opts, *parameter.secondary_opts])
        default = "needed" if parameter.required else "" if parameter.is_flag else _plain(parameter.default)
    return [name, parameter.help or "", default]


def _plain(value: Any) -> str:
    return "" if value is None else f"`{value}`"


# --- Recipe keys -------------------------------------------------------------------------------------------------


def _recipe() -> str:
    blocks = [
        "This page lists every key of a recipe and of a study. A recipe needs only `name` and `data.manifest`; "
        "the [guide](../training.md) says how the keys work together."
    ]
    for section, model in SECTIONS.items():
        blocks += [f"## {section or 'top level'}", _first_line(model), _keys(section, model)]
    blocks.append("Further keys below `loss` are the options of the loss that is named, see [losses](losses.md).")
    blocks += ["## Steps", "`steps` of a recipe lists things that happen to each training batch before the loss."]
    for name, step in STEPS.items():
        notes = _arguments(step)
        options = [
            [f"`{key}`", f"`{value.default}`", notes[key]] for key, value in inspect.signature(step).parameters.items()
        ]
        blocks += [f"### {name}", _first_line(step), _table(["option", "default", "what it does"], options)]
    blocks += [
        "## Nets that predict maps",
        "The recipe of `salign saliency train` has the same top level and `data`, and these sections "
        "([guide](../machine-annotators.md)).",
    ]
    for section, model in MAPS.items():
        blocks += [f"### {section} of a net", _first_line(model), _keys(section, model)]
    blocks += [
        "## Pretraining without labels",
        "The recipe of task `pretrain` has the same top level and `data`, and these sections ([guide](../binary.md)).",
    ]
    for section, model in PRETRAIN.items():
        blocks += [f"### {section} of pretraining", _first_line(model), _keys(section, model)]
    blocks += ["## Studies", "`salign experiment` takes a study ([guide](../experiments.md))."]
    for section, model in STUDY.items():
        blocks += [f"### {section or 'top level'} of a study", _first_line(model), _keys(section, model)]
    return _page("Recipe keys", *blocks)


def _keys(section: str, model: type[BaseModel]) -> str:
    """Table of the keys of one section."""
    prefix = f"{section}." if section else ""
    notes, types = _attributes(model)
    rows = [
        [f"`{prefix}{name}`", f"`{types[name]}`", _default(field), notes.get(name, "")]
        for name, field in model.model_fields.items()
    ]
    return _table(["key", "values", "default", "what it does"], rows)


def _default(field: Any) -> str:
    if field.is_required():
        return "needed"
    if isinstance(field.default, BaseModel):
        return "all defaults"
    return "`null`" if field.default is None else f"`{field.default}`"


def _attributes(model: type) -> tuple[dict[str, str], dict[str, str]]:
    """Docstrings below the attributes of a class and of its bases, and their annotations as written, with limits."""
    notes: dict[str, str] = {}
    types: dict[str, str] = {}
    classes = [kind for kind in reversed(model.__mro__) if kind.__module__.startswith("salign.")]
    trees = [ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0] for kind in classes]
    for tree in [tree for tree in trees if isinstance(tree, ast.ClassDef)]:
        last = ""
        for node in tree.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                last = node.target.id
                types[last] = ast.unparse(node.annotation).replace("'", '"') + _limits(node.value)
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and last:
                notes[last] = " ".join(str(node.value.value).split())
            else:
                last = ""
    return notes, types


def _limits(value: ast.expr | None) -> str:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    keywords = value.keywords if isinstance(value, ast.Call) else []
    return "".join(f", {signs[word.arg]} {ast.unparse(word.value)}" for word in keywords if word.arg in signs)


# --- Losses ------------------------------------------------------------------------------------------------------


def _losses() -> str:
    rows = [[f"`{name}`", f"`salign.losses.{loss.__name__}`", _first_line(loss)] for name, loss in LOSSES.items()]
    blocks = [
        "What `loss.name` may be; the [guide](../losses.md) has the formulas.",
        _table(["name", "class", "what it is"], rows),
    ]
    for name, loss in LOSSES.items():
        options = {key: value for key, value in inspect.signature(loss).parameters.items() if key != "class_weights"}
        needs = ", ".join(sorted(loss.needs)) or "the logits alone"
        blocks += [f"## {name}", f"Needs: {needs}."]
        if options:
            notes = _arguments(loss)
            rows = [[f"`loss.{key}`", f"`{value.default}`", notes.get(key, "")] for key, value in options.items()]
            blocks.append(_table(["option", "default", "what it does"], rows))
    blocks.append("Every loss also takes `loss.class_weights`, see [recipe keys](recipe.md#loss).")
    return _page("Losses", *blocks)


def _arguments(thing: object) -> dict[str, str]:
    """The `Args:` of a google-style docstring."""
    text = (inspect.getdoc(thing) or "").partition("Args:\n")[2].split("\n\n")[0]
    items = re.split(r"\n(?=\w)", textwrap.dedent(text))
    return {name.strip(): " ".join(note.split()) for name, _, note in (item.partition(":") for item in items)}


def _arena() -> str:
    """A table per data set, best target first, of every CSV in docs/arena; `arena.py table` of the studies wrote it."""
    blocks = [
        "What the losses did in the [studies of the arena](../evidence.md#the-arena). Accuracy or AUROC in points of "
        "100, mean ± sd over seeds; the difference to plain cross-entropy on the target, paired by seed, with its 95 % "
        "t interval. *Agreement*: correlation of the model's map with people's. *Consistency*: correlation of the maps "
        "of two runs. *Relies*: share of answers that change when all but the human region is another image's. Maps "
        "and reliance on images of the target set. Which loss to take: [guide](../choosing-a-loss.md).",
    ]
    header = [
        "arm",
        "setting",
        "seeds",
        "in distribution",
        "target",
        "target − ce",
        "agreement",
        "consistency",
        "relies",
    ]
    for title, rows in _csvs("*.csv"):
        ranked = rows.sort_values("target_mean", ascending=False).to_dict("records")
        blocks += [f"## {title}", *_head("arena" if title == "digits" else f"arena_{title}")]
        blocks += [_table(header, [_arm(row) for row in ranked])]
    for title, rows in _csvs("maps/*.csv"):
        blocks += [f"## {title}, worse and fewer maps", *_head("arena_maps"), _worse(rows)]
    for title, rows in _csvs("tried/*.csv"):
        blocks += [f"## {title}, what was tried", _tried(rows)]
    return _page("The arena", *blocks)


def _head(study: str) -> list[str]:
    """A sentence where the study has another head than a new recipe."""
    model = yaml.safe_load((STUDIES / f"{study}.yaml").read_text(encoding="utf-8"))["recipe"]["model"]
    if model.get("head") != "timm":
        return []
    return [
        "**Measured with the old head**, timm's (`model.head: timm`), while other tables have [the head that a new "
        "recipe draws](../models.md#the-new-head)."
    ]


def _csvs(pattern: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Heading and rows of every data set; the file's name where a study gave its only one none."""
    for path in sorted(ARENA.glob(pattern)):
        for dataset, rows in pd.read_csv(path).groupby("dataset", sort=False):
            yield path.stem if dataset == "data" else str(dataset), rows


def _tried(rows: pd.DataFrame) -> str:
    """A row per loss with the figure of each setting, the best in bold; `alpha@0.5` is a setting of `cyborg`."""
    caption = "Settings of each loss and their figures on validation images like the target, one seed; points of 100."
    lines = []
    for family, tries in rows.groupby(rows["arm"].str.partition("@")[0].replace("alpha", "cyborg"), sort=False):
        best = tries["figure"].max()
        told = [_setting(arm, figure, best) for arm, figure in zip(tries["arm"], tries["figure"], strict=True)]
        lines.append([f"`{family}`", ", ".join(told)])
    return f"{caption}\n\n{_table(['loss', 'setting: figure'], lines)}"


def _setting(arm: str, figure: float, best: float) -> str:
    name = arm.partition("@")[2]
    text = "diverged" if math.isnan(figure) else f"{100 * figure:.1f}"
    told = f"{name}: {text}" if name else text
    return f"**{told}**" if figure == best else told


def _worse(rows: pd.DataFrame) -> str:
    """A row per kind of maps and a column per arm: mean, and the difference to the same arm with its own maps."""
    caption = (
        f"On the target set, {_seeds(rows)} seeds; behind the comma the difference to the same arm with people's own "
        "maps. Controls as in [`data.maps`](../data.md#fewer-maps-other-maps-control-maps)."
    )
    cells = describe_maps(rows, differences=True)
    first, *arms = cells.columns
    return f"{caption}\n\n{_table([first, *(f'`{arm}`' for arm in arms)], cells.to_numpy().tolist())}"


def _seeds(rows: pd.DataFrame) -> str:
    fewest, most = rows["seeds"].min(), rows["seeds"].max()
    return str(most) if fewest == most else f"{fewest} to {most}"


def _arm(row: dict[Any, Any]) -> list[str]:
    return [
        f"`{row['arm']}`",
        "" if pd.isna(row["setting"]) else str(row["setting"]),
        str(row["seeds"]),
        mean_in_words(row["reference_mean"], row["reference_sd"]),
        mean_in_words(row["target_mean"], row["target_sd"]),
        difference_in_words(row["target_difference"], row["target_low"], row["target_high"]),
        *(
            NOTHING if pd.isna(row[name]) else f"{row[name]:.2f}".replace("-", "−")
            for name in ("agreement", "consistency")
        ),
        NOTHING if pd.isna(row["relies"]) else f"{100 * row['relies']:.0f} %",
    ]


if __name__ == "__main__":
    main()
