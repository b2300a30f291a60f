from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st
from scipy import stats

from made_study import study
from salign.errors import SalignError
from salign.experiment.report import tables
from salign.experiment.report.answers import Answers, nested_interval, read_answers
from salign.experiment.report.groups import Condition, groups_of
from salign.experiment.store import PLACE
from salign.experiment.study import Study

GRIDS = [
    {"arms": ["ce", "cyborg", "shuffled"], "seeds": 4, "images": [20, None]},
    {"arms": ["ce_times@2"], "seeds": 4, "images": [20]},
    {"arms": ["inverted"], "seeds": [1, 3, 8]},
]


@pytest.fixture(scope="module")
def table(plan, results):
    return tables.main_table(plan, groups_of(plan, results.figures)).set_index("arm")


def scores(results, arm, place, images=-1, metric="accuracy"):
    """By seed, from the long table."""
    rows = results.figures.query("arm == @arm and set == @place and images == @images and metric == @metric")
    return rows.set_index("seed")["value"].sort_index()


def test_means_and_paired_differences_are_those_of_scipy(table, results):
    for arm in ("cyborg", "shuffled"):
        for role, place in (("reference", "test_iid"), ("target", "test_ood")):
            first, second = scores(results, arm, place), scores(results, "ce", place)
            row = table.loc[arm]
            assert row[f"{role}_mean"] == pytest.approx(first.mean())
            assert row[f"{role}_sd"] == pytest.approx(np.std(first, ddof=1))
            test = stats.ttest_rel(first, second)
            interval = test.confidence_interval()
            assert row[f"{role}_difference"] == pytest.approx((first - second).mean())
            assert (row[f"{role}_low"], row[f"{role}_high"]) == pytest.approx((interval.low, interval.high))
        assert table.loc[arm, "p"] == pytest.approx(stats.ttest_rel(first, second).pvalue)
        won = [float(a > b) + (a == b) / 2 for a, b in itertools.product(first, second)]
        assert table.loc[arm, "improvement"] == pytest.approx(np.mean(won))
    assert table.loc["ce", ["p", "p_holm", "target_difference", "improvement"]].isna().all()


def test_p_values_of_arms_that_nobody_asked_about_are_adjusted_over_the_whole_table(table):
    p = table["p"].drop("cyborg").dropna().sort_values()
    adjusted = np.maximum.accumulate([min(1, (len(p) - k) * value) for k, value in enumerate(p)])
    np.testing.assert_allclose(table.loc[p.index, "p_holm"], adjusted)
    assert len(p) == 3
    assert table.loc["cyborg", "p_holm"] == table.loc["cyborg", "p"]  # the study asks about it, and about nothing else


def test_data_sets_of_one_table_are_one_family_of_comparisons(digits, results):
    """Halved figures of the same runs as a second data set: twice the comparisons, the p values of a pair equal."""
    both = study(digits, datasets={"one": {}, "two": {}}, grids=GRIDS)
    ours = results.figures.astype({"dataset": str})
    two = ours.assign(dataset="two", value=(ours["value"] + ours["seed"] * 1e-3) / 2)
    table = tables.main_table(both, groups_of(both, pd.concat([ours.assign(dataset="one"), two])))
    p = table[table["arm"] != "cyborg"]["p"].dropna().sort_values()
    assert table.loc[p.index, "dataset"].value_counts().to_dict() == {"one": 3, "two": 3}
    adjusted = np.maximum.accumulate([min(1, (6 - k) * value) for k, value in enumerate(p)])
    np.testing.assert_allclose(table.loc[p.index, "p_holm"], adjusted)


def test_an_arm_is_compared_under_the_condition_that_it_shares_with_the_baseline(table, results):
    row = table.loc["ce_times@2"]
    assert (row["images"], table.loc["cyborg", "images"]) == (20, -1)
    expected = scores(results, "ce_times@2", "test_ood", 20) - scores(results, "ce", "test_ood", 20)
    assert row["target_difference"] == pytest.approx(expected.mean())


def test_only_seeds_that_both_arms_have_are_paired(table, results):
    row = table.loc["inverted"]
    assert row["seeds"] == 2  # of 1, 3, 8 the baseline has 1 and 3
    first, second = scores(results, "inverted", "test_ood"), scores(results, "ce", "test_ood")
    assert row["target_difference"] == pytest.approx(np.mean([first[seed] - second[seed] for seed in (1, 3)]))
    assert row["target_mean"] == pytest.approx(first.mean())


def test_the_order_of_the_rows_and_what_other_cells_found_change_nothing(plan, results, table):
    shuffled = results.figures.sample(frac=1, random_state=0)
    again = tables.main_table(plan, groups_of(plan, shuffled)).set_index("arm")
    pd.testing.assert_frame_equal(again, table)
    less = results.figures[results.figures["arm"] != "shuffled"]
    fewer = tables.main_table(plan, groups_of(plan, less)).set_index("arm")
    pd.testing.assert_frame_equal(fewer.drop(columns="p_holm"), table.drop("shuffled").drop(columns="p_holm"))


def test_a_set_that_is_neither_target_nor_reference_is_in_the_table_of_sets(digits):
    """Two seeds: .5 and .7 against .4 and .5 of the baseline; t of one degree of freedom is 12.706."""
    plan = study(digits, reference=None)
    values = {"ce": ([0.4, 0.5], [0.9, 0.8]), "cyborg": ([0.5, 0.7], [0.9, 0.9])}
    rows = [
        ("data", "network", arm, 50, 1.0, seed, place, "accuracy", value)
        for arm, sets in values.items()
        for place, scores in zip(("elsewhere", "test_ood"), sets, strict=True)
        for seed, value in enumerate(scores)
    ]
    figures = pd.DataFrame(rows, columns=[*PLACE, "set", "metric", "value"])
    found = tables.sets_table(plan, groups_of(plan, figures))
    assert found[["arm", "images", "set", "seeds"]].to_numpy().tolist() == [
        ["ce", 50, "elsewhere", 2], ["cyborg", 50, "elsewhere", 2],
        ["ce", 50, "test_ood", 2], ["cyborg", 50, "test_ood", 2],
    ]  # fmt: skip
    np.testing.assert_allclose(found["mean"], [0.45, 0.6, 0.85, 0.9])
    np.testing.assert_allclose(found["sd"], [0.005**0.5, 0.02**0.5, 0.005**0.5, 0], atol=1e-12)
    np.testing.assert_allclose(found["difference"], [np.nan, 0.15, np.nan, 0.05])
    reach = 12.7062 * 0.05
    np.testing.assert_allclose(found["low"], [np.nan, 0.15 - reach, np.nan, 0.05 - reach], atol=1e-5)
    assert tables.other_sets(plan, found).to_dict("records") == [
        {"arm": "ce (50 training images)", "elsewhere": "45.0 ± 7.1", "elsewhere − ce": "–"},
        {
            "arm": "cyborg (50 training images)",
            "elsewhere": "60.0 ± 14.1",
            "elsewhere − ce": "+15.0 [−48.5, +78.5]",
        },
    ]
    assert tables.other_sets(plan, found[found["set"] == "test_ood"]).empty


def test_one_seed_has_a_difference_and_no_interval(plan, results):
    table = tables.main_table(plan, groups_of(plan, results.figures[results.figures["seed"] == 1]))
    row = table.set_index("arm").loc["cyborg"]
    assert row["target_difference"] == pytest.approx(
        scores(results, "cyborg", "test_ood")[1] - scores(results, "ce", "test_ood")[1]
    )
    assert row[["target_low", "target_high", "p", "improvement", "target_sd"]].isna().all()
    (line,) = tables.describe_main_table(plan, table[table["arm"] == "cyborg"]).to_dict("records")
    assert "[" not in line["test_ood − ce"]
    assert "±" not in line["test_ood"]
    assert line["p"] == line["P(better)"] == tables.NOTHING


def test_pairs_carry_the_interval_over_seeds_and_images(plan, results):
    groups = groups_of(plan, results.figures)
    found = tables.pairs_table(plan, groups, results.runs)
    assert list(zip(found["first"], found["second"], strict=True)) == [
        ("cyborg", "ce"), ("cyborg", "shuffled"), ("cyborg", "inverted"),
        ("shuffled", "ce"), ("ce_times@2", "ce"), ("inverted", "ce"),
    ]  # fmt: skip
    assert found["nested_low"].notna().all()
    found = found[found["first"] == "cyborg"].set_index("second")
    runs = results.runs[results.runs["images"] == -1]
    paths = {arm: rows.sort_values("seed")["path"].tolist() for arm, rows in runs.groupby("arm")}
    first, second = (read_answers(paths[arm], "test_ood") for arm in ("cyborg", "shuffled"))
    row = found.loc["shuffled"]
    right = [[(p == one.labels).astype(float) for p in one.probabilities.argmax(2)] for one in (first, second)]
    generator, drawn = np.random.default_rng(7), []
    for _ in range(2000):
        seeds = generator.integers(0, 4, 4)
        images = np.concatenate(
            [generator.choice(np.flatnonzero(first.labels == k), (first.labels == k).sum()) for k in (0, 1)]
        )
        drawn.append(np.mean([right[0][seed][images].mean() - right[1][seed][images].mean() for seed in seeds]))
    assert (row["nested_low"], row["nested_high"]) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.03)
    differences = scores(results, "cyborg", "test_ood") - scores(results, "shuffled", "test_ood")
    assert row["difference"] == pytest.approx(differences.mean())
    assert row["effect"] == pytest.approx(differences.mean() / differences.std())
    assert row["nested_high"] - row["nested_low"] > row["boot_high"] - row["boot_low"]  # images are drawn as well
    right = (first.probabilities.argmax(2) == first.labels).mean(1)
    np.testing.assert_allclose(right, scores(results, "cyborg", "test_ood"))


def test_answers_are_matched_by_id_and_refused_where_images_differ(results, tmp_path):
    path = results.runs["path"].iloc[0]
    (tmp_path / "a/predictions").mkdir(parents=True)
    rows = pd.read_csv(f"{path}/predictions/test_ood.csv", dtype=str)
    rows.sample(frac=1, random_state=0).to_csv(tmp_path / "a/predictions/test_ood.csv", index=False)
    both = read_answers([path, tmp_path / "a"], "test_ood")
    np.testing.assert_array_equal(both.probabilities[0], both.probabilities[1])
    truth = [float(row[f"prob_{row['label']}"]) for _, row in rows.sort_values("id").iterrows()]
    np.testing.assert_allclose(both.truth, truth, atol=1e-6)
    rows.head(5).to_csv(tmp_path / "a/predictions/test_ood.csv", index=False)
    with pytest.raises(SalignError, match="speaks of other images"):
        read_answers([path, tmp_path / "a"], "test_ood")


def test_auroc_over_images_is_that_of_either_class(results):
    paths = {arm: rows["path"].tolist()[:3] for arm, rows in results.runs.groupby("arm")}
    first, second = (read_answers(paths[arm], "test_ood") for arm in ("cyborg", "ce"))
    low, high = nested_interval(first, second, "auroc", resamples=200)
    ranks = [
        np.mean([stats.mannwhitneyu(p[a.labels == 1, 1], p[a.labels == 0, 1]).statistic for p in a.probabilities])
        / ((a.labels == 1).sum() * (a.labels == 0).sum())
        for a in (first, second)
    ]
    assert low < ranks[0] - ranks[1] < high
    with pytest.raises(SalignError, match="expected accuracy, balanced_accuracy or auroc"):
        nested_interval(first, second, "ece")


def test_balanced_accuracy_over_images_counts_every_class_alike():
    """Of 90 images of one class the first arm answers 60 rightly, of 10 of the other 8; the second is always right.

    A resample keeps 90 and 10, so that its figure is a mean of two binomial shares: sd .5 sqrt(2/9 / 90 + .16 / 10).
    """
    labels = np.repeat([0, 1], [90, 10])
    right = np.concatenate([np.arange(90) < 60, np.arange(10) < 8])
    truth = np.eye(2, dtype=np.float32)[labels]
    names = tuple(f"{k:03d}" for k in range(100))
    first = Answers(names, ("a", "b"), labels, np.where(right[:, None], truth, 1 - truth)[None])
    low, high = nested_interval(first, Answers(names, ("a", "b"), labels, truth[None]), "balanced_accuracy")
    middle, reach = (2 / 3 + 0.8) / 2 - 1, 1.96 * 0.5 * np.sqrt(2 / 9 / 90 + 0.16 / 10)
    assert (low, high) == pytest.approx((middle - reach, middle + reach), abs=0.015)


@pytest.mark.parametrize(
    ("value", "low", "high", "said"),
    [
        (0.2244, 0.04, 0.409, "+22.4 [+4.0, +40.9]"),
        (-0.0001, -0.001, 0.0, "+0.0 [−0.1, +0.0]"),
        (0.1, np.nan, np.nan, "+10.0"),
        (np.nan, np.nan, np.nan, "–"),
    ],
)
def test_differences_in_words(value, low, high, said):
    assert tables.difference_in_words(value, low, high) == said


@pytest.mark.parametrize(("p", "said"), [(0.0004, "< .001"), (0.034, ".034"), (1.0, "1.000"), (np.nan, "–")])
def test_p_values_in_words(p, said):
    assert tables.p_in_words(p) == said


def test_conditions_in_words():
    assert Condition(np.inf, 1.0).words == ""
    assert Condition(50.0, 0.1).words == "50 training images, 10 % of the maps"
    assert max(Condition(50.0, 1.0), Condition(np.inf, 0.1)) == Condition(np.inf, 0.1)


def test_latex_escapes_everything():
    text = tables.to_latex(pd.DataFrame([{"arm_1": r"a&b%c$d#e_f{g}~^\ ± −1 – < >"}]))
    assert r"arm\_1 \\" in text
    assert r"a\&b\%c\$d\#e\_f\{g\}\textasciitilde{}\textasciicircum{}\textbackslash{} $\pm$ $-$1 -- $<$ $>$ \\" in text
    assert text.startswith(r"\begin{tabular}{l}" + "\n\\toprule\n")


@pytest.mark.parametrize(
    ("name", "latex", "markdown"),
    [
        ("a$x$", r"a\$x\$", r"a\$x\$"),
        ("[1pt] b", r"{}[1pt] b", "[1pt] b"),
        ("*b*", r"{}*b*", r"\*b\*"),
        ("a_b", r"a\_b", "a_b"),
        ("_b_", r"\_b\_", r"\_b\_"),
        ("<b>c|d", r"$<$b$>$c\textbar{}d", r"\<b>c\|d"),
        ("[a](b) &lt;", r"{}[a](b) \&lt;", r"[a\](b) \&lt;"),
        ("+22.4 [+4.0, +40.9] < .001", r"+22.4 [+4.0, +40.9] $<$ .001", "+22.4 [+4.0, +40.9] < .001"),
    ],
)
def test_a_name_stands_for_itself_in_latex_and_markdown(name, latex, markdown):
    frame = pd.DataFrame([{"arm": name, name: "c"}])
    assert tables.to_latex(frame).splitlines()[2:5] == [rf"arm & {latex} \\", r"\midrule", rf"{latex} & c \\"]
    assert tables.to_markdown(frame) == f"| arm | {markdown} |\n| --- | --- |\n| {markdown} | c |\n"


@given(st.lists(st.lists(st.text(), min_size=3, max_size=3), min_size=1, max_size=4))
def test_every_row_keeps_its_cells(rows):
    frame = pd.DataFrame(rows, columns=["a", "b", "c"])
    lines = [line for line in tables.to_latex(frame).split("\n") if line.endswith(r" \\")]
    assert all(line.replace(r"\&", "").count("&") == 2 for line in lines)
    markdown = tables.to_markdown(frame.replace(r"\\", "", regex=True))
    lines = markdown.splitlines()
    assert len(lines) == len(rows) + 2
    assert all(line.replace(r"\|", "").count("|") == 4 for line in lines)


@pytest.mark.parametrize("known", [True, False])
def test_the_worst_class_and_the_calibration_stand_beside_the_target_where_they_were_measured(known):
    content = {"name": "a", "recipe": {"data": {"manifest": "m.csv"}}, "metric": "accuracy"}
    plan = Study.build(content | {"grids": [{"arms": ["ce", "cyborg"], "seeds": 2}]})
    rows = []
    for arm, value in (("ce", 0.5), ("cyborg", 0.7)):
        for seed, shift in ((0, 0.0), (1, 0.1)):
            place = ("data", "network", arm, -1, 1.0, seed)
            rows.append((*place, "test", "accuracy", value + shift))
            rows += [(*place, "test", "worst_class_accuracy", value - 0.4 + shift)] * known
            rows += [(*place, "test", "ece", 0.25), (*place, "val", "ece", 0.9)] * known
    columns = ["dataset", "network", "arm", "images", "annotated", "seed", "set", "metric", "value"]
    table = tables.main_table(plan, groups_of(plan, pd.DataFrame(rows, columns=columns)))
    words = tables.describe_main_table(plan, table)
    if known:
        assert table["worst_mean"].tolist() == pytest.approx([0.15, 0.35])
        assert list(words.columns)[3:7] == ["seeds", "test", "worst class", "ECE"]
        assert words.loc[0, ["test", "worst class", "ECE"]].tolist() == ["55.0 ± 7.1", "15.0 ± 7.1", "25.0 ± 0.0"]
    else:
        assert not {"worst class", "ECE"} & set(words.columns)
