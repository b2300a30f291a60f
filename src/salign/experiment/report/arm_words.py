"""Descriptions of the arms of a study: in words for readers, and as the recipe values that an arm changes."""

from __future__ import annotations

from typing import Any

from salign.experiment.arms import PLAIN, arm_changes, control_of, times
from salign.experiment.question import without_folders
from salign.experiment.study import Study
from salign.losses import LOSSES
from salign.train.recipe import ARM

_MAPS = {
    "shuffled": "maps of other images",
    "shuffled_within": "maps of other images of the same class",
    "shuffled_across": "maps of images of another class",
    "inverted": "maps turned round, so that it learns to look away from the marks",
    "centre": "the same map in the middle for all images",
    "blobs": "random blobs as maps",
    "template": "one map per class, the geometric median of its maps",
    "boxes": "a box around each mark",
    "lda_maps": "maps without people, of where the pixels tell the classes apart",
    "pca_maps": "a map without people, of where the pixels vary most",
    "dilated": "maps grown",
    "shifted": "maps moved",
}
"""Control of `data.maps` -> the maps that it gives an arm, in words."""

_NAMED = {
    "mixed_rand": "cross-entropy on what people marked, in the surroundings of any other image",
    "mixed_same": "cross-entropy on what people marked, in the surroundings of another image of its class",
    "probe": "cross-entropy, no maps; the head learns alone, on features as they were",
}
"""Arm of `PLAIN` that its recipe values do not explain to a reader -> its description."""
_MADE = {
    "fuse": "epochs of {} fused",
    "rebalance": "a fresh head for {}, all classes as large",
    "dfr": "a head for {} that learned from as many validation images of every group",
}
"""Name of the section `posthoc` -> the description of the arm; `{}` stands for the run that the arm starts from."""


def explain_arm(study: Study, arm: str) -> str:
    """Describe an arm for a reader who does not know its name: `control: cyborg with maps of other images`."""
    role = "baseline: " if arm == study.baseline else "control: " if arm in study.controls else ""
    if control := control_of(arm, guided=study.guided, own=study.arms):
        maps, copied = control
        kind, _, share = maps.partition("@")
        return f"{role}{copied} with {_MAPS.get(kind, kind)}{f' ({float(share):.0%})' if share else ''}"
    changes = arm_changes(arm, guided=study.guided, own=study.arms)
    if named := _named(changes):
        return role + named
    if posthoc := changes.get("posthoc"):
        options = {key: value for key, value in posthoc.items() if key not in ("name", "run")}
        return f"{role}{', '.join([_MADE[posthoc['name']].format(_arm(posthoc['run'])), *_words(options)])}"
    name = str(changes.get("loss", {}).get("name", study.recipe.get("loss", {}).get("name", "cyborg")))
    column = changes.get("data", {}).get("map_column", study.recipe.get("data", {}).get("map_column"))
    words = [_loss(name, column)]
    if also := changes.get("loss", {}).get("also"):
        words.append(f"{' and '.join(also)} added")
    if teacher := changes.get("loss", {}).get("teacher"):
        words.append(f"taught by {_arm(teacher)}")
    if times(arm) != 1:
        words.append(f"{times(arm):g} times the training images")
    rest = {section: values for section, values in changes.items() if section != "loss"}
    words += _words(rest)
    return f"{role}{', '.join(words)}"


def _named(changes: dict[str, Any]) -> str:
    """Describe values that contain those of an arm of `_NAMED`: its description, then the other values.

    The text is empty where the values contain those of no such arm.
    """
    pairs = _flat(without_folders(changes))
    for name, words in _NAMED.items():
        plain = _flat(PLAIN[name])
        if all(pair in pairs for pair in plain):
            return ", ".join([words, *(f"{key}: {value}" for key, value in pairs if (key, value) not in plain)])
    return ""


def _loss(name: str, column: str | None) -> str:
    if not LOSSES[name]().guided:
        return "cross-entropy, no maps" if name == "ce" else f"loss {name}, no maps"
    if column not in (None, "saliency"):
        return f"guided by the maps of the column {column}, loss {name}"
    return f"guided by people's maps, loss {name}"


def recipe_of_arm(study: Study, arm: str) -> str:
    """List the recipe values that an arm changes, such as `loss.name: cyborg; data.maps: shuffled`."""
    changes = arm_changes(arm, guided=study.guided, own=study.arms)
    words = _words(changes)
    if times(arm) != 1:
        words.append(f"{times(arm):g} times the training images")
    return "; ".join(words) or "nothing"


def _arm(run: str) -> str:
    """Name the run that an arm is built from: that of another arm, or a run folder."""
    return f"the run of {run.removeprefix(ARM)}" if run.startswith(ARM) else str(without_folders(run))


def _words(values: dict[str, Any]) -> list[str]:
    return [f"{key}: {value}" for key, value in _flat(without_folders(values))]


def _flat(values: dict[str, Any], above: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in values.items():
        pairs += _flat(value, f"{above}{key}.") if isinstance(value, dict) else [(above + key, value)]
    return pairs
