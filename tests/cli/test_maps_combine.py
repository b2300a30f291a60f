"""Several people's maps become one, and coarser ones, in manifests that are ready to train with."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from salign.annotations.combine import Person, weights_by_answers
from salign.cli import maps_combine
from salign.data.manifest import Manifest, ManifestError
from salign.data.manifest.file_names import parts_of_people
from salign.data.manifest.text_table import for_spreadsheets, write_table
from salign.data.reading.image import read_saliency
from salign.errors import SalignError
from salign.evaluate.annotators import ceiling
from salign.maps.aggregate import AGGREGATES, accuracy_weights, agreement_weights, overlap, weighted
from salign.maps.files import write_map
from salign.maps.granularity import GRAINS, coarsen
from salign.maps.smooth import smooth

PEOPLE = ("anna", "ben", "cy")
SEEN = {"a": PEOPLE, "b": PEOPLE, "c": ("ben",), "d": ()}
"""Who has a map of which image; nobody looked at the last."""


def drawn(image, person):
    generator = torch.Generator().manual_seed(10 * ord(image) + PEOPLE.index(person))
    values = torch.zeros(20, 30)
    top, left = torch.randint(2, 9, (2,), generator=generator).tolist()
    values[top : top + 8, left : left + 12] = 1
    values[top + 3, left + 4] = 0
    return values


@pytest.fixture
def run():
    app = typer.Typer()
    app.command("aggregate")(maps_combine.aggregate)
    app.command("granularity")(maps_combine.granularity)

    def invoke(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output

    return invoke


@pytest.fixture
def study(tmp_path):
    rows = []
    for image, people in SEEN.items():
        path = tmp_path / "images" / f"{image}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(path)
        row = {"id": image, "path": f"images/{image}.png", "label": "x" if image < "c" else "y", "split": "train"}
        for person in PEOPLE:
            row[f"saliency_{person}"] = ""
            if person in people:
                row[f"saliency_{person}"] = f"maps/{person}/{image}.png"
                write_map(tmp_path / "maps" / person / f"{image}.png", drawn(image, person))
        rows.append(row | {"saliency": row["saliency_anna"], "site": "k"})
    pd.DataFrame(rows).to_csv(tmp_path / "manifest.csv", index=False)
    return tmp_path


def map_of(manifest, i):
    return read_saliency(manifest.saliency_path(i))


def stack(image):
    return torch.stack([drawn(image, person) for person in SEEN[image]])


@pytest.mark.parametrize("method", AGGREGATES)
def test_methods(study, run, method):
    before = {path: path.read_bytes() for path in study.rglob("*.png")}
    printed = run("aggregate", study / "manifest.csv", "--method", method)
    made = Manifest.read(study / f"manifest-{method}.csv")
    assert made.table["id"].tolist() == list(SEEN)
    assert made.table["site"].tolist() == ["k"] * 4
    assert made.table["provenance"].fillna("").tolist() == ["human:anna+ben+cy"] * 2 + ["human:ben", ""]
    assert made.saliency_path(3) is None
    by_agreement = torch.stack([agreement_weights(stack(image)) for image in "ab"]).mean(0)
    for i, image in enumerate("ab"):
        expected = weighted(stack(image), by_agreement) if method == "weighted" else AGGREGATES[method](stack(image))
        torch.testing.assert_close(map_of(made, i), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(map_of(made, 2), drawn("c", "ben"), atol=1e-4, rtol=0)  # of one, STAPLE is all but sure
    assert Image.open(made.saliency_path(0)).mode == "I;16"
    assert {path: path.read_bytes() for path in before} == before
    leave_one_out = [ceiling(stack(image).double(), overlap) for image in "ab"]
    assert printed.splitlines()[-2].endswith(f" {np.mean(leave_one_out):.3f}")


def test_smoothing_in_pixels_and_degrees(study, run):
    run("aggregate", study / "manifest.csv", "--sigma", 2, "--out", study / "pixels.csv")
    run("aggregate", study / "manifest.csv", "--degrees", 0.5, "--per-degree", 4, "--out", study / "degrees.csv")
    expected = smooth(AGGREGATES["mean"](stack("a")), 2)
    for name in ("pixels", "degrees"):
        torch.testing.assert_close(map_of(Manifest.read(study / f"{name}.csv"), 0), expected, atol=1e-5, rtol=0)


def test_weights_as_given_and_by_answers(study, run):
    given = ("--weight", "anna=1", "--weight", "ben=0", "--weight", "cy=3")
    printed = run("aggregate", study / "manifest.csv", "--method", "weighted", *given)
    expected = weighted(stack("a"), [1, 0, 3])
    torch.testing.assert_close(map_of(Manifest.read(study / "manifest-weighted.csv"), 0), expected, atol=1e-5, rtol=0)
    assert [line.split()[-1] for line in printed.splitlines()[1:4]] == ["1.000", "0.000", "3.000"]
    (study / "annotations.csv").write_text(
        "annotator,answer,right\n" + "anna,x,True\n" * 9 + "anna,x,False\nanna,x,\nben,x,False\n" + "cy,x,True\n" * 3
    )
    run("aggregate", study / "manifest.csv", "--method", "weighted", "--answers", study / "annotations.csv",
        "--out", study / "answers.csv")  # fmt: skip
    expected = weighted(stack("a"), accuracy_weights([9, 0, 3], [10, 1, 3]))
    torch.testing.assert_close(map_of(Manifest.read(study / "answers.csv"), 0), expected, atol=1e-5, rtol=0)


def weights_of(tmp_path, names, answers, people=None):
    """Weights of the columns that an export makes for these names, by answers of people: name to its verdicts."""
    rows = [(name, verdict) for name, verdicts in answers.items() for verdict in verdicts]
    path = tmp_path / "annotations.csv"
    write_table(for_spreadsheets(pd.DataFrame(rows, columns=["annotator", "right"])), path)
    parts = people or parts_of_people(names)
    weights = weights_by_answers(path, [Person(f"saliency_{part}") for part in parts.values()], 2)
    return {name: weights[f"saliency_{part}"] for name, part in parts.items()}


RIGHT, WRONG = [True] * 6, [False] * 6
GOOD = float(accuracy_weights([6], [6])[0])


def test_answers_of_somebody_else_whose_name_looks_alike_do_not_count(tmp_path):
    weights = weights_of(tmp_path, ["M\xfcller", "Schmidt"], {"M\xfcller": RIGHT, "M\xf6ller": WRONG, "Schmidt": RIGHT})
    assert weights == {"M\xfcller": GOOD, "Schmidt": GOOD}
    assert GOOD == 0.375
    with pytest.raises(SalignError, match="no answers of the person behind the column 'saliency_M_ller-a7842989'"):
        weights_of(tmp_path, ["M\xfcller"], {"M\xf6ller": WRONG})


@pytest.mark.parametrize(
    "names",
    [("M\xfcller", "M\xf6ller"), ("a b", "a_b"), ("Ann", "ann"), ("all", "a.jpg"), ("=1+1", "_1_1"), ("\xfc", "\xf6")],
)
def test_names_that_look_alike_get_their_own_weights(tmp_path, names):
    assert weights_of(tmp_path, names, dict(zip(names, (RIGHT, WRONG), strict=True))) == dict(
        zip(names, (GOOD, 0), strict=True)
    )


def test_a_column_of_ones_own_making_is_met_by_the_only_name_that_is_alike(tmp_path):
    own = {"Ann B.": "Ann_B"}
    assert weights_of(tmp_path, own, {"Ann B.": RIGHT}, own) == {"Ann B.": GOOD}
    with pytest.raises(SalignError, match="no answers of the person behind the column 'saliency_Ann_B'"):
        weights_of(tmp_path, own, {"Ann B.": RIGHT, "Ann B": WRONG}, own)


def test_a_folder_per_person(study, run):
    """The manifest knows nothing of the maps; the folder says whose they are."""
    table = pd.read_csv(study / "manifest.csv")[["id", "path", "label", "split"]].assign(saliency="")
    table.to_csv(study / "bare.csv", index=False)
    printed = run("aggregate", study / "bare.csv", "--maps", study / "maps", "--method", "union")
    made = Manifest.read(study / "bare-union.csv")
    torch.testing.assert_close(map_of(made, 1), AGGREGATES["union"](stack("b")))
    assert [line.split()[:2] for line in printed.splitlines()[1:4]] == [["anna", "2"], ["ben", "3"], ["cy", "2"]]
    write_map(study / "maps" / "anna" / "stranger.png", torch.zeros(20, 30))
    with pytest.raises(ManifestError, match=r"anna/stranger\.png: no image of this name"):
        run("aggregate", study / "bare.csv", "--maps", study / "maps", "--out", study / "again.csv")


def test_some_columns(study, run):
    run("aggregate", study / "manifest.csv", "--column", "saliency_anna", "--column", "saliency_cy")
    expected = stack("a")[[0, 2]].mean(0)
    torch.testing.assert_close(map_of(Manifest.read(study / "manifest-mean.csv"), 0), expected, atol=1e-5, rtol=0)


def test_a_machine_that_had_a_part_is_named(study, run):
    table = pd.read_csv(study / "manifest.csv", dtype=str)
    whose = ["model:net 1a2b", "human:Cy Young", "", ""]
    table.assign(saliency_cy_provenance=whose, masks=table["saliency"]).to_csv(study / "manifest.csv", index=False)
    run("aggregate", study / "manifest.csv")
    made = Manifest.read(study / "manifest-mean.csv")
    said = ["model:net 1a2b with human:anna+ben", "human:anna+ben+cy", "human:ben", ""]
    assert made.table["provenance"].fillna("").tolist() == said
    assert made.makers == (2, 1, 0)
    run(
        "aggregate", study / "manifest.csv", "--column", "masks", "--column", "saliency_anna", "--out", study / "of.csv"
    )
    assert Manifest.read(study / "of.csv").makers == (0, 0, 2)  # nobody knows who made the masks


@pytest.mark.parametrize("grain", GRAINS)
def test_grains(study, run, grain):
    run("granularity", study / "manifest.csv", "--grain", grain, "--column", "saliency_ben")
    made = Manifest.read(study / f"manifest-{grain}.csv")
    for i, image in enumerate("abc"):
        torch.testing.assert_close(map_of(made, i), coarsen(drawn(image, "ben"), grain))
    assert made.saliency_path(3) is None


def test_one_box_around_everything(study, run):
    run("aggregate", study / "manifest.csv", "--method", "union")
    run("granularity", study / "manifest-union.csv", "--grain", "boundary", "--together", "--out", study / "box.csv")
    expected = coarsen(AGGREGATES["union"](stack("a")), "boundary", together=True)
    torch.testing.assert_close(map_of(Manifest.read(study / "box.csv"), 0), expected)


def test_a_manifest_elsewhere(study, run, tmp_path_factory):
    place = tmp_path_factory.mktemp("elsewhere")
    printed = run("granularity", study / "manifest.csv", "--grain", "area", "--out", place / "area.csv")
    assert "--root" not in printed
    made = Manifest.read(place / "area.csv")
    torch.testing.assert_close(map_of(made, 0), coarsen(drawn("a", "anna"), "area"))
    assert made.image_path(0) == study / "images" / "a.png"


def test_all_maps_at_fault_are_named_and_nothing_is_written(study, run):
    (study / "maps" / "ben" / "a.png").write_bytes(b"broken")
    write_map(study / "maps" / "cy" / "b.png", torch.zeros(10, 15))
    with pytest.raises(ManifestError) as caught:
        run("aggregate", study / "manifest.csv")
    assert [fault.row for fault in caught.value.faults] == [2, 3]
    assert "maps of one size, got 15 x 10, 30 x 20" in str(caught.value)
    assert not list(study.glob("manifest-mean*"))
    assert not list(study.glob(".*"))


def test_nothing_is_replaced_unasked_and_what_people_made_never(study, run):
    run("granularity", study / "manifest.csv", "--grain", "area")
    with pytest.raises(SalignError, match="have it replaced"):
        run("granularity", study / "manifest.csv", "--grain", "area")
    run("granularity", study / "manifest.csv", "--grain", "area", "--column", "saliency_cy", "--overwrite")
    torch.testing.assert_close(map_of(Manifest.read(study / "manifest-area.csv"), 0), coarsen(drawn("a", "cy"), "area"))
    for name in ("maps.csv", "images.csv", "manifest.csv"):
        with pytest.raises(SalignError, match="give another name"):
            run("granularity", study / "manifest.csv", "--grain", "area", "--out", study / name, "--overwrite")
    (study / "notes").mkdir()
    (study / "notes" / "important.txt").write_text("x")
    with pytest.raises(SalignError, match="something else than maps"):
        run("granularity", study / "manifest.csv", "--grain", "area", "--out", study / "notes.csv", "--overwrite")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["aggregate", "--method", "median"], "got 'median'"),
        (["aggregate", "--column", "saliency_dee"], "no column 'saliency_dee'; did you mean"),
        (["aggregate", "--weight", "anna=1"], "weights are for --method weighted"),
        (["aggregate", "--method", "weighted", "--weight", "dee=1"], "WHO one of anna, ben, cy"),
        (["aggregate", "--method", "weighted", "--weight", "anna=much"], "'much' is no number"),
        (["aggregate", "--method", "weighted", "--weight", "anna=1"], "none for ben, cy"),
        (["aggregate", "--degrees", "1"], "--degrees needs --per-degree"),
        (["aggregate", "--sigma", "-1"], "^sigma: expected a number of 0 or more, got -1.0"),
        (["aggregate", "--out", "x.txt"], "expected a manifest"),
        (["granularity", "--grain", "fine"], "grain: expected boundary, area or features, got 'fine'"),
        (["granularity", "--grain", "area", "--together"], "--together is for"),
        (["granularity", "--grain", "area", "--column", "label"], "no column 'label'"),
    ],
)
def test_mistakes_are_explained(study, run, arguments, complaint):
    with pytest.raises(SalignError, match=complaint):
        run(arguments[0], study / "manifest.csv", *arguments[1:])


def test_answers_that_do_not_say_enough(study, run):
    options = ("--method", "weighted", "--answers", study / "annotations.csv")
    (study / "annotations.csv").write_text("annotator,right\nanna,True\nben,maybe\n")
    with pytest.raises(ManifestError, match="row 3, right: expected true, false or nothing, got 'maybe'"):
        run("aggregate", study / "manifest.csv", *options)
    (study / "annotations.csv").write_text("annotator,right\nanna,True\nben,\n")
    with pytest.raises(SalignError, match="no answers of the person behind the column 'saliency_cy'"):
        run("aggregate", study / "manifest.csv", *options)


def test_a_manifest_without_people(study, run):
    table = pd.read_csv(study / "manifest.csv")[["id", "path", "label", "split", "saliency"]]
    table.to_csv(study / "bare.csv", index=False)
    with pytest.raises(SalignError, match="no column saliency_<who>"):
        run("aggregate", study / "bare.csv")
