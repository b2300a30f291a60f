"""Runs and a study that an earlier version wrote load, evaluate and report as they did then; see fixtures/earlier."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import salign
from command import salign as command
from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.image import read_saliency
from salign.data.reading.transforms import build_transform
from salign.experiment.store import StudyFolder
from salign.experiment.study import Study, expand
from salign.runs.analyse import analyse_run
from salign.runs.fit import fit
from salign.runs.predict import predict_batches
from salign.runs.run import Run
from salign.train.recipe import Recipe

WRITTEN = Path(__file__).parents[1] / "fixtures" / "earlier"
CLASSIFIER, NET = "classifier-514566d3", "maps-0858044f"
CELLS = {
    ("ce", -1, 1.0): ("ce-seed0-599375ff", "ce-seed1-8262d228"),
    ("cyborg", -1, 1.0): ("cyborg-seed0-234e24a7", "cyborg-seed1-2e647b11"),
    ("shuffled", -1, 1.0): ("shuffled-seed0-44ff56b2", "shuffled-seed1-a07783a1"),
    ("dilated@0.2", -1, 1.0): ("dilated-0.2-seed0-9a2a5b94", "dilated-0.2-seed1-fc4bf064"),
    ("machine", -1, 1.0): ("machine-seed0-23309eae", "machine-seed1-4038cfe0"),
    ("ce", 16, 1.0): ("ce-n16-seed0-4f343b92", "ce-n16-seed1-15f7ecf9"),
    ("cyborg", 16, 1.0): ("cyborg-n16-seed0-0a167e52", "cyborg-n16-seed1-5dea6a63"),
    ("cyborg", -1, 0.5): ("cyborg-maps50pc-seed0-c4b88870", "cyborg-maps50pc-seed1-64e34b97"),
}
"""Arm, images and annotated share -> run folders of the seeds 0 and 1, as that version named them."""


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """A copy that may be changed: its files are compared with `WRITTEN`."""
    return shutil.copytree(WRITTEN, tmp_path_factory.mktemp("moved") / "elsewhere")


def rounded(path):
    """The text with numbers to nine digits, the last ones being the machine's, and without plots and pictures."""
    text = path.read_bytes().decode()
    text = re.sub(r"<svg.*?</svg>|data:image/[^\"]*", "", text, flags=re.DOTALL)
    return re.sub(r"\d+\.\d+(e[-+]?\d+)?", lambda number: f"{float(number[0]):.9g}", text)


def same(written, now, text, tolerance):
    """Equal in the columns of text, near in those of numbers."""
    one, two = (
        pd.read_csv(path, dtype=dict.fromkeys(text, str), keep_default_na=False, na_values=[""])
        for path in (written, now)
    )
    pd.testing.assert_frame_equal(one, two, rtol=0, atol=tolerance)


def test_a_run_folder_keeps_its_name_so_that_nothing_is_trained_again(earlier):
    run = earlier / "runs" / CLASSIFIER
    assert "already done; nothing to train" in command("train", run / "recipe.yaml", "--out", earlier / "runs").out
    net = earlier / "runs" / NET
    done = command("saliency", "train", net / "recipe.yaml", "--out", earlier / "runs")
    assert "already done; nothing to train" in done.out


def test_the_cells_of_a_study_keep_their_folders(earlier):
    study = Study.read(earlier / "studies" / "earlier" / "study.yaml")
    folder, found = StudyFolder.of(study, earlier / "studies"), {}
    for cell in expand(study):
        found.setdefault((cell.arm, cell.images, cell.annotated), {})[cell.seed] = folder.run(cell).path.name
    assert found == {place: dict(enumerate(names)) for place, names in CELLS.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", [CLASSIFIER, NET])
def test_the_recipe_of_a_run_trains_the_same_weights_again(earlier, name, tmp_path):
    """Byte by byte on the machine that wrote them; another rounds otherwise, and two epochs do not make much of it."""
    run = fit(Recipe.read(earlier / "runs" / name / "recipe.yaml"), tmp_path, progress=False, say=lambda line: None)
    assert run.path.name == name
    weights, expected = (load_file(folder / "weights.safetensors") for folder in (run.path, WRITTEN / "runs" / name))
    assert weights.keys() == expected.keys()
    for key, values in expected.items():
        torch.testing.assert_close(weights[key], values, rtol=1e-3, atol=1e-4)
    metrics, then = (pd.read_csv(folder / "metrics.csv") for folder in (run.path, WRITTEN / "runs" / name))
    pd.testing.assert_frame_equal(metrics, then, rtol=1e-3)


def test_figures_of_a_run_are_computed_again_as_they_were(earlier):
    run = earlier / "runs" / CLASSIFIER
    (run / "evaluation.csv").unlink()
    command("evaluate", run)
    written = WRITTEN / "runs" / CLASSIFIER
    assert rounded(run / "model.json") == rounded(written / "model.json")
    before, now = (rounded(folder / "evaluation.csv").splitlines() for folder in (written, run))
    assert [line for line in now if line in before] == before  # 0.1 had fewer figures


def test_a_classifier_answers_as_it_did(earlier):
    run = Run.open(earlier / "runs" / CLASSIFIER)
    classifier = salign.load(run.path)
    manifest = salign.Manifest.read(earlier / "data" / "manifest.csv").select(["far"])
    dataset = SaliencyDataset(manifest, classifier.classes, build_transform(32))
    now = pd.concat(predict_batches(classifier, dataset, workers=0)).reset_index(drop=True)
    then = run.read_predictions("far", classifier.classes)[["id", "predicted", "logit_bar", "logit_ring", "prob_ring"]]
    pd.testing.assert_frame_equal(now[list(then)], then, rtol=0, atol=1e-4, check_dtype=False)


def test_an_analysis_comes_out_as_it_did(earlier):
    run, written = Run.open(earlier / "runs" / CLASSIFIER), WRITTEN / "runs" / CLASSIFIER / "analysis"
    (run.path / "analysis" / "done").unlink()
    analyse_run(run, images=8)
    assert (run.path / "analysis" / "done").read_bytes() == (written / "done").read_bytes()
    same(written / "agreement.csv", run.path / "analysis" / "agreement.csv", ("set", "id", "label", "predicted"), 1e-3)
    same(
        written / "reliance.csv",
        run.path / "analysis" / "reliance.csv",
        ("set", "kept", "fill", "metric", "note"),
        1e-3,
    )
    with np.load(written / "maps.npz") as then, np.load(run.path / "analysis" / "maps.npz") as now:
        assert then.files == now.files
        for name in then.files:
            if then[name].dtype.kind == "f":
                np.testing.assert_allclose(now[name], then[name], rtol=0, atol=2e-3)
            else:
                np.testing.assert_array_equal(now[name], then[name])


def test_pictures_of_a_run_of_that_time_are_made(earlier):
    run = earlier / "runs" / CLASSIFIER
    page = re.search(r"wrote (\S+)\.", command("explain", run, "--images", 3).out)
    data = Path(page[1]).read_text().partition('<script type="application/json">')[2].partition("</script>")[0]
    assert len(json.loads(data)["items"]) == 3 * len(Run(run).sets)


def test_a_net_draws_the_maps_that_its_agreement_was_measured_on(earlier):
    run, out = earlier / "runs" / NET, earlier / "drawn"
    command("saliency", "predict", run, earlier / "data" / "images", "--out", out, "--workers", 0)
    table = pd.read_csv(run / "agreement.csv").query("predictor == 'net'").set_index("id")
    assert len(table) == 27
    for name, measured in table["cc"].items():
        drawn = read_saliency(out / f"{name}.png").flatten()
        person = read_saliency(earlier / "data" / "maps" / f"{name}.png").flatten()
        assert torch.corrcoef(torch.stack([drawn, person]))[0, 1] == pytest.approx(measured, abs=1e-3)
    assert "centre" in command("saliency", "evaluate", run).out


def cells(page: Path) -> set[str]:
    """What stands in the tables of a report."""
    return set(re.findall(r"<td[^>]*>(.*?)</td>", rounded(page)))


LATER = ("worst_mean", "worst_sd", "ece_mean", "ece_sd", "worst class", "ECE")
"""Columns that the tables of a report did not always have."""


def without(text: str, column: str, separator: str) -> list[list[str]]:
    """The rows of a table without a column and without later ones, whatever lines are around it."""
    rows = [[cell.strip() for cell in line.split(separator)] for line in text.splitlines()]
    (titles,) = (row for row in rows if column in row)
    left_out = {k for k, title in enumerate(titles) if title in (column, *LATER)}
    return [[cell for k, cell in enumerate(row) if k not in left_out] if len(row) > 2 else row for row in rows]


def test_a_report_holds_the_figures_that_it_held(earlier):
    """But for p (Holm), which is since then adjusted over the arms that nobody asked about, and the page is another."""
    folder, written = earlier / "studies" / "earlier", WRITTEN / "studies" / "earlier"
    equal, adjusted = ("results.csv", "pairs.csv", "sets.csv"), ("table.csv", "table.md", "table.tex")
    for name in ("report.html", *equal, *adjusted):
        (folder / name).unlink()
    command("report", folder / "study.yaml", "--out", earlier / "studies", "--quiet")
    for name in equal:
        assert rounded(folder / name) == rounded(written / name), name
    for name, column, separator in zip(adjusted, ("p_holm", "p (Holm)", "p (Holm)"), ",|&", strict=True):
        new, old = (without(rounded(place / name), column, separator) for place in (folder, written))
        assert new == old, name
    lost = cells(written / "report.html") - cells(folder / "report.html")
    table = pd.read_csv(written / "table.csv")
    assert len(lost) <= table["p_holm"].notna().sum()
    assert all(re.fullmatch(r"[01]?\.\d+|&lt; \.001", cell) for cell in lost), lost
