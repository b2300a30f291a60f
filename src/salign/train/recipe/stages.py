"""Stages of a recipe: trainings that come first, and to whose runs sections of the recipe refer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salign.config import merge
from salign.errors import SalignError, nearest

if TYPE_CHECKING:
    from salign.train.recipe.recipe import Recipe

STAGE = "stage:"
"""A value that refers to a stage begins with this."""
ARM = "arm:"
"""A value of a study that refers to another arm begins with this, and so does the name of the stage that this arm
becomes. Its run lies among the runs of the study, and not among the stages that studies share."""
_REFERENCES = (
    "model.weights", "model.region.by", "data.drawn.by", "data.repeat_errors.of", "loss.teacher", "posthoc.run",
)  # fmt: skip
"""Keys whose value may refer to a stage, or to a finished run."""
_DOES = {"maps": "draws maps", "pretrain": "learns without labels"}
"""Task of a stage that is no classifier -> what the stage does, for messages."""
_RARE = {"rebalance": "class", "dfr": "group"}
"""Kind of posthoc -> what its fresh head is balanced over, for messages."""
_IMAGES = (
    "manifest", "root", "train", "val", "classes", "multi_label", "positive", "image_size", "augment", "map_column",
    "seed", "faults", "workers", "cache",
)  # fmt: skip
"""Keys of `data` that a stage takes from the recipe around it."""


def stages_of(recipe: Recipe, source: str = "recipe", *, files: bool = False) -> dict[str, Recipe]:
    """Return the recipes of the stages that a recipe needs, in the order of training, then the recipe itself under "".

    A stage takes these values from the recipe around it: the seed, which images there are and how they are read, the
    backbone with its arguments, and the device. All other values are its own or defaults. A stage that is the recipe of
    another arm takes nothing. A stage that is not referred to is left out.

    Args:
        recipe: a recipe with or without stages.
        source: where the recipe comes from, for messages.
        files: whether the files that stages name must exist.

    Raises:
        SalignError: a stage has faults, or a value refers to a stage that does not exist, comes later, or cannot be
            used for this.
    """
    from salign.train.recipe.recipe import Recipe

    content = recipe.model_dump(mode="json")
    around = {
        "seed": content["seed"],
        "data": {"test": []} | {key: content["data"][key] for key in _IMAGES},
        "model": {key: content["model"][key] for key in ("backbone", "args")},
        "train": {"device": content["train"]["device"]},
    }
    stages: dict[str, Recipe] = {}
    for name, values in recipe.stages.items():
        where = f"{source}: stages.{name}"
        if "stages" in values:
            raise SalignError(f"{where}: a stage has no stages; write them one after the other.")
        usual = Recipe.kind_of(values).presets.get(str(values.get("preset")), {})
        own = merge(usual, values)
        shared = around
        if name.startswith(ARM):
            shared = {}  # the recipe of an arm is complete; else it would get `model.args` of this recipe's network
        elif (own.get("model") or {}).get("backbone", recipe.model.backbone) != recipe.model.backbone:
            shared = around | {"model": {}}  # `model.args` of one network do not fit another
        stages[name] = Recipe.alone(merge({"name": name, **shared}, own), where, files=files)
    stages[""] = recipe.model_copy(update={"stages": {}})
    for number, (name, stage) in enumerate(stages.items()):
        earlier = dict(list(stages.items())[:number])
        for key, other in references(stage):
            where = f"{source}: {f'stages.{name}.' if name else ''}{key}"
            if other not in earlier:
                hint = nearest(other, list(earlier)) or ("; there are " + ", ".join(earlier) if earlier else "")
                raise SalignError(f"{where}: no stage {other!r} comes before{hint}.")
            if wrong := _misfit(key, stage, earlier[other]):
                raise SalignError(f"{where}: stage {other!r} {wrong}.")
    needed, last = {""}, list(stages)
    for name in reversed(last):
        needed |= {other for _, other in references(stages[name])} if name in needed else set()
    return {name: stages[name] for name in last if name in needed}


def resolved(recipe: Recipe) -> dict[str, Recipe]:
    """Return what `stages_of` returns, but with references by fingerprint, `stage:0a1b2c3d`, instead of by name."""
    prints: dict[str, str] = {}
    stages: dict[str, Recipe] = {}
    for name, stage in stages_of(recipe).items():
        stages[name] = bound(stage, {other: STAGE + digest for other, digest in prints.items()})
        prints[name] = stages[name].fingerprint() if name else ""
    return stages


def references(recipe: Recipe) -> list[tuple[str, str]]:
    """Return the references of a recipe to stages: pairs of the key and the name of the stage."""
    pairs: list[tuple[str, str]] = []

    def note(key: str, text: str) -> str:
        if text.startswith(STAGE) and key in _REFERENCES:
            pairs.append((key, text.removeprefix(STAGE)))
        return text

    changed(recipe.model_dump(mode="json", exclude={"stages"}), note)
    return pairs


def with_arms(values: dict[str, Any], recipe_of: Callable[[str], Recipe]) -> dict[str, Any]:
    """Replace each `arm:NAME` in nested recipe values by a stage: the recipe of that arm, with the stages it needs.

    Args:
        values: nested recipe values, with `arm:NAME` where a value may refer to a stage.
        recipe_of: returns the recipe of an arm, given its name.
    """
    stages: dict[str, Any] = {}

    def put(key: str, text: str) -> str:
        if not text.startswith(ARM) or key_in_stage(key) not in _REFERENCES:
            return text
        name_of: dict[str, str] = {}
        for name, stage in resolved(recipe_of(text.removeprefix(ARM))).items():
            digest, of_study = stage.fingerprint(), not name or name.startswith(ARM)
            whole = bound(stage, {known: STAGE + other for known, other in name_of.items()})
            name_of[digest] = f"{ARM if of_study else ''}{stage.name}-{digest}"
            stages[name_of[digest]] = whole.model_dump(mode="json", exclude={"stages"})
        return STAGE + name_of[digest]

    put_in: dict[str, Any] = changed(values, put)
    return put_in | {"stages": stages | put_in.get("stages", {})} if stages else put_in


def named_arms(values: dict[str, Any]) -> list[str]:
    """Return the names of the arms to which nested recipe values refer by `arm:NAME`, each name once."""
    names: dict[str, None] = {}

    def note(key: str, text: str) -> str:
        if text.startswith(ARM) and key_in_stage(key) in _REFERENCES:
            names[text.removeprefix(ARM)] = None
        return text

    changed(values, note)
    return list(names)


def key_in_stage(key: str) -> str:
    """Return a key as it is called within its stage: without `stages.NAME` in front."""
    parts = key.split(".")
    return ".".join(parts[2:] if parts[0] == "stages" else parts)


def named_runs(recipe: Recipe) -> list[Path]:
    """Return the folders of the finished runs to which a recipe without stages refers."""
    folders: list[Path] = []

    def note(key: str, text: str) -> str:
        if names_content(key) and (Path(text) / "recipe.yaml").is_file():
            folders.append(Path(text))
        return text

    changed(recipe.model_dump(mode="json"), note)
    return folders


def names_content(key: str) -> bool:
    """Return whether the value of a key names a file or a run, which counts by its bytes in a fingerprint."""
    return key in (*_REFERENCES, "data.targets")


def bound(recipe: Recipe, values: dict[str, str]) -> Recipe:
    """Return the recipe with each reference `stage:NAME` replaced by `values[NAME]`."""

    def put(key: str, text: str) -> str:
        return values[text.removeprefix(STAGE)] if text.startswith(STAGE) and key in _REFERENCES else text

    return type(recipe).model_validate(changed(recipe.model_dump(mode="json"), put)) if references(recipe) else recipe


def changed(values: Any, change: Callable[[str, str], str], path: str = "") -> Any:
    """Return nested values with every text replaced by `change(key, text)`, where a key is like `data.drawn.by`."""
    if isinstance(values, dict):
        return {key: changed(value, change, f"{path}.{key}" if path else str(key)) for key, value in values.items()}
    if isinstance(values, list):
        return [changed(value, change, path) for value in values]
    return change(path, values) if isinstance(values, str) else values


def _misfit(key: str, recipe: Recipe, stage: Recipe) -> str | None:
    """Return why a stage cannot be used at a key of a recipe, for a message; None if it can."""
    if key == "model.weights" and stage.model.backbone != recipe.model.backbone:
        return f"trains {stage.model.backbone}, and this is for {recipe.model.backbone}"
    draws = key in ("data.drawn.by", "model.region.by")
    if draws and stage.task == "pretrain":
        return f"{_DOES[stage.task]} and draws no maps"
    if key == "model.region.by" and stage.task == "classify":
        return "is a classifier; a region is drawn by a net (task: maps)"
    if draws and getattr(stage.loss, "target", "map") == "image":
        return "gives back images (loss.target: image) and draws no maps"
    if key == "data.drawn.by" and stage.task == "classify" and stage.data.multi_label:
        return "is a classifier of images with several labels, and a classifier draws the evidence for one class"
    if key.endswith(".teacher") and stage.task != "classify":
        return f"{_DOES[stage.task]}, and a teacher classifies"
    if key == "data.repeat_errors.of" and stage.task != "classify":
        return f"{_DOES[stage.task]}, and a classifier has the errors"
    if key == "posthoc.run":
        if stage.task != "classify":
            return f"{_DOES[stage.task]}, and posthoc makes a classifier of a classifier"
        if stage.model.region is not None:  # type: ignore[attr-defined]
            return "sees regions alone (model.region), and posthoc changes classifiers of whole images"
        kind = recipe.posthoc.name  # type: ignore[attr-defined]
        earlier = getattr(stage, "posthoc", None)
        if kind != "fuse" and earlier and earlier.name == "fuse":
            return f"is fused, and each of its members has a head of its own; {kind} before, or distil it first"
        if kind != "fuse" and stage.data.multi_label:
            return f"has images of several labels, so that no {_RARE[kind]} is the rare one"
        if kind == "fuse" and earlier:
            return "is made by posthoc itself, which keeps no epochs that could be fused"
        if kind == "fuse" and (not stage.train.snapshots or "steps" in stage.train.snapshots):
            return "keeps no weights of single epochs, of which a fused run is made: set train.snapshots: {even: 12}"
    return None
