"""The findings of a study: sentences that are computed from its figures, whatever they show."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from salign.evaluate.comparison import Comparison, seeds_needed
from salign.experiment.arms import control_of
from salign.experiment.report.doubts import alike_answers, alike_in_words, shuffled_in_words
from salign.experiment.report.groups import Alike, Group, controls_of, is_control
from salign.experiment.report.tables import difference_in_words, points, set_roles
from salign.experiment.study import Study

ABOVE, BELOW, OPEN, UNKNOWN = "above zero", "below zero", "not told from zero", "unknown"
"""Where the 95 % interval of a difference can lie; unknown with fewer than two seeds."""


MOST_SEEDS = 100
"""A difference is called of no use if it would take more seeds than this to tell it from zero."""


@dataclass(frozen=True)
class Finding:
    """The sentences about one data set and network."""

    title: str
    target: str
    """Where the gain over the baseline on the target set lies: `ABOVE`, `BELOW`, `OPEN` or `UNKNOWN`."""
    controls: bool
    """Whether the study names controls and the guided arm beats all of them."""
    constant: tuple[str, ...] = ()
    """The guided arm, the baseline or both, where half or more of their runs give all images the same answer."""
    alike: str = ""
    """Sentences on the runs of any arm that give all images the same answer; empty where there are none."""
    sentences: list[str] = field(default_factory=list)


def standing(comparison: Comparison | None) -> str:
    """Say where the interval of a difference lies: `ABOVE`, `BELOW`, `OPEN` or `UNKNOWN`."""
    if comparison is None or comparison.n < 2:
        return UNKNOWN
    return ABOVE if comparison.low > 0 else BELOW if comparison.high < 0 else OPEN


def findings(study: Study, groups: Sequence[Group], runs: pd.DataFrame) -> list[Finding]:
    """Say for every group whether guidance helps on the target set, whether the maps are why, and what it costs.

    Args:
        study: names the arms.
        groups: see `groups_of`.
        runs: columns dataset, network, arm, images, annotated, seed, path. The answers and training maps of these runs
            are read to find reasons to doubt the figures.
    """
    return [_finding(study, group, runs) for group in groups]


def headline(study: Study, results: Sequence[Finding], finished: int, missing: int) -> list[str]:
    """Return the sentences below the verdict: the result that it rests on, over all groups, and reasons for doubt.

    Args:
        study: names the arms.
        results: see `findings`.
        finished: number of finished cells.
        missing: number of cells that are not finished.
    """
    sentences = []
    if missing:
        total = finished + missing
        sentences.append(f"{missing} of {total} cells are missing: everything below is provisional.")
    if not results:
        return [*sentences, "No cell is finished, so there is nothing to report yet."]
    gain = [finding for finding in results if finding.target == ABOVE]
    loss = [finding for finding in results if finding.target == BELOW]
    unknown = sum(finding.target == UNKNOWN for finding in results)
    why = [finding for finding in gain if finding.controls]
    if len(results) == 1:
        (finding,) = results
        answer, alike = finding.sentences[0], finding.alike
    else:
        alike = ""
        where = f"on {study.target}, in {len(results)} pairs of data set and network"
        counts = f"better in {len(gain)}, worse in {len(loss)} (95 % interval of the difference beyond zero)"
        open_in = f", not answered in {unknown}" if unknown else ""
        controls = f" Better than every control as well: {len(why)}." if study.controls else ""
        answer = f"{study.guided} against {study.baseline} {where}: {counts}{open_in}.{controls}"
    doubtful = [
        f"{arm} ({finding.title})" if len(results) > 1 else arm for finding in results for arm in finding.constant
    ]
    doubt = f"Half or more of the runs answer alike to every image, which is no classifier: {', '.join(doubtful)}."
    return [*sentences, answer, *filter(None, [doubt if doubtful else alike])]


def verdict(study: Study, results: Sequence[Finding], missing: int) -> str:
    """Answer the study's question in one or two sentences, after a word on missing runs if there are any."""
    if not results:
        return "Nothing is finished yet."
    guided, baseline, target = study.guided, study.baseline, study.target
    kinds = {finding.target for finding in results}
    if any(finding.constant for finding in results):
        sentence = "This cannot be judged: half or more of the runs of an arm give every image the same answer."
    elif guided == baseline:
        sentence = f"Nothing is compared: the study asks about its baseline, {baseline}."
    elif len(results) > 1 and len(kinds) > 1:
        gain, loss = (sum(finding.target == kind for finding in results) for kind in (ABOVE, BELOW))
        sentence = f"It depends: of {len(results)} settings {guided} does better in {gain} and worse in {loss}."
    elif kinds == {ABOVE}:
        if not study.controls:
            why = "There is no control, so the maps may not be the reason."
        elif all(finding.controls for finding in results):
            why = "It also beats every control, so the maps are the reason."
        else:
            why = "A control may do as well, so the maps are not shown to be the reason."
        sentence = f"Yes: on {target} {guided} does better than {baseline}. {why}"
    else:
        sentence = {
            BELOW: f"No: on {target} {guided} does worse than {baseline}.",
            OPEN: f"No difference between {guided} and {baseline} is shown on {target}.",
            UNKNOWN: f"Not answered: {guided} and {baseline} need two seeds in common.",
        }[kinds.pop()]
    return f"Provisional, {missing} runs are missing. {sentence}" if missing else sentence


def _finding(study: Study, group: Group, runs: pd.DataFrame) -> Finding:
    guided, metric = study.guided, study.metric
    alike = {test_set: alike_answers(group, runs, test_set) for _, test_set in set_roles(study)}
    constant = {
        arm for comparisons in alike.values() for arm, arm_alike in comparisons.items() if arm_alike.mostly(metric)
    }
    gain = group.compare(guided, study.baseline, study.target, metric)
    against = {name: group.compare(guided, name, study.target, metric) for name in study.controls}
    beaten = bool(against) and all(standing(comparisons) == ABOVE for comparisons in against.values())
    alike_runs = alike_in_words(alike)
    sentences = [_gain(study, gain), alike_runs]
    sentences += [_control(study, group, name, comparisons, standing(gain)) for name, comparisons in against.items()]
    sentences += [shuffled_in_words(study, group, runs)]
    if study.reference is not None:
        sentences += [_cost(study, group.compare(guided, study.baseline, study.reference, metric), standing(gain))]
    sentences += [_others(study, group), _best(study, group, constant), _use(study, group, alike[study.target])]
    pair = tuple(arm for arm in dict.fromkeys((guided, study.baseline)) if arm in constant)
    return Finding(
        group.title, standing(gain), beaten, pair, alike_runs, [sentence for sentence in sentences if sentence]
    )


def _gain(study: Study, comparison: Comparison | None) -> str:
    if comparison is None:
        arms = dict.fromkeys(arm for grid in study.grids for arm in grid.arms)
        if study.guided not in arms:
            return (
                f"The study asks about {study.guided}, and no grid has this arm: say by the key guided which of "
                f"{', '.join(arms)} is meant."
            )
        return (
            f"{study.guided} and {study.baseline} have no finished seed in common that {study.target} was tested with."
        )
    reached = f"{study.guided} reaches {study.metric} {points(comparison.first)} on {study.target}"
    if study.guided == study.baseline:
        return f"{reached} ({_seeds(comparison)})."
    text = (
        f"{reached}, {study.baseline} {points(comparison.second)} ({_seeds(comparison)}): {_difference(comparison)}. "
    )
    needed = ""
    if standing(comparison) == OPEN and comparison.sd > 0 and comparison.difference:
        seeds = seeds_needed(comparison.sd, abs(comparison.difference))
        if seeds > MOST_SEEDS:
            needed = f" There is no useful difference: {MOST_SEEDS} seeds would not tell one of this size from zero."
        elif seeds > comparison.n:
            needed = f" A difference of this size would need about {seeds} seeds to be told from zero."
    return (
        text
        + {
            ABOVE: "The interval lies above zero: the gain is more than what chance does between seeds.",
            BELOW: "The interval lies below zero: here guidance makes it worse.",
            OPEN: f"The interval holds zero: these seeds show no difference.{needed}",
            UNKNOWN: "One seed says nothing about chance.",
        }[standing(comparison)]
    )


def _control(study: Study, group: Group, name: str, comparison: Comparison | None, gain: str) -> str:
    """Say how the guided arm compares with a control.

    If the control has other maps, the sentence says whether the maps are the reason for the gain. For any other arm it
    says which of the two does better.
    """
    sets_maps = "maps" in study.arms.get(name, {}).get("data", {})
    other_maps = sets_maps or control_of(name, guided=study.guided, own=study.arms) is not None
    if comparison is None:
        doubt = ": whether people's maps are the reason is open" if other_maps else ""
        return f"The control {name} has no finished seed to compare with{doubt}."
    text = f"Against the control {name}: {_difference(comparison)} ({_seeds(comparison)}). "
    own = group.compare(name, study.baseline, study.target, study.metric)
    too = " too" if gain == ABOVE else ""
    gained = f"The control gains over {study.baseline}{too} ({_difference(own)})" if own else ""
    not_the_maps = ": the gain cannot be put down to the maps" if other_maps and gain == ABOVE else ""
    if standing(comparison) == UNKNOWN:
        return text + "One seed says nothing about chance."
    if standing(comparison) == ABOVE:
        reason = "it matters that the maps are the images' own" if other_maps else "it is better than that"
        return f"{text}The interval lies above zero: {reason}."
    if standing(comparison) == BELOW:
        reason = ": what was marked is not the reason for any gain" if other_maps else ""
        return f"{text}The control does better{reason}."
    if standing(own) == ABOVE:
        return f"{text}{gained}, and these seeds do not show {study.guided} above it{not_the_maps}."
    if gain == ABOVE:
        return f"{text}The control does as well as far as these seeds tell{not_the_maps}."
    return text + "The interval holds zero."


def _cost(study: Study, comparison: Comparison | None, gain: str) -> str:
    if comparison is None or study.guided == study.baseline:
        return ""
    text = f"In distribution ({study.reference}): {_difference(comparison)} ({_seeds(comparison)}). "
    return (
        text
        + {
            ABOVE: "It gains there too." if gain == ABOVE else f"It gains there, which is not shown on {study.target}.",
            BELOW: "That is what guidance costs on images like those of training.",
            OPEN: "No cost that these seeds can show.",
            UNKNOWN: "One seed says nothing about chance.",
        }[standing(comparison)]
    )


def _others(study: Study, group: Group) -> str:
    """Compare every arm but the guided one with its own controls."""
    target = study.target, study.metric
    pairs = [(arm, name) for arm in group.arms if arm != study.guided for name in controls_of(study, group, arm)]
    comparisons = [(arm, name, comparison) for arm, name in pairs if (comparison := group.compare(arm, name, *target))]
    sentences = [
        f"{arm} − {name}: {_difference(comparison)} ({_seeds(comparison)}, {standing(comparison)})"
        for arm, name, comparison in comparisons
    ]
    return f"Other arms against their own controls: {'; '.join(sentences)}." if sentences else ""


def _best(study: Study, group: Group, constant: Collection[str]) -> str:
    """Name the arm that is furthest above the guided arm under a condition that both share, if there is one.

    Controls are left out, and so are arms in `constant`: half or more of their runs give all images of the target or
    reference set the same answer, and may score high only because that answer is frequent. The sentence also compares
    the arm on the reference set.
    """
    gains = {}
    for arm in group.arms:
        ours, theirs = group.pair(arm, study.guided, study.target, study.metric)
        if len(ours) and arm not in {study.guided, study.baseline, *constant} and not is_control(study, arm):
            gains[arm] = float((ours - theirs).mean())
    arm = max(gains, key=lambda name: (gains[name], name), default="")
    comparison = group.compare(arm, study.guided, study.target, study.metric) if gains.get(arm, 0) > 0 else None
    if comparison is None:
        return ""
    words = group.shared(arm, study.guided)
    under = f" with {words.words}" if words and words.words else ""
    text = f"The arm {arm} does better than {study.guided}{under}: {_difference(comparison)} ({standing(comparison)})"
    there = study.reference and group.compare(arm, study.guided, study.reference, study.metric)
    return f"{text}; on {study.reference} {_difference(there)} ({standing(there)})." if there else f"{text}."


def _use(study: Study, group: Group, alike: Mapping[str, Alike]) -> str:
    """Say whether the models use the human region: how many answers change when everything outside it is exchanged."""
    metric = "reliance/inside/other/flipped"
    shares = [(arm, group.scores(arm, study.target, metric)) for arm in (study.guided, study.baseline)]
    if any(values.empty for _, values in shares):
        return ""
    shares_in_words = " and ".join(f"{points(values.mean())} % of the answers of {arm}" for arm, values in shares)
    text = f"With everything outside the human region exchanged for another image's, {shares_in_words} change."
    same = [f"{alike[arm].share} runs of {arm}" for arm, _ in shares if arm in alike]
    return f"{text} But {' and '.join(same)} answer alike to everything, which nothing can change." if same else text


def _difference(comparison: Comparison) -> str:
    unit = "" if comparison.n > 1 else " points"
    return f"{difference_in_words(comparison.difference, comparison.low, comparison.high)}{unit}".replace(
        " [", " points [", 1
    )


def _seeds(comparison: Comparison) -> str:
    return f"{comparison.n} seed{'s' if comparison.n > 1 else ''}"
