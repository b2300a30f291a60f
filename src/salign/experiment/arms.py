"""The named arms of a study: baselines, guided training, and the controls that could prove it wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from salign.config import merge
from salign.data.controls import BY_SHARE, CONTROLS, find_control
from salign.errors import SalignError, nearest
from salign.losses import LOSSES
from salign.train.recipe import ARM, named_arms

Changes = dict[str, Any]
"""Nested recipe values."""
BLUR_LEVELS = [2, 4, 6, 8, 10, 12, 14, 16]
"""The sigmas of the blur in Human-Aided Saliency Maps (arXiv 2105.03492), in pixels."""

OTHER_MAPS = frozenset(CONTROLS) - {"own", "boxes"}
"""The controls of `data.maps` that leave no image the map that was marked on it. The others only make maps worse."""

_CE: Changes = {"loss": {"name": "ce"}}
_VALUE = re.compile(r"@([0-9.]+(?:e-?[0-9]+)?)$")


def _alpha(guided: Changes, value: float) -> Changes:
    return merge(guided, {"loss": {"alpha": value}})


def _blur(_: Changes, value: float) -> Changes:
    return merge(_CE, {"data": {"blur_outside": [value]}})


def _swap(_: Changes, value: float) -> Changes:
    return merge(_CE, {"data": {"swap_outside": value}})


PLAIN: dict[str, Changes] = {
    **{name: {"loss": {"name": name}} for name in LOSSES},
    "blur": merge(_CE, {"data": {"blur_outside": BLUR_LEVELS}}),
    "mixed_rand": merge(_CE, {"steps": [{"name": "swap", "lender": "any", "paint_over": True}]}),
    "mixed_same": merge(_CE, {"steps": [{"name": "swap", "lender": "same_class", "paint_over": True}]}),
    "probe": merge(_CE, {"train": {"trainable": "head"}}),
    "subg": merge(_CE, {"data": {"subsample": "groups"}}),
    "group_dro": {"loss": {"name": "group_dro"}, "data": {"sampling": "groups"}},
}
"""Name of an arm -> its recipe values. Every loss is an arm by its own name; `group_dro` also draws every group equally
often, as its authors do. The other arms train with cross-entropy: `blur` on images that are blurred outside the map, at
all published levels; `mixed_rand` and `mixed_same` on images in the surroundings of any other image, or of another
image of their class, whose marked region is painted over (arXiv 2006.09994); `probe` with features that do not learn;
`subg` on equally many images of every group (arXiv 2110.14503)."""
VALUED: dict[str, Callable[[Changes, float], Changes]] = {
    "alpha": _alpha,
    "blur": _blur,
    "swap_outside": _swap,
    "ce_times": lambda guided, value: _CE,
}
"""Name of an arm that takes a value -> the function that gives its recipe values from those of the guided arm and the
value. The arm is written NAME@VALUE: `alpha@0.3` (the guided arm at another alpha), `blur@4` (one level),
`swap_outside@0.5` (half of the annotated images in other surroundings), `ce_times@7` (cross-entropy with seven times
the training images). The name of a loss can be followed by its weight in the same way: `energy@10`."""


FROM_ARM: dict[str, tuple[str, str | None]] = {
    "kd": ("loss", None),
    "okd": ("loss", "change"),
    "fuse": ("posthoc", "method"),
    "rebalance": ("posthoc", "method"),
    "dfr": ("posthoc", None),
}
"""Name of an arm that starts from the run of another arm with the same seed -> the section of the recipe that names
that run, and the option that CHOICE sets. The arm is written NAME:ARM or NAME@CHOICE:ARM. `kd:swap` and `okd:swap` are
students of the arm `swap`: they train with the study's recipe and copy no other value of `swap`. `fuse:ce` copies the
arm `ce` and fuses epochs of its run; `fuse@jumps:ce` fuses them by another method. `rebalance:ce`, `rebalance@smote:ce`
and `dfr:ce` copy the arm `ce` and change only the head of its run."""
_LOSS_OF = {"kd": "distill"}
"""Arm of `FROM_ARM` -> the name of its loss, where it is not the name of the arm."""


def arm_changes(name: str, *, guided: str, own: Mapping[str, Changes]) -> Changes:
    """Return the recipe values of an arm.

    The name is looked up in this order: the study's own arms; `PLAIN`; `LOSS@WEIGHT`; control maps (`shuffled`,
    `shuffled@0.25`, `centre`, ... are the guided arm with these maps, and `shuffled:ARM` is another arm with them);
    `FROM_ARM`; `maps:COLUMN` (the guided arm with the maps of another manifest column, such as segmentation masks);
    `VALUED`. In the values, `arm:NAME` stands for the run of another arm with the same seed. An arm that the study
    defines may use it wherever a recipe may name a stage, such as `loss: {name: okd, teacher: 'arm:swap'}`.

    Args:
        name: name of the arm.
        guided: name of the arm that controls copy.
        own: the arms that the study defines, with their recipe values.

    Raises:
        SalignError: there is no such arm, or the share of a control is not a number above 0 and up to 1.
    """
    if name in own:
        return dict(own[name])
    if name in PLAIN:
        return PLAIN[name]
    family, value = name.partition("@")[0], _VALUE.search(name)
    if family in LOSSES and value:
        return {"loss": {"name": family, "weight": float(value[1])}}
    if control := control_of(name, guided=guided, own=own):
        maps, copied = control
        return merge(arm_changes(copied, guided=guided, own=own), {"data": {"maps": maps}})
    if changes := _of_arm(name, guided=guided, own=own):
        return changes
    if name != guided:
        base = arm_changes(guided, guided=guided, own=own)
        if name.startswith("maps:"):
            return merge(base, {"data": {"map_column": name.removeprefix("maps:")}})
        if family in VALUED and value:
            return VALUED[family](base, float(value[1]))
    controls = [control for control in CONTROLS if control != "own"] + [f"{control}@SHARE" for control in BY_SHARE]
    valued = [f"{family}@VALUE" for family in VALUED]
    made_of = [f"{kind}:ARM" for kind in FROM_ARM]
    names = [*own, *PLAIN, *controls, "CONTROL:ARM", "maps:COLUMN", *valued, "LOSS@WEIGHT", *made_of]
    raise SalignError(
        f"no arm is called {name!r}{nearest(name, names)}; there are {', '.join(names)}; a study defines others under "
        "`arms`."
    )


def _of_arm(name: str, *, guided: str, own: Mapping[str, Changes]) -> Changes | None:
    """Return the recipe values of an arm of `FROM_ARM`, or None where the name is not that of such an arm."""
    head, _, source = name.partition(":")
    kind, _, choice = head.partition("@")
    section, option = FROM_ARM.get(kind, ("", None))
    if not section or not source or (choice and not option):
        return None
    copied = arm_changes(source, guided=guided, own=own)
    chosen = {option: choice} if choice and option else {}
    if section == "loss":
        return {"loss": {"name": _LOSS_OF.get(kind, kind), "teacher": ARM + source, **chosen}}
    return merge(copied, {section: {"name": kind, "run": ARM + source, **chosen}})


def arms_below(name: str, *, guided: str, own: Mapping[str, Changes]) -> list[str]:
    """Return the arms whose runs an arm is built from, directly or through other arms, in an order to run them in.

    Raises:
        SalignError: an arm is built from its own run, or there is no such arm.
    """
    return _below(name, (), guided, own)


def _below(name: str, above: tuple[str, ...], guided: str, own: Mapping[str, Changes]) -> list[str]:
    if name in above:
        raise SalignError(f"arm {name!r} is made of its own run: {' of '.join([*above, name])}.")
    sources = named_arms(arm_changes(name, guided=guided, own=own))
    deeper = [arm for source in sources for arm in _below(source, (*above, name), guided, own)]
    return list(dict.fromkeys([*deeper, *sources]))


def control_of(name: str, *, guided: str, own: Mapping[str, Changes]) -> tuple[str, str] | None:
    """Return the control of `data.maps` that an arm stands for, and the arm that it copies.

    For `boxes` these are `boxes` and the guided arm, for `shuffled:energy@10` they are `shuffled` and `energy@10`.
    Returns None for every other name, for the guided arm, and for an arm that the study defines.

    Raises:
        SalignError: the share of a control is not a number above 0 and up to 1.
    """
    control, _, copied = name.partition(":")
    if name in own or name == guided or control.partition("@")[0] not in {*CONTROLS, *BY_SHARE} - {"own"}:
        return None
    return find_control(control)[0], copied or guided


def maps_of(name: str, *, guided: str, own: Mapping[str, Changes]) -> str:
    """Return what `data.maps` is in the recipes of an arm: `own`, or the control that its maps are."""
    maps: str = arm_changes(name, guided=guided, own=own).get("data", {}).get("maps", "own")
    return maps


def controls_among(names: Iterable[str], arm: str, *, guided: str, own: Mapping[str, Changes]) -> list[str]:
    """Return the arms in `names` that are controls of `arm`: they have its recipe values, but maps of `OTHER_MAPS`.

    `shuffled` and `blobs` are controls of the guided arm, and `shuffled:energy@10` is a control of `energy@10`. An arm
    that the study defines counts, too, where its values are such a copy. An arm that is a control itself has none.
    """
    values = arm_changes(arm, guided=guided, own=own)

    def copies(name: str) -> bool:
        theirs = arm_changes(name, guided=guided, own=own)
        maps = theirs.get("data", {}).get("maps")
        return maps in OTHER_MAPS and theirs == merge(values, {"data": {"maps": maps}})

    if values.get("data", {}).get("maps", "own") != "own":
        return []
    return [name for name in names if copies(name)]


def times(name: str) -> float:
    """Return the factor by which an arm multiplies the training images of its grid: 7 for `ce_times@7`, else 1."""
    value = _VALUE.search(name)
    return float(value[1]) if name.startswith("ce_times@") and value else 1.0
