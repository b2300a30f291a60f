from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from huggingface_hub.errors import HfHubHTTPError

from command import salign
from salign.data.manifest import Manifest
from salign.errors import SalignError
from salign.models import load
from salign.readers import read_yaml
from salign.runs.export import describe_network
from salign.runs.publish import publish
from salign.runs.run import Run

GIVEN = {
    "README.md", "data-card.md", "weights.safetensors", "model.json", "environment.json", "evaluation.csv",
    "metrics.csv", "recipe.yaml",
}  # fmt: skip


class Hub:
    """The part of `HfApi` that is used; it keeps what is sent."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure, self.made, self.sent = failure, None, {}

    def create_repo(self, name: str, *, private: bool, exist_ok: bool) -> str:
        if self.failure:
            raise self.failure
        self.made = (name, private, exist_ok)
        return f"https://hub.example/{name}"

    def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> None:
        assert repo_id == self.made[0]
        self.message = commit_message
        files = (path for path in Path(folder_path).rglob("*") if path.is_file())
        self.sent = {str(path.relative_to(folder_path)): path.read_bytes() for path in files}


@pytest.fixture
def run(trained, tmp_path):
    path = shutil.copytree(trained, tmp_path / "run")
    shutil.rmtree(path / "export", ignore_errors=True)
    return Run.open(path)


def test_a_folder_gets_what_a_stranger_needs_and_no_image_or_place(run, tmp_path, digits):
    (run.path / "export").mkdir()
    (run.path / "export" / "model.onnx").write_bytes(b"graph")
    ended = salign("publish", run.path, "--to", tmp_path / "out" / "given")
    folder = tmp_path / "out" / "given"
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert names == GIVEN | {"export/model.onnx"}
    assert f"wrote {folder}" in ended.out
    assert load(folder).classes == ("1", "7")
    assert read_yaml(folder / "recipe.yaml")["data"]["manifest"] == "manifest.csv"
    for name in names - {"weights.safetensors"}:
        assert str(digits.parent).encode() not in (folder / name).read_bytes()
    assert [path.name for path in folder.parent.iterdir()] == ["given"]
    with pytest.raises(SalignError, match="holds files already, and nothing is written over"):
        publish(run, str(folder))


def test_what_was_given_away_predicts_and_says_what_it_is_to_all_else(run, tmp_path, digits):
    publish(run, str(tmp_path / "given"), say=lambda line: None)
    image = Manifest.read(digits).image_path(0)
    (tmp_path / "photos").mkdir()
    shutil.copy(image, tmp_path / "photos")
    told = salign("predict", tmp_path / "given", tmp_path / "photos", "--out", tmp_path / "answers.csv")
    assert told.last == f"wrote {tmp_path / 'answers.csv'} (1 images). Next: open it"
    for command in ("explain", "evaluate", "analyse", "export"):
        refused = salign(command, tmp_path / "given", code=2).err
        assert "given was given away by salign publish, without the images and answers that this needs" in refused


def test_whose_maps_a_run_learned_from_stays_unsaid(trained, tmp_path, digits):
    """As in a study with the arm `maps:saliency_Ann`: the column stands in the recipe, the cards and the run's name."""
    path = shutil.copytree(trained, tmp_path / "maps-saliency_Ann-seed0-12345678")
    table = pd.read_csv(digits, dtype=str)
    table.assign(saliency_Ann=table["saliency"]).to_csv(tmp_path / "named.csv", index=False)
    recipe = read_yaml(path / "recipe.yaml")
    recipe["data"] |= {
        "manifest": str(tmp_path / "named.csv"),
        "root": str(digits.parent),
        "map_column": "saliency_Ann",
    }
    (path / "recipe.yaml").write_text(yaml.safe_dump(recipe | {"name": "maps-saliency_Ann-seed0"}))
    shutil.rmtree(path / "export", ignore_errors=True)
    (path / "export").mkdir()
    description = describe_network(Run.open(path), load(path), path / "model.json", pixels="any", precision="float32")
    (path / "export" / "model.onnx.json").write_text(json.dumps(description))
    publish(Run.open(path), str(tmp_path / "given"))
    files = [file for file in (tmp_path / "given").rglob("*.*") if file.suffix != ".safetensors"]
    texts = {file.name: file.read_text() for file in files}
    assert set(texts) == GIVEN - {"weights.safetensors"} | {"model.onnx.json"}
    assert {name for name, text in texts.items() if "Ann" in text} == set()
    assert "Maps were those of the column saliency_annotator." in texts["data-card.md"]
    public = read_yaml(tmp_path / "given" / "recipe.yaml")
    assert (public["name"], public["data"]["map_column"]) == ("maps-saliency_annotator-seed0", "saliency_annotator")
    assert description["run"] == "maps-saliency_annotator-seed0-12345678"
    hub = Hub()
    publish(Run.open(path), "hf:ann/ultrasound", api=hub)
    assert hub.message == "salign publish maps-saliency_annotator-seed0-12345678"


@pytest.mark.parametrize("public", [False, True])
def test_the_hub_gets_the_same(run, public):
    hub = Hub()
    where = publish(run, "hf:ann/ultrasound", public=public, api=hub)
    assert hub.made == ("ann/ultrasound", not public, True)
    assert set(hub.sent) == GIVEN
    assert hub.sent["weights.safetensors"] == (run.path / "weights.safetensors").read_bytes()
    assert where == "https://hub.example/ann/ultrasound"


def test_nothing_is_sent_unasked(run, monkeypatch):
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: pytest.fail("the hub was asked"))
    ended = salign("publish", run.path, "--to", "hf:ann/ultrasound")
    assert "  weights.safetensors  " in ended.out
    assert "Nothing was sent. These files would go to ann/ultrasound, which its owner alone would see" in ended.out
    hub = Hub()
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: hub)
    salign("publish", run.path, "--to", "hf:ann/ultrasound", "--yes")
    assert set(hub.sent) == GIVEN


@pytest.mark.parametrize("to", ["hf:ultrasound", "hf:ann/", "hf:a/b/c"])
def test_a_name_that_no_repository_has(run, to):
    with pytest.raises(SalignError, match="expected a folder or hf:OWNER/NAME"):
        publish(run, to, api=Hub())


@pytest.mark.parametrize("error", [OSError("no network"), ValueError("Repo id is bad")])
def test_a_hub_that_refuses_is_one_message(run, error):
    with pytest.raises(SalignError, match=f"did not take ann/x: {error}. Log in by `hf auth login`"):
        publish(run, "hf:ann/x", api=Hub(error))
    assert issubclass(HfHubHTTPError, OSError)
