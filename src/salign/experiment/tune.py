"""Tuning: trials of a recipe, each an ordinary run, of which a rule of selection chooses the best."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from filelock import FileLock, Timeout

from salign.errors import SalignError, install
from salign.evaluate.constant import constant_answer
from salign.evaluate.predictions import classes_of, probabilities_of
from salign.experiment.rules import (
    AUTO,
    RULES,
    VALIDATION,
    Metric,
    Rule,
    figure_of,
    region_spread,
    rule_figures,
    surroundings_decide,
    usual_rule,
)
from salign.experiment.runner import Executor
from salign.experiment.space import ARM, Axis, Choose, Space, chosen_values
from salign.experiment.store import Measured, read_cell
from salign.experiment.study import FIXED
from salign.experiment.worker import Outcome, Task
from salign.files import check_output
from salign.progress import Bar
from salign.runs.folder import RunFolder
from salign.train.recipe import ClassifyRecipe

if TYPE_CHECKING:
    from optuna import Study as Search
    from optuna.trial import FrozenTrial, Trial as Asked

BASELINE = "ce"
"""The arm that a search tries first where its space has it, so that the rule can choose it, too."""
_PLAIN = "plain"
"""The name by which the file of trials keeps `Tuning.plain`."""
_ENDED = ("COMPLETE", "PRUNED")
"""States of optuna's trials that have ended."""
MEASURED = Measured(sets=[VALIDATION], images=200, draws=8)
"""The region test uses at most 200 validation images, and is the mean over eight draws of their surroundings."""


@dataclass(frozen=True)
class Tuning:
    """The settings of a search. Searches whose settings differ, except in `trials`, can share a folder; see `name`."""

    recipe: ClassifyRecipe
    space: Space
    select: Rule | Literal["auto"]
    metric: Metric = "auroc"
    trials: int = 20
    seed: int = 0
    plain: float = float("nan")
    """AUROC of plain cross-entropy in the region test, which decides the rule of `auto`; NaN while it is not known. See
    `with_plain`."""

    @property
    def rule(self) -> Rule:
        """The rule that chooses among the trials; `auto` is `region` while `plain` is not known."""
        if self.select != AUTO:
            return self.select
        if math.isnan(self.plain) or surroundings_decide(self.plain):
            return "region"
        return usual_rule(self.recipe.data.groups)

    @property
    def reason(self) -> str:
        """A sentence that says why `auto` took its rule; empty where a rule was named, or `plain` is not known."""
        if self.select != AUTO or math.isnan(self.plain):
            return ""
        follows = "surroundings decide its answers" if self.rule == "region" else "they do not decide its answers"
        return (
            f"The rule is {self.rule}, since plain cross-entropy has AUROC {self.plain:.3f} where surroundings are "
            f"exchanged (chance is 0.5): {follows}."
        )

    @property
    def name(self) -> str:
        """Name of the search in the file of trials: a hash (8 hex digits) of all settings but `trials` and `plain`."""
        content = [self.recipe.fingerprint(), {key: vars(axis) for key, axis in self.space.items()}]
        text = json.dumps([*content, self.select, self.metric, self.seed], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def recipe_of(self, choose: Choose) -> ClassifyRecipe:
        """Return the recipe of a trial with the values that `choose` gives.

        Values of `train` that are `auto` are fixed as in a study (`FIXED`). A `collapse_patience` of null becomes a
        third of the epochs, but at least 3.

        Raises:
            SalignError: the values do not go together.
        """
        base = self.recipe.model_dump(mode="json")
        for key, value in FIXED["train"].items():
            if base["train"][key] == "auto":
                base["train"][key] = value
        values = chosen_values(base, self.space, choose)
        if values["train"]["collapse_patience"] is None:
            values["train"]["collapse_patience"] = max(3, -(-values["train"]["epochs"] // 3))
        return ClassifyRecipe.build(values, f"a trial of {self.recipe.name}")


@dataclass(frozen=True)
class Tried:
    """One trial and its results."""

    number: int
    """Number of the trial, counted from 1 in the order in which the trials were started."""
    values: dict[str, Any]
    """Open key -> its value in this trial."""
    run: RunFolder | None
    """The folder of its run; None where its values make no valid recipe."""
    figures: dict[Rule, float] = field(default_factory=dict)
    """The figure of every rule; empty where the run did not come to its end."""
    spread: float = 0.0
    """Standard deviation of the region test over its draws; 0 where it was drawn once."""
    seconds: float = float("nan")
    collapsed: str = ""
    """Why the trial cannot be chosen, for instance because it was stopped or its model tells no images apart; empty
    where it can be chosen."""


def run_tuning(tuning: Tuning, folder: Path, executor: Executor, *, progress: bool = True) -> list[Tried]:
    """Run the trials of a search that have not ended.

    Args:
        tuning: settings of the search.
        folder: folder for `trials.log`, which is optuna's journal, and for `runs`.
        executor: runs the trials.
        progress: show a bar.

    Returns:
        All trials of this search, also those of earlier calls.

    Raises:
        SalignError: optuna is missing, another process searches in this folder, or no trial could be run.
    """
    check_output(folder / "runs", folder=True)
    (folder / "runs").mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".tune.lock", timeout=0):
            _search(tuning, folder, executor, progress)
    except Timeout:
        raise SalignError(f"another salign tune is at work in {folder}; wait for it, or take another --out.") from None
    tried = read_trials(tuning, folder)
    if tried and not any(trial.figures for trial in tried):
        raise SalignError(f"none of {len(tried)} trials came to an end. The first: {tried[0].collapsed}")
    return tried


def _search(tuning: Tuning, folder: Path, executor: Executor, progress: bool) -> None:
    search = _open(tuning, folder, make=True)
    running: dict[Path, list[Asked]] = {}
    done = sum(trial.state.name in _ENDED for trial in search.trials)
    alone = 1 if tuning.select == AUTO else 0  # the result of plain cross-entropy decides the rule for the others
    with Bar(f"tuning {tuning.recipe.name}", tuning.trials, show=progress, done=done, every_line=True) as bar:
        for trials in (alone, tuning.trials):
            for outcome in executor.run(_tasks(tuning, folder, search, running, trials)):
                path = RunFolder.of(outcome.task.recipe, outcome.task.out).path
                note = _tell(tuning, search, running[path].pop(0), outcome, path)
                bar.advance(1, f"{path.name}: {note}", f"{bar.done + 1}/{tuning.trials} trials")


def _tasks(
    tuning: Tuning, folder: Path, search: Search, running: dict[Path, list[Asked]], trials: int
) -> Iterator[Task]:
    """Yield interrupted trials, then new ones until there are `trials`; each is drawn when the executor asks for it."""
    from optuna.trial import TrialState

    for cut in [trial for trial in search.trials if trial.state.name == "RUNNING"]:
        search.tell(cut.number, state=TrialState.FAIL)
        search.enqueue_trial(cut.params)
    first = list(_first(tuning))
    while (begun := sum(trial.state.name in (*_ENDED, "RUNNING") for trial in search.trials)) < trials:
        search.sampler = _sampler(tuning.seed + begun)  # so that a resumed search draws the same values
        if begun < len(first) and not any(trial.state.name == "WAITING" for trial in search.trials):
            search.enqueue_trial(first[begun])
        trial = search.ask()
        try:
            recipe = tuning.recipe_of(_suggest(trial))
        except SalignError as error:
            _prune(search, trial, str(error))
            continue
        running.setdefault(RunFolder.of(recipe, folder / "runs").path, []).append(trial)
        yield Task(recipe, folder / "runs", MEASURED, folder.parent / "stages")


def _prune(search: Search, trial: Asked, error: str) -> None:
    """Note why a trial cannot be chosen. The search treats it as worse than any other."""
    from optuna.trial import TrialState

    trial.set_user_attr("error", error)
    search.tell(trial, state=TrialState.PRUNED)


def _suggest(trial: Asked) -> Any:
    def choose(key: str, axis: Axis) -> Any:
        if axis.values:
            return trial.suggest_categorical(key, axis.values)
        if axis.whole:
            return trial.suggest_int(key, int(axis.low), int(axis.high), log=axis.log)
        return trial.suggest_float(key, axis.low, axis.high, log=axis.log)

    return choose


def _tell(tuning: Tuning, search: Search, trial: Asked, outcome: Outcome, path: Path) -> str:
    """Record the outcome of a trial, and return its figure, or what went wrong, in words."""
    if outcome.error is not None:
        _prune(search, trial, outcome.error)
        return outcome.error.partition(":")[0]
    run = RunFolder(path)
    cell = read_cell(run)
    first = not any(other.state.name in _ENDED for other in search.trials)
    if cell and first and trial.params.get(ARM) == BASELINE:
        plain = cell.figures[VALIDATION].get(figure_of("region", "auroc"), float("nan"))
        search.set_user_attr(_PLAIN, plain)
    rule = _with_plain(tuning, search).rule
    value = rule_figures(run, cell, tuning.metric, tuning.recipe.data.groups)[rule]
    if value != value:
        _prune(search, trial, f"the rule {rule} has no figure for it")
        return "no figure"
    search.tell(trial, value)
    return f"{rule} {value:.3f}"


def with_plain(tuning: Tuning, folder: Path) -> Tuning:
    """Return the settings of a search that was begun, with `plain` as its file of trials has it."""
    return _with_plain(tuning, _open(tuning, folder, make=False))


def _with_plain(tuning: Tuning, search: Search) -> Tuning:
    return replace(tuning, plain=search.user_attrs.get(_PLAIN, float("nan")))


def _first(tuning: Tuning) -> Iterator[dict[str, Any]]:
    """Yield the trials before any is drawn: every arm, cross-entropy first, each with the start value of every axis."""
    own = _flat(tuning.recipe.model_dump(mode="json"))
    start = {key: axis.start(own.get(key)) for key, axis in tuning.space.items()}
    arms = tuning.space[ARM].values if ARM in tuning.space else (None,)
    for arm in sorted(arms, key=lambda name: name != BASELINE):
        yield start | ({} if arm is None else {ARM: arm})


def _flat(values: dict[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return flat


def _open(tuning: Tuning, folder: Path, *, make: bool) -> Search:
    optuna = _optuna()
    backend = optuna.storages.journal.JournalFileBackend(str(folder / "trials.log"))
    storage = optuna.storages.JournalStorage(backend)
    if make:
        return optuna.create_study(study_name=tuning.name, storage=storage, direction="maximize", load_if_exists=True)
    return optuna.load_study(study_name=tuning.name, storage=storage)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise SalignError(f"a search needs the package optuna; {install('tune')}") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _sampler(seed: int) -> Any:
    return _optuna().samplers.TPESampler(seed=seed)


def read_trials(tuning: Tuning, folder: Path) -> list[Tried]:
    """Return all trials of a search that have ended, in the order in which they began; none without such a search."""
    if not (folder / "trials.log").exists():
        return []
    try:
        trials = _open(tuning, folder, make=False).trials
    except KeyError:
        return []
    ended = [trial for trial in trials if trial.state.name in _ENDED]
    return [_tried(tuning, folder, number, trial) for number, trial in enumerate(ended, start=1)]


def _tried(tuning: Tuning, folder: Path, number: int, trial: FrozenTrial) -> Tried:
    error = str(trial.user_attrs.get("error", ""))
    values = {key: trial.params[key] for key in tuning.space if key in trial.params}
    try:
        run = RunFolder.of(tuning.recipe_of(lambda key, _: values[key]), folder / "runs")
    except SalignError:
        return Tried(number, values, None, collapsed=error)
    cell = read_cell(run)
    if cell is None:
        return Tried(number, values, run, collapsed=error or "its run is gone; delete trials.log to begin again")
    table = run.read_predictions("val")
    classes = classes_of(table)
    constant = constant_answer(probabilities_of(table, classes))
    alike = constant.describe(classes) if constant is not None and constant.blind else ""
    figures = rule_figures(run, cell, tuning.metric, tuning.recipe.data.groups)
    spread = region_spread(cell, tuning.metric)
    return Tried(number, values, run, figures, spread, cell.seconds, error or alike)


def choose(tried: Sequence[Tried], rule: Rule) -> Tried | None:
    """Choose the trial that is best by a rule; of equally good trials the best on validation, then the first.

    By the rule `region`, trials count as equally good if their figures lie within one standard deviation of the best
    figure. The standard deviation is that of the best trial over draws of the surroundings, since another draw might
    have put another trial first. (Breiman et al., *Classification and Regression Trees*, 1984, choose among all that
    lie within one standard error of the best.)

    Returns:
        The trial; None where no trial that can be chosen has a figure of that rule.
    """
    known = [trial for trial in tried if not trial.collapsed and trial.figures[rule] == trial.figures[rule]]
    best = max(known, key=lambda trial: trial.figures[rule], default=None)
    if best is None:
        return None
    least = best.figures[rule] - (best.spread if rule == "region" else 0.0)
    level = [trial for trial in known if trial.figures[rule] >= least]
    return max(level, key=lambda trial: (trial.figures["validation"], trial.figures[rule], -trial.number))


def trials_table(tried: Sequence[Tried]) -> pd.DataFrame:
    """Return a table with a row per trial.

    Returns:
        The columns `trial`, one per open key, one per rule with its figure, `region_sd` (`Tried.spread`), `chosen_by`
        (the rules that choose this trial), `seconds`, `run` (name of the run folder) and `note` (`Tried.collapsed`).
    """
    picks: dict[int, list[str]] = {}
    for rule in RULES:
        if best := choose(tried, rule):
            picks.setdefault(best.number, []).append(rule)
    keys = list(dict.fromkeys(key for trial in tried for key in trial.values))
    missing = float("nan")
    rows = [
        {
            "trial": trial.number,
            **{key: trial.values.get(key) for key in keys},
            **{rule: trial.figures.get(rule, missing) for rule in RULES},
            "region_sd": trial.spread,
            "chosen_by": ", ".join(picks.get(trial.number, [])),
            "seconds": trial.seconds,
            "run": trial.run.path.name if trial.run else "",
            "note": trial.collapsed,
        }
        for trial in tried
    ]
    return pd.DataFrame(rows)
