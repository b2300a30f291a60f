"""The search space of tuning: the recipe keys that are open, the values they may take, and the recipe of a trial."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from salign.config import merge
from salign.errors import SalignError
from salign.experiment.arms import arm_changes
from salign.losses import LOSSES
from salign.readers import parse_yaml
from salign.train.recipe import ClassifyRecipe, named_arms

Values = dict[str, Any]
"""Nested recipe values."""
Choose = Callable[[str, "Axis"], Any]
"""A function that chooses the value of a trial, given the key and its axis."""
ARM = "arm"
"""The key that chooses an arm of `salign.experiment.arms` instead of a single value."""
ARMS: dict[str, Values] = {
    "hint_mse": {"loss": {"name": "hint", "form": "mse"}},
    "swap_hint": {"loss": {"name": "swap", "also": {"hint": {"form": "mse"}}}},
}
"""Name -> recipe values of the arms that a search knows besides the arms of studies."""
GUIDED = ("swap", "swap_hint", "hint_mse", "cyborg", "mixed_rand")
"""The arms of docs/choosing-a-loss.md, which a search tries beside `ce` by default."""
DOSES = (0.1, 10.0)
"""The smallest and the largest dose that a search tries by default."""
RATES = 3.0
"""By default a search tries learning rates from that of the recipe divided by this factor to it times this factor."""
_RANGE = re.compile(r"(?P<low>[^.,:]*(?:\.(?!\.)[^.,:]*)?)\.\.(?P<high>[^,:]+)(?::(?P<scale>\w+))?")
_WEIGHTS = ("weight", "alpha")
"""The options of losses that a dose replaces."""


@dataclass(frozen=True)
class Axis:
    """The values that a key may take: those of a list, or all numbers from `low` to `high`."""

    values: tuple[Any, ...] = ()
    """The list; empty where `low` and `high` count."""
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    """Whether the numbers are drawn uniformly by their logarithm."""
    whole: bool = False
    """Whether only whole numbers are drawn."""

    def start(self, own: Any) -> Any:
        """Return the value to begin with: `own`, that of the recipe, where the axis has it, else a default.

        The default is the first value of the list, or the middle of the range (on a log scale the geometric mean).
        """
        if self.values:
            return own if own in self.values else self.values[0]
        if isinstance(own, int | float) and self.low <= own <= self.high:
            return own
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        return round(middle) if self.whole else middle


Space = dict[str, Axis]
"""Axis of each open key; a key is a key of a recipe, or `arm`."""


def parse_space(texts: Sequence[str]) -> Space:
    """Read the open keys from texts such as `loss.dose=0.03..3:log`, `train.epochs=10..30` or `arm=ce,swap,energy@10`.

    Raises:
        SalignError: some texts are not of this form; the message names all of them.
    """
    space: Space = {}
    faults = []
    for text in texts:
        key, equals, values = text.partition("=")
        try:
            if not (equals and key.strip() and values.strip()):
                raise SalignError("there is no KEY=VALUES in it")
            if key.strip() in space:
                raise SalignError(f"{key.strip()} is open twice")
            space[key.strip()] = _axis(values.strip(), text)
        except SalignError as error:
            faults.append(f"  --search {text}: {error}")
    if faults:
        raise SalignError(
            "\n".join([*faults, "Write KEY=LOW..HIGH, KEY=LOW..HIGH:log or KEY=A,B,C, e.g. train.lr=0.01..0.1:log."])
        )
    return space


def _axis(values: str, text: str) -> Axis:
    if not (match := _RANGE.fullmatch(values)):
        listed = tuple(parse_yaml(value, f"--search {text}", "value") for value in values.split(","))
        if len(set(map(str, listed))) < len(listed):
            raise SalignError("a value stands in it twice")
        return Axis(listed)
    try:
        low, high = (float(match[end]) for end in ("low", "high"))
    except ValueError:
        raise SalignError(f"expected two numbers around the dots, got {match['low']!r} and {match['high']!r}") from None
    log = match["scale"] == "log"
    if match["scale"] and not log:
        raise SalignError(f"the only scale is log, got {match['scale']!r}")
    if not (math.isfinite(low) and math.isfinite(high) and low < high and (low > 0 or not log)):
        raise SalignError("the first number must be the smaller one, and above 0 on a log scale")
    return Axis(
        low=low, high=high, log=log, whole=all(end.lstrip("+-").isdigit() for end in (match["low"], match["high"]))
    )


def default_space(recipe: ClassifyRecipe, *, guided: bool) -> Space:
    """Return the default search space: the arm (which decides the loss), the dose of its loss and the learning rate.

    Args:
        recipe: the recipe that the search starts from.
        guided: whether any training image has a map; if not, only cross-entropy and its learning rate are tried.
    """
    rate = Axis(low=recipe.train.lr / RATES, high=recipe.train.lr * RATES, log=True)
    if not guided:
        return {ARM: Axis(("ce",)), "train.lr": rate}
    return {ARM: Axis(("ce", *GUIDED)), "loss.dose": Axis(low=DOSES[0], high=DOSES[1], log=True), "train.lr": rate}


def check_arms(space: Space) -> None:
    """Check the names of the arms of a search, without loading torch.

    Raises:
        SalignError: there is no such arm, or it is built from the run of another arm, which a search does not have.
    """
    for name in space[ARM].values if ARM in space else ():
        if made_of := named_arms(arm_changes(str(name), guided=GUIDED[0], own=ARMS)):
            raise SalignError(
                f"arm {name!r} is made of the run of {made_of[0]!r}, which a search does not have; compare it in a "
                "study (salign experiment)."
            )


def chosen_values(base: Values, space: Space, choose: Choose) -> Values:
    """Return the recipe values of one trial.

    `choose` is only asked for the keys that matter to the chosen arm and loss. A key that the arm sets itself is not
    open: `swap@10` has weight 10. A dose replaces the weight or the alpha of the loss, and is given to the terms of
    `also` that have neither weight nor dose. The name of the recipe ends with the arm, or the loss.

    Args:
        base: the whole recipe, as nested values.
        space: the open keys.
        choose: gives the value of a key.
    """
    values, arm = base, Values()
    if ARM in space:
        name = str(choose(ARM, space[ARM]))
        arm = arm_changes(name, guided=GUIDED[0], own=ARMS)
        values = merge(values, arm)
    for key in sorted((key for key in space if key != ARM), key=lambda key: key != "loss.name"):
        if _has(values["loss"], arm, key):
            values = merge(values, _nested(key, choose(key, space[key])))
    loss = dict(values["loss"])
    if loss.get("dose") is not None:
        loss = {option: value for option, value in loss.items() if option not in _WEIGHTS}
        loss["also"] = {
            term: options if set(options) & {"weight", "dose"} else {**options, "dose": loss["dose"]}
            for term, options in (loss.get("also") or {}).items()
        }
    what = name if ARM in space else str(loss["name"])
    return {**values, "loss": loss, "name": f"{base['name']}-{re.sub(r'[^A-Za-z0-9._-]+', '-', what)}"}


def _has(loss: Mapping[str, Any], arm: Values, key: str) -> bool:
    """Whether a key is open with this loss and arm: the loss has the option, and the arm does not set it."""
    section, _, option = key.partition(".")
    fixed = arm.get(section, {})
    if option.split(".")[0] in fixed:
        return False
    if section != "loss" or option in ("name", "class_weights"):
        return True
    if option == "dose":
        return LOSSES[str(loss["name"])].takes_dose and not set(_WEIGHTS) & set(fixed)
    return option.split(".")[0] in (*LOSSES.keywords(str(loss["name"])), "also")


def _nested(key: str, value: Any) -> Values:
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)
