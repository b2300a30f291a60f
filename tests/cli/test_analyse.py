from __future__ import annotations

import re
import shutil

import pandas as pd
import pytest

from command import salign


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    return shutil.copytree(trained, tmp_path / "run")


def lines(text):
    """Cells of every line of the tables printed."""
    rows = [line for line in text.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in row.strip("│").split("│")] for row in rows]


def test_the_tables_show_what_was_written(run):
    ended = salign("analyse", run, "--sets", "val", "--sets", "test_ood", "--images", 8)
    assert ended.last == f"wrote {run / 'analysis'}. Next: salign explain {run}"
    agreement = pd.read_csv(run / "analysis" / "agreement.csv", dtype={"label": str, "predicted": str})
    reliance = pd.read_csv(run / "analysis" / "reliance.csv", keep_default_na=False)
    assert agreement.groupby("set").size().to_dict() == {"val": 8, "test_ood": 8}
    means = agreement.groupby("set").mean(numeric_only=True)
    shown = {row[0].partition(":")[0]: row[1:] for row in lines(ended.out) if ":" in row[0]}
    assert shown == {name: [f"{means[name]['val']:.3f}", f"{means[name]['test_ood']:.3f}"] for name in means}
    found = [row for row in lines(ended.out) if row[0] in ("all", "inside", "outside")]
    assert [row[0] for row in found] == 2 * (["all"] + 4 * ["inside"] + 4 * ["outside"])
    for name, table in (("val", found[:9]), ("test_ood", found[9:])):
        assert f"what the answers on {name} rely on (8 images)" in ended.out
        for kept, fill, *values in table:
            rows = reliance[(reliance["set"] == name) & (reliance["kept"] == kept) & (reliance["fill"] == fill)]
            assert rows["metric"].tolist() == ["accuracy", "auroc", "margin", "flipped"]
            assert values == [f"{float(value):.3f}" if value != "" else "-" for value in rows["value"]]
    assert "consistency" not in ended.out


def test_several_runs_are_compared(run, trained, tmp_path):
    twin = shutil.copytree(trained, tmp_path / "twin")
    ended = salign("analyse", run, twin, "--sets", "val", "--images", 6)
    *_, consistency, val, iid, ood = lines(ended.out)
    assert consistency == ["val", "2", "6", "1.000", "1.000"]
    for row, name in ((val, "val"), (iid, "test_iid"), (ood, "test_ood")):
        figures = pd.read_csv(run / "evaluation.csv").query("split == @name and metric == 'auroc' and group.isna()")
        area = f"{figures['value'].item():.3f}"
        assert row == [f"{name} ({figures['n'].item()})", "twin", area, area, "+0.000 [+0.000, +0.000]", "1.000"]
    assert [line for line in ended.out.splitlines() if line in ("run", "twin")] == ["run", "twin"]
    assert re.findall(r"wrote (\S+)\.", ended.out) == [str(one / "analysis") for one in (run, twin)]


def test_a_set_that_gets_one_answer_is_named(run):
    for name, lower in (("val", 0.4), ("test_iid", 0.4), ("test_ood", 0.6)):
        path = run / "predictions" / f"{name}.csv"
        table = pd.read_csv(path, dtype={"label": str, "predicted": str})
        table["prob_7"] = [lower, 0.7] * (len(table) // 2)
        table = table.assign(prob_1=1 - table["prob_7"], predicted=table["prob_7"].gt(0.5).map({True: "7", False: "1"}))
        table.to_csv(path, index=False)
    said = f"test_ood: all {len(table)} images are called 7, with probabilities that differ by at most 0.1. "
    for command in (["analyse", run, "--sets", "val", "--sets", "test_ood", "--images", 4], ["evaluate", run]):
        out = salign(*command).out
        assert [line for line in out.splitlines() if "images are called" in line and said in line]
        assert out.count("images are called") == 1
    ended = salign("analyse", run, "--sets", "val", "--images", 4)
    assert "images are called" not in ended.out


def test_where_nobody_marked_anything(run, digits):
    table = pd.read_csv(digits, dtype=str).assign(saliency=None)
    table.to_csv(run / "manifest.csv", index=False)
    recipe = (run / "recipe.yaml").read_text()
    pointed = re.sub(
        r"(?m)^  manifest: .*\n  root: .*$", f"  manifest: {run}/manifest.csv\n  root: {digits.parent}", recipe
    )
    assert pointed != recipe
    (run / "recipe.yaml").write_text(pointed)
    ended = salign("analyse", run, "--images", 4)
    assert "no image of these sets has a human map with something marked: only maps were written" in ended.out
    assert (run / "analysis" / "maps.npz").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sets", "train"], "expected val, test_iid or test_ood"),
        (["--of", "both"], "expected predicted or true"),
        (["--images", "0"], "--images"),
    ],
)
def test_mistakes_write_nothing(run, options, message):
    assert message in salign("analyse", run, *options, code=2).err
    assert not (run / "analysis").exists()


def test_a_folder_that_is_no_run_stops_before_the_others_are_analysed(run, tmp_path):
    assert "is no run folder" in salign("analyse", run, tmp_path / "gone", code=2).err
    assert not (run / "analysis").exists()
