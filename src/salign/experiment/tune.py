"""Tuning: trials of one recipe, each an ordinary run that is found by content, chosen among by a rule of selection."""

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
"""The arm that every search begins with, so that what it chooses is never worse by its rule."""
_PLAIN = "plain"
"""Where the file of trials keeps `Tuning.plain`."""
_ENDED = ("COMPLETE", "PRUNED")
"""States of optuna's trials that are over."""
MEASURED = Measured(sets=[VALIDATION], images=200, draws=8)
"""At most 200 validation images are in the region test, which is the mean over eight draws of surroundings."""


@dataclass(frozen=True)
class Tuning:
    """What is searched, and by which rule; another one of these is another search, in the same folder."""

    recipe: ClassifyRecipe
    space: Space
    select: Rule | Literal["auto"]
    metric: Metric = "auroc"
    trials: int = 20
    seed: int = 0
    plain: float = float("nan")
    """AUROC of plain cross-entropy in the region test, by which `auto` takes its rule; see `with_plain`."""

    @property
    def rule(self) -> Rule:
        """The rule that decides; `auto` takes `region` where plain cross-entropy was not judged."""
        if self.select != AUTO:
            return self.select
        if math.isnan(self.plain) or surroundings_decide(self.plain):
            return "region"
        return usual_rule(self.recipe.data.groups)

    @property
    def reason(self) -> str:
        """Why `auto` took its rule, as a sentence; empty where another rule was asked for, or nothing is known."""
        if self.select != AUTO or math.isnan(self.plain):
            return ""
        follows = "surroundings decide its answers" if self.rule == "region" else "they do not decide its answers"
        return (
            f"The rule is {self.rule}, since plain cross-entropy has AUROC {self.plain:.3f} where surroundings are "
            f"exchanged (chance is 0.5): {follows}."
        )

    @property
    def name(self) -> str:
        """The search in the file of trials: 8 hex digits of everything but the number of trials."""
        content = [self.recipe.fingerprint(), {key: vars(axis) for key, axis in self.space.items()}]
        text = json.dumps([*content, self.select, self.metric, self.seed], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def recipe_of(self, choose: Choose) -> ClassifyRecipe:
        """The recipe of a trial that takes what `choose` gives; everything that `auto` would choose is fixed.

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
    """One trial and what it found."""

    number: int
    """From 1, in the order of their beginning."""
    values: dict[str, Any]
    """Open key -> the value that it took."""
    run: RunFolder | None
    """The folder of its run; None where there is none."""
    figures: dict[Rule, float] = field(default_factory=dict)
    """The figure of every rule."""
    spread: float = 0.0
    """Standard deviation of the region test over its draws; 0 where it was drawn once."""
    seconds: float = float("nan")
    collapsed: str = ""
    """Why it cannot be chosen: it was stopped, or tells no images apart."""


def run_tuning(tuning: Tuning, folder: Path, executor: Executor, *, progress: bool = True) -> list[Tried]:
    """Run the trials that are left.

    Args:
        tuning: what is searched.
        folder: gets `trials.log`, optuna's journal, and `runs`.
        executor: where trials run.
        progress: show a bar.

    Returns:
        All trials of this search.

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
    alone = 1 if tuning.select == AUTO else 0  # by plain cross-entropy the others' rule is chosen
    with Bar(f"tuning {tuning.recipe.name}", tuning.trials, show=progress, done=done, every_line=True) as bar:
        for trials in (alone, tuning.trials):
            for outcome in executor.run(_tasks(tuning, folder, search, running, trials)):
                path = RunFolder.of(outcome.task.recipe, outcome.task.out).path
                note = _tell(tuning, search, running[path].pop(0), outcome, path)
                bar.advance(1, f"{path.name}: {note}", f"{bar.done + 1}/{tuning.trials} trials")


def _tasks(
    tuning: Tuning, folder: Path, search: Search, running: dict[Path, list[Asked]], trials: int
) -> Iterator[Task]:
    """Trials that were cut off, then new ones up to so many, each when there is room for it."""
    from optuna.trial import TrialState

    for cut in [trial for trial in search.trials if trial.state.name == "RUNNING"]:
        search.tell(cut.number, state=TrialState.FAIL)
        search.enqueue_trial(cut.params)
    first = list(_first(tuning))
    while (begun := sum(trial.state.name in (*_ENDED, "RUNNING") for trial in search.trials)) < trials:
        search.sampler = _sampler(tuning.seed + begun)  # so that a search which goes on asks the same
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
    """Note why a trial can not be chosen; the search takes it for worse than any other."""
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
    """Note what became of a trial; give its figure in words."""
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
    """The same search, which was begun, with what is known of plain cross-entropy, by which `auto` takes its rule."""
    return _with_plain(tuning, _open(tuning, folder, make=False))


def _with_plain(tuning: Tuning, search: Search) -> Tuning:
    return replace(tuning, plain=search.user_attrs.get(_PLAIN, float("nan")))


def _first(tuning: Tuning) -> Iterator[dict[str, Any]]:
    """What is tried before anything is drawn: every arm, cross-entropy first, with the values that the recipe has."""
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
    """All trials of a search that were run, in their order; none where it was not begun."""
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
    """The trial that is best by a rule; of equally good ones the best on validation, then the first.

    In the region test those are equally good that lie within one standard deviation, over draws of the surroundings, of
    the best one: another draw might have put them first. (The choice among all that lie within one standard error of
    the best is that of Breiman et al., *Classification and Regression Trees*, 1984.)

    None where no trial that came to an end has a figure of that rule.
    """
    known = [trial for trial in tried if not trial.collapsed and trial.figures[rule] == trial.figures[rule]]
    best = max(known, key=lambda trial: trial.figures[rule], default=None)
    if best is None:
        return None
    least = best.figures[rule] - (best.spread if rule == "region" else 0.0)
    level = [trial for trial in known if trial.figures[rule] >= least]
    return max(level, key=lambda trial: (trial.figures["validation"], trial.figures[rule], -trial.number))


def trials_table(tried: Sequence[Tried]) -> pd.DataFrame:
    """A row per trial: `trial`, the open keys, the figure of every rule, `chosen_by`, `seconds`, `run`, `note`."""
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
