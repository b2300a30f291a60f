"""What a user trains, saves and loads: the same figures after as before, and one clear error for a damaged folder."""

from __future__ import annotations

import json
import os
import pickle
import re
from pathlib import Path

import pytest
import torch

from salign.errors import SalignError
from salign.losses import LOSSES
from salign.models import Classifier, Model, Threshold
from salign.models.config import keep_threshold
from salign.types import Batch

CLASSES = ["benign", "malignant", "none"]


def small(**options: object) -> Classifier:
    return Classifier("test_resnet", CLASSES, **{"image_size": 64, **options})


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_normalisation_is_inside(images: torch.Tensor) -> None:
    classifier = small().eval()
    statistics = classifier.backbone.net.pretrained_cfg
    normal = torch.stack([(images[:, c] - statistics["mean"][c]) / statistics["std"][c] for c in range(3)], dim=1)
    with torch.inference_mode():
        expected = classifier.backbone.net(normal)
        assert torch.allclose(classifier(images).logits, expected, atol=1e-5)
        assert not torch.allclose(classifier.backbone.net(images), expected, atol=1e-3)


def test_the_seed_makes_the_weights_and_leaves_the_global_stream_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = small(seed=1), small(seed=1), small(seed=2)
    assert torch.equal(torch.rand(1), expected)
    name = "backbone.net.fc.weight"
    assert torch.equal(first.state_dict()[name], again.state_dict()[name])
    assert not torch.equal(first.state_dict()[name], other.state_dict()[name])


@pytest.mark.parametrize("classes", [[], ["one"], ["same", "same"]])
def test_classes_must_be_two_and_different(classes: list[str]) -> None:
    with pytest.raises(SalignError, match="at least two different classes"):
        Classifier("test_resnet", classes, image_size=64)


def test_options_of_the_network_reach_it_and_an_answer_is_the_highest_logit() -> None:
    assert small(args={"drop_rate": 0.37}).backbone.net.drop_rate == 0.37
    assert small().backbone.net.drop_rate == 0
    logits = torch.tensor([[0.1, 3.0, -1.0], [-5.0, -6.0, -4.0], [0.2, 0.1, 0.0]])
    assert small().answers(logits) == [CLASSES[1], CLASSES[2], CLASSES[0]]


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_saved_and_loaded_is_bit_identical(
    tmp_path: Path, images: torch.Tensor, memory_format: torch.memory_format
) -> None:
    classifier = small(output_stride=16, args={"drop_rate": 0.1}, seed=4).to(memory_format=memory_format)
    classifier.train()(images)  # moves the batch statistics
    loaded = Classifier.load(classifier.save(tmp_path / "run"))
    assert not loaded.training
    assert loaded.classes == tuple(CLASSES)
    assert loaded.image_size == (64, 64)
    assert loaded.config == classifier.config
    state, expected = loaded.state_dict(), classifier.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], expected[key]) for key in expected)
    asked = torch.tensor([0, 1, 2])
    classifier = classifier.eval().to(memory_format=torch.channels_last)  # what a loaded one is
    with torch.inference_mode():
        before, after = classifier(images), loaded(images)
    assert torch.equal(before.logits, after.logits)
    assert torch.equal(before.cam(asked), after.cam(asked))
    assert before.features.shape[2:] == (4, 4)
    assert sorted(file.name for file in (tmp_path / "run").iterdir()) == ["model.json", "weights.safetensors"]


def test_with_several_labels_each_class_is_a_yes_or_no_also_after_loading(tmp_path: Path) -> None:
    names = ["lung", "heart", "bone"]
    one, several = (Classifier("test_resnet", names, image_size=32, multi_label=flag) for flag in (False, True))
    logits = torch.tensor([[0.1, 2.0, 0.0], [-1.0, -0.1, -2.0]])
    assert (one.multi_label, one.answers(logits)) == (False, ["heart", "heart"])
    torch.testing.assert_close(one.probabilities(logits).sum(1), torch.ones(2))
    for model in (several, Classifier.load(several.save(tmp_path))):
        assert model.multi_label is True
        assert model.answers(logits) == ["heart;lung", ""]
        torch.testing.assert_close(model.probabilities(logits), 1 / (1 + (-logits).exp()))


def test_an_oblong_size_survives(tmp_path: Path) -> None:
    classifier = small(image_size=(64, 96))
    assert Classifier.load(classifier.save(tmp_path)).image_size == (64, 96)
    assert classifier.backbone.grid == (2, 3)


def test_a_failed_save_leaves_the_earlier_one_whole(
    tmp_path: Path, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = small(seed=1)
    earlier.save(tmp_path)
    kept = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def full(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        small(seed=2).save(tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == kept


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small().save(tmp_path / "run")


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[1, 2]",
        lambda text: text.replace("image_size", "image_sise"),
        lambda text: json.dumps({**json.loads(text), "surprise": 1}),
        lambda text: json.dumps({**json.loads(text), "image_size": 64}),
        lambda text: json.dumps({**json.loads(text), "image_size": [64]}),
    ],
    ids=["cut", "empty", "list", "missing key", "unknown key", "wrong type", "one side"],
)
def test_a_damaged_model_json_is_named(folder: Path, damage) -> None:
    path = folder / "model.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(SalignError, match=r"model\.json is damaged"):
        Classifier.load(folder)


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("image_size", [-1, 32], "image_size.0: Input should be greater than or equal to 1, got -1"),
        ("image_size", [10**9, 32], "image_size.0: Input should be less than or equal to 10000, got 1000000000"),
        ("image_size", [8000, 8000], "more than 16,777,216 pixels"),
        ("image_size", ["32", 32], "image_size.0: Input should be a valid integer, got '32'"),
        ("classes", "ab", "classes: Input should be a valid list, got 'ab'"),
        ("classes", ["a", 1], "classes.1: expected text, got 1"),
        ("classes", ["a", "a"], "expected at least two different classes"),
        ("backbone", 5, "backbone: expected text, got 5"),
        ("backbone", "local-dir:/etc", "unknown backbone 'local-dir:/etc'"),
        ("args", {"act_layer": "nope"}, "timm refuses to build test_resnet with {'act_layer': 'nope'}"),
        ("args", {"in_chans": 10**9}, "args: expected text, true, false, null and numbers from -10,000 to 10,000"),
        ("args", {"stem": [{"width": 10**9}]}, "args: expected text, true"),
        ("args", {"checkpoint_path": "/etc/passwd"}, "checkpoint_path is not for args"),
        ("output_stride", -3, "output_stride: Input should be greater than or equal to 1, got -3"),
        ("cam", "x", "cam: Input should be 'proved' or 'none', got 'x'"),
        ("multi_label", "yes", "multi_label: Input should be a valid boolean, got 'yes'"),
        ("weights", "imagenet", "weights: unknown key"),
        ("seed", 1, "seed: unknown key"),
    ],
)
def test_a_model_json_of_a_stranger_is_checked_field_by_field(folder: Path, field, value, complaint) -> None:
    """It may make no network that fills the memory, and name no weights to be fetched from elsewhere."""
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(SalignError, match=re.escape(complaint)):
        Classifier.load(folder)


GOOD = {"positive": "malignant", "probability": 0.1 + 0.2, "rule": "apcer5"}


@pytest.fixture
def two(tmp_path: Path) -> Path:
    return Classifier("test_resnet", ["malignant", "benign"], image_size=32).save(tmp_path / "two")


def test_a_threshold_is_saved_and_loaded_to_the_last_bit(two: Path) -> None:
    classifier = Classifier.load(two)
    assert classifier.threshold is None
    assert "threshold" not in json.loads((two / "model.json").read_text())
    classifier.threshold = Threshold(**GOOD)
    classifier.save(two)
    assert Classifier.load(two).threshold == Threshold(
        positive="malignant", probability=0.30000000000000004, rule="apcer5"
    )
    written = (two / "model.json").read_text()
    assert "0.30000000000000004" in written
    keep_threshold(two, Threshold(**GOOD))
    assert json.loads((two / "model.json").read_text()) == json.loads(written)


def test_the_class_at_the_threshold_is_that_of_the_positive_probability() -> None:
    threshold = Threshold(**GOOD)
    probabilities = torch.tensor([[0.3, 0.7], [0.1 + 0.2, 0.7], [0.9, 0.1]], dtype=torch.float64)
    assert threshold.answers(probabilities, ["malignant", "benign"]) == ["benign", "malignant", "malignant"]
    assert threshold.answers(probabilities.flip(1).numpy(), ["benign", "malignant"]) == [
        "benign", "malignant", "malignant",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("threshold", "complaint"),
    [
        ({**GOOD, "probability": 7.3}, "threshold.probability: Input should be less than or equal to 1.001, got 7.3"),
        ({**GOOD, "probability": -0.1}, "threshold.probability: Input should be greater than or equal to 0, got -0.1"),
        ({**GOOD, "probability": float("nan")}, "model.json is damaged"),
        ({**GOOD, "probability": "0.5"}, "threshold.probability: Input should be a valid number, got '0.5'"),
        ({**GOOD, "positive": "none"}, "threshold: its class 'none' is none of malignant, benign"),
        ({**GOOD, "rule": 5}, "threshold.rule: expected text, got 5"),
        ({**GOOD, "surprise": 1}, "threshold.surprise: unknown key"),
        ({"positive": "benign", "rule": "eer"}, "threshold.probability: Field required"),
        (0.5, "threshold"),
    ],
)
def test_a_damaged_threshold_is_refused(two: Path, threshold: object, complaint: str) -> None:
    path = two / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "threshold": threshold}))
    with pytest.raises(SalignError, match=re.escape(complaint)) as caught:
        Classifier.load(two)
    assert str(caught.value).startswith(f"{path} is damaged: ")


def test_a_threshold_is_one_of_two_classes_that_exclude_each_other(folder: Path, two: Path, tmp_path: Path) -> None:
    several = Classifier("test_resnet", ["malignant", "benign"], image_size=32, multi_label=True).save(tmp_path / "s")
    before = (folder / "model.json").read_bytes()
    for place, complaint in ((folder, "got 3"), (several, "got 2, of which an image may have several")):
        with pytest.raises(SalignError, match=f"expected two classes that exclude each other, {complaint}"):
            keep_threshold(place, Threshold(**GOOD))
    classifier = Classifier.load(two)
    classifier.threshold = Threshold(**{**GOOD, "positive": "none"})
    with pytest.raises(SalignError, match="its class 'none' is none of malignant, benign"):
        classifier.save(folder)
    assert (folder / "model.json").read_bytes() == before


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
def test_a_pipe_in_a_run_folder_is_not_waited_for(folder: Path, name) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(SalignError, match=f"{name} is a named pipe"):
        Classifier.load(folder)


def test_a_model_json_that_is_no_text_is_named(folder: Path) -> None:
    (folder / "model.json").write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(SalignError, match=r"model\.json is damaged"):
        Classifier.load(folder)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(SalignError, match=r"no model\.json there"):
        Classifier.load(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_weights_file_is_refused(folder: Path, share: float) -> None:
    path = folder / "weights.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(SalignError, match=r"weights\.safetensors is not a whole safetensors file"):
        Classifier.load(folder)


def test_a_pickle_in_the_place_of_the_weights_never_runs(folder: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (folder / "exploded",)

    (folder / "weights.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(SalignError, match="Pickled weights"):
        Classifier.load(folder)
    assert not (folder / "exploded").exists()


def test_missing_weights_are_named(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()
    with pytest.raises(SalignError, match=r"weights\.safetensors: no such weights file"):
        Classifier.load(folder)


def test_weights_of_another_network_are_refused(folder: Path, tmp_path: Path) -> None:
    other = Classifier("test_convnext", CLASSES, image_size=64).save(tmp_path / "other")
    (other / "weights.safetensors").replace(folder / "weights.safetensors")
    with pytest.raises(SalignError, match=r"does not fit .*model\.json: \d+ missing \(.{,400}$"):
        Classifier.load(folder)


def test_a_network_without_a_map_is_saved_trained_by_losses_that_need_none_and_loaded(tmp_path: Path) -> None:
    model = Classifier("test_vit", CLASSES, image_size=160, cam="none")
    images = torch.rand(3, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    again = Classifier.load(model.save(tmp_path))
    assert torch.equal(again(images).logits, model.eval()(images).logits)
    looked = torch.ones(3, dtype=torch.bool)
    batch = Batch(images, torch.arange(3), torch.rand(3, 1, 160, 160), looked, torch.arange(3))
    for kind in LOSSES.values():
        model.zero_grad()
        loss = kind()
        loss.teacher = lambda images: images.mean((2, 3))
        batch = loss.prepare(batch)
        if loss.needs & {"cam", "grad_cam"}:
            with pytest.raises(SalignError, match=r"cam = none|a linear head on the spatial mean"):
                loss(model(batch.images), batch)
        else:
            loss(model(batch.images), batch).total.backward()
            assert model.backbone.net.patch_embed.proj.weight.grad.abs().max() > 0


def test_a_second_look_normalises_by_its_own_batch_and_leaves_running_statistics(images: torch.Tensor) -> None:
    once, twice, changed = small().train(), small().train(), images * 0.2
    once(images)
    output = twice(images)
    assert output.again is not None
    second = output.again(changed).logits
    for name, value in once.named_buffers():
        assert torch.equal(value, twice.get_buffer(name)), name
    assert torch.equal(second, once(changed).logits)
    with pytest.raises(RuntimeError):
        output.again(torch.rand(1, 3, 64, 64).double())
    assert not torch.equal(running_variance(once), running_variance(twice))
    twice(changed)  # the statistics learn again, even after an error
    assert torch.equal(running_variance(once), running_variance(twice))


def running_variance(model: Classifier) -> torch.Tensor:
    return model.get_buffer("backbone.net.bn1.running_var")


def test_a_model_that_cannot_be_saved_is_none() -> None:
    with pytest.raises(TypeError, match="abstract method"):
        Model()  # type: ignore[abstract]
