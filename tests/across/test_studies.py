"""The studies in recipes/studies: their sets can be prepared, and every cell of theirs is a sound recipe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from command import salign, script, small
from salign.data.manifest import Manifest
from salign.experiment.study import Study, expand
from salign.runs.run import Run
from salign.train.prepare import prepare
from salign.train.recipe import resolved

FOLDER = Path(__file__).parents[2] / "recipes" / "studies"
pytestmark = pytest.mark.slow


def prepared(out: Path, *arguments: str) -> pd.DataFrame:
    script(FOLDER.parents[1] / "examples" / "studies" / "prepare.py", *arguments, out)
    return Manifest.read(out / "manifest.csv").table


def cells_are_sound(name: str, folder: Path, manifest: str = "manifest.csv") -> None:
    """Every arm, at its first seed, finds its images and maps."""
    study = Study.read(FOLDER / f"{name}.yaml", [f"recipe.data.manifest={folder / manifest}"])
    cells = expand(study)
    assert len({cell.key for cell in cells}) == len(cells) >= 9
    for data in {cell.recipe.data.model_dump_json(): cell.recipe.data for cell in cells if cell.seed == 0}.values():
        assert len(prepare(data).train) > 100
    assert {study.target, study.reference} <= set(study.recipe["data"]["test"])
    chosen_on = {split for split in study.recipe["data"]["test"] if split.startswith("val")}
    assert not chosen_on, "what settings were chosen on is not reported as a test"


@pytest.mark.long
def test_digits(tmp_path: Path) -> None:
    table = prepared(tmp_path / "digits", "digits")
    agrees = (table["label"] == table["decoy"]).groupby(table["split"]).mean()
    assert agrees[["train", "val", "test_iid"]].tolist() == [1, 1, 1]
    assert agrees[["val_ood", "test_ood"]].max() < 0.2
    cells_are_sound("digits", tmp_path / "digits")
    cells_are_sound("arena", tmp_path / "digits")
    cells_are_sound("arena_maps", tmp_path / "digits")


def test_nets_of_one_bit_share_two_steps_of_pretraining_per_set_and_seed(digits: Path) -> None:
    names = [f"datasets.{name}.data.manifest={digits}" for name in ("busi", "chest")]
    cells = [cell for cell in expand(Study.read(FOLDER / "binary.yaml", names)) if cell.seed in (0, 1)]
    prints: dict[str, set[str]] = {}
    for cell in cells:
        *stages, (last, _) = resolved(cell.recipe).items()
        kind = {"contrast": "contrasted", "distilled": "taught"}.get(cell.arm.removesuffix("_tuned"))
        assert [name for name, _ in stages] == ([f"{kind}_activations", kind] if kind else [])
        assert last == ""
        for name, recipe in stages:
            assert recipe.loss.target == ("contrast" if kind == "contrasted" else "teacher")
            assert recipe.model.args == {"binary_weights": not name.endswith("_activations")}
            assert (recipe.seed, recipe.train.epochs, recipe.train.batch_size) == (cell.seed, 12, 32)
            prints.setdefault(name, set()).add(recipe.fingerprint())
    assert {name: len(each) for name, each in prints.items()} == dict.fromkeys(
        ("taught_activations", "taught", "contrasted_activations", "contrasted"), 4
    )  # two sets and two seeds; probed and tuned nets share them


@pytest.mark.long
def test_complexity(tmp_path: Path) -> None:
    real = prepared(tmp_path / "d", "digits-clones")
    changes = [f"arms.order{k}.data.manifest={tmp_path / 'd' / f'order{k}' / 'manifest.csv'}" for k in (1, 2)]
    study = Study.read(
        FOLDER / "complexity.yaml", [f"recipe.data.manifest={tmp_path / 'd' / 'manifest.csv'}", *changes]
    )
    trained = {cell.arm: prepare(cell.recipe.data) for cell in expand(study) if cell.seed == 0}
    assert {arm: len(data.train) for arm, data in trained.items()} == {"real": 1000, "order2": 1000, "order1": 1000}
    held = {tuple(data.tests["test"].manifest.image_path(i).name for i in range(1000)) for data in trained.values()}
    assert len(held) == 1
    assert set(real["split"]) == {"train", "val", "test"}
    assert trained["order1"].train.labels.bincount().tolist() == [100] * 10


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        (
            "digits_machine",
            {
                "ce": [], "cyborg": [], "people10": [], "mixed10": ["net10"], "machine10": ["net10"],
                "mixed10_shuffled": ["net10"], "taught_cam10": ["teacher10"], "taught_rise10": ["teacher10"],
                "people5": [], "mixed5": ["net5"], "people25": [], "mixed25": ["net25"],
            },
        ),
        (
            "digits_machine_swap",
            {"ce": [], "all": [], "people10": [], "mixed10": ["net10"], "machine10": ["net10"], "shuffled": ["net10"]},
        ),
        (
            "busi_machine",
            {"ce": [], "cyborg": [], "people10": [], "mixed10": ["net10"], "mixed10_shuffled": ["net10"]},
        ),
        ("cxr_machine", {"ce": [], "cyborg": [], "mixed100": ["net"], "mixed100_shuffled": ["net"]}),
        (
            "busi_mentor",
            {"ce": [], "longer": [], "mentor": ["maps"], "reconstruction": ["image"], "shuffled_maps": ["shuffled"]},
        ),
        (
            "busi_mentor_imagenet",
            {
                "ce": [], "nothing": [], "longer": [], "mentor": ["maps"], "reconstruction": ["image"],
                "shuffled_maps": ["shuffled"],
            },
        ),
    ],
)  # fmt: skip
def test_the_arms_of_a_study_share_stages_that_follow_their_seed(
    name: str, stages: dict[str, list[str]], digits: Path
) -> None:
    """Nets keep the maps that people keep, and see all images whatever the limit of the classifiers."""
    study = Study.read(FOLDER / f"{name}.yaml", [f"recipe.data.manifest={digits}"])
    cells = [cell for cell in expand(study) if cell.seed in (0, 1)]
    found = {(cell.arm, cell.seed): resolved(cell.recipe) for cell in cells}
    assert {arm: [stage for stage in chain if stage] for (arm, _), chain in found.items()} == stages
    prints: dict[str, set[str]] = {}
    for (_, seed), chain in found.items():
        for stage, recipe in chain.items():
            if stage:
                assert (recipe.seed, recipe.data.seed, recipe.data.limit) == (seed, seed, None)
                assert (recipe.train.precision, recipe.train.memory_format) == ("float32", "channels_last")
                share = {"5": 0.05, "10": 0.1, "25": 0.25}.get(stage.removeprefix("net").removeprefix("teacher"))
                assert recipe.data.annotated == share
                prints.setdefault(stage, set()).add(recipe.fingerprint())
    assert all(len(each) == 2 for each in prints.values())


@pytest.mark.long
def test_bar(shared_data: Path, tmp_path: Path) -> None:
    """Without a net: the official test is whole, and boxes are of two classes alone."""
    table = prepared(tmp_path / "bar", "bar", str(shared_data / "bar_actions"))
    assert table["split"].value_counts().to_dict() == {"train": 1650, "test": 491, "val": 291, "val_ood": 163}
    assert table["official"].value_counts().to_dict() == {"train": 1941, "test": 654}
    boxed = table[table["saliency"] != ""]
    assert (len(boxed), set(boxed["label"])) == (200, {"climbing", "fishing"})
    people = prepared(tmp_path / "people", "stanford40", str(shared_data / "stanford40_boxes"))
    assert people.groupby("split")["label"].value_counts().groupby("split").unique().map(list).to_dict() == {
        "train": [60], "test": [25], "val": [5],
    }  # fmt: skip


@pytest.mark.long
def test_busi(shared_data: Path, tmp_path: Path) -> None:
    table = prepared(tmp_path / "busi", "busi", str(shared_data / "busi_ultrasound"))
    agrees = (table["label"] == table["shortcut"]).groupby(table["split"]).mean()
    assert agrees["train"] == pytest.approx(0.95, abs=0.03)
    assert agrees["test_reversed"] == agrees["val_reversed"] == 0
    assert table[table["split"] == "test_clean"]["shortcut"].isna().all()
    counts = table["split"].value_counts()
    assert counts[["test_iid", "test_random", "test_reversed", "test_clean"]].tolist() == [189] * 4
    cells_are_sound("busi", tmp_path / "busi")
    cells_are_sound("arena_busi", tmp_path / "busi")


@pytest.mark.long
def test_cxr_view(shared_data: Path, tmp_path: Path) -> None:
    table = prepared(tmp_path / "view", "cxr-view", str(shared_data / "cxr_pneumonia"))
    seen = table[table["split"].isin(["train", "val", "test_iid"])]
    assert (seen["label"].eq("pneumonia") == seen["view"].eq("AP")).all()
    target = table[table["split"] == "test_conflicting"]
    assert (target["label"].eq("pneumonia") == target["view"].eq("PA")).all()
    assert table[table["split"] == "train"]["saliency"].notna().sum() == 25
    cells_are_sound("cxr_view", tmp_path / "view")
    cells_are_sound("arena_cxr_view", tmp_path / "view")
    search = prepared(tmp_path / "search", "cxr-search", str(shared_data / "cxr_pneumonia"))
    assert search["id"].tolist() == table["id"].tolist()
    assert search.groupby("patient")["split"].nunique().max() == table.groupby("patient")["split"].nunique().max()
    maps = search[search["saliency"].notna()]["split"].value_counts()
    assert maps.to_dict() == {"train": 14, "val": 11}


@pytest.mark.long
def test_cxr_source(shared_data: Path, tmp_path: Path) -> None:
    table = prepared(tmp_path / "source", "cxr-source", str(shared_data / "cxr_pneumonia"))
    train = table[table["split"] == "train"]
    assert (train["label"].eq("pneumonia") == train["source"].ne("nih_chestxray14")).all()
    assert table[table["split"] == "test_iid"]["source"].unique().tolist() == ["nih_chestxray14"]
    foreign = train[train["label"] == "pneumonia"]["source"].iloc[0]
    roles = table[table["source"] == foreign].groupby("patient")["split"].nunique()
    assert roles.max() == 1, "a patient is in one split alone"
    cells_are_sound("cxr_source", tmp_path / "source")


@pytest.mark.long
def test_magnetic(shared_data: Path, tmp_path: Path) -> None:
    table = prepared(tmp_path / "magnetic", "magnetic", str(shared_data / "magnetic_tile"))
    exposure = table["exposure"].astype(int)
    assert exposure[table["split"].isin(["train", "val", "test_iid"])].min() >= 3
    assert exposure[table["split"].isin(["ood_dark_exposure", "val_dark"])].max() <= 2
    tiles = table.groupby("tile")["tile_split"].nunique()
    assert tiles.max() == 1
    cells_are_sound("magnetic", tmp_path / "magnetic")
    cells_are_sound("arena_magnetic", tmp_path / "magnetic")


@pytest.mark.parametrize(
    ("name", "trained", "arms"),
    [
        ("digits_noise", [60] * 10, 17),
        ("digits_tailed", [200, 129, 84, 54, 35, 23, 15, 10, 6, 4], 5),
    ],
)
def test_small_digits(name: str, trained: list[int], arms: int, tmp_path: Path) -> None:
    table = prepared(tmp_path / "set", "digits-small" if name == "digits_noise" else "digits-tailed")
    assert table[table["split"] == "train"]["label"].value_counts().sort_index().tolist() == trained
    assert table["id"].is_unique
    assert table[table["split"] == "test"]["label"].value_counts().tolist() == [60] * 10
    study = Study.read(FOLDER / f"{name}.yaml", [f"recipe.data.manifest={tmp_path / 'set' / 'manifest.csv'}"])
    cells = {cell.arm: cell.recipe for cell in expand(study) if cell.seed == 0}
    assert len(cells) == arms
    made = {arm: list(resolved(recipe)) for arm, recipe in cells.items()}
    source = "noise40" if name == "digits_noise" else "ce"
    folder = f"arm:{cells[source].name}-{cells[source].fingerprint()}"
    assert [arm for arm, chain in made.items() if chain[0] == folder][:2] != []
    assert made[study.guided] == [folder, ""]


def test_digits_that_the_colour_misleads(tmp_path: Path) -> None:
    table = prepared(tmp_path / "set", "digits-groups")
    assert table["split"].value_counts().to_dict() == {
        "train": 1000, "val": 1000, "test_iid": 700, "test_ood": 700, "val_ood": 700,
    }  # fmt: skip
    wrong = table["colour"] == "wrong"
    assert (wrong == (table["decoy"] != table["label"])).all()
    shares = wrong.groupby(table["split"]).mean()
    assert shares[["train", "val", "test_iid"]].between(0.07, 0.13).all()
    assert shares[["test_ood", "val_ood"]].between(0.86, 0.94).all()
    assert table[wrong].groupby(["split", "label"]).size().min() >= 2
    arms = {}
    for name in ("groups_digits", "digits_forget"):
        study = Study.read(FOLDER / f"{name}.yaml", [f"recipe.data.manifest={tmp_path / 'set' / 'manifest.csv'}"])
        arms[name] = {cell.arm: list(resolved(cell.recipe)) for cell in expand(study) if cell.seed == 0}
    assert set(arms["digits_forget"]) == {"ce", "swap", "shuffled"}
    chains = {arm: len(chain) for arm, chain in arms["groups_digits"].items()}
    assert {arm for arm, stages in chains.items() if stages == 2} == {"dfr:ce", "dfr:swap", "jtt"}
    assert arms["groups_digits"]["jtt"][0].startswith("arm:short-seed0")


def test_a_picture_has_the_images_of_a_study_beside_the_maps_of_its_arms(digits: Path, tmp_path: Path) -> None:
    recipe = small(digits, loss={"name": "ce"}, data={"limit": 20})
    del recipe["name"]
    content = {"name": "two", "target": "test_ood", "recipe": recipe, "grids": [{"arms": ["ce", "swap"], "seeds": 1}]}
    source = tmp_path / "two.yaml"
    source.write_text(yaml.safe_dump(content))
    salign("experiment", source, "--out", tmp_path, "--workers", 1, "--quiet")
    shown = tmp_path / "two.png"
    drawing = FOLDER.parents[1] / "examples" / "studies" / "side_by_side.py"
    words = script(drawing, source, shown, "--arm", "swap", "--arm", "ce", "--out", tmp_path, "--images", 2)
    runs = {arm: next((tmp_path / "two" / "runs").glob(f"{arm}-*")) for arm in ("swap", "ce")}
    answers = {arm: Run.open(run).predictions("test_ood")["predicted"] for arm, run in runs.items()}
    assert words.splitlines()[:-1] == [f"{arm}: {answers[arm][row]}" for row in (0, 1) for arm in ("swap", "ce")]
    picture = np.asarray(Image.open(shown).convert("RGB"))
    assert picture.shape == (2 * 128 + 8, 3 * 128 + 2 * 8, 3)
    assert (picture[:, 128:136] == 255).all()
    assert (picture[:128, :128] != picture[:128, 136:264]).any()
