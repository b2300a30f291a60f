from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from salign.data.controls import BY_SHARE, CONTROLS
from salign.errors import SalignError
from salign.experiment.arms import PLAIN, arm_changes, controls_among, times
from salign.experiment.store import StudyFolder
from salign.experiment.study import ALL_IMAGES, Study, expand
from salign.train.recipe import resolved


def content(manifest: Path, **changes: Any) -> dict[str, Any]:
    return {
        "name": "small",
        "recipe": {"data": {"manifest": str(manifest), "test": ["test_iid", "test_ood"]}},
        "arms": {"cyborg": {"loss": {"name": "cyborg", "alpha": 0.1}}},
        "target": "test_ood",
        "grids": [{"arms": ["ce", "cyborg", "shuffled"], "seeds": 2}],
        **changes,
    }


def test_a_study_is_the_union_of_its_grids(digits: Path) -> None:
    grids = [
        {"arms": ["ce", "cyborg"], "seeds": 3},
        {"arms": ["cyborg", "alpha@0.5"], "seeds": [1, 7], "images": [50, None], "annotated": [0.1, 1.0]},
    ]
    cells = expand(Study.build(content(digits, grids=grids)))
    places = [cell.key[2:] for cell in cells]
    assert len(set(places)) == len(places) == 3 * 2 + 2 * 2 * 2 * 2 - 1  # cyborg, seed 1, everything, stands in both
    assert ("cyborg", 50, 0.1, 7) in places
    assert ("ce", ALL_IMAGES, 1.0, 2) in places
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells)


def test_the_controls_of_an_arm_differ_from_it_in_their_maps_alone() -> None:
    own = {
        "cyborg": {"loss": {"name": "cyborg", "alpha": 0.1}},
        "copy": {"loss": {"name": "cyborg", "alpha": 0.1}, "data": {"maps": "centre"}},
        "other": {"loss": {"name": "cyborg", "alpha": 0.2}, "data": {"maps": "centre"}},
        "column": {"loss": {"name": "cyborg", "alpha": 0.1}, "data": {"maps": "centre", "map_column": "mask"}},
    }
    names = [
        "ce", "cyborg", "shuffled", "shuffled@1", "shuffled@0.5", "dilated@0.1", "boxes", "blobs", "swap@3",
        "shuffled_within:swap@3", "inverted:swap", "maps:mask", *own,
    ]  # fmt: skip
    found = {arm: controls_among(names, arm, guided="cyborg", own=own) for arm in names}
    assert {arm: controls for arm, controls in found.items() if controls} == {
        "cyborg": ["shuffled", "shuffled@1", "blobs", "copy"],
        "swap@3": ["shuffled_within:swap@3"],
        "maps:mask": ["column"],
    }


def test_several_labels_per_image_are_refused(digits: Path) -> None:
    study = Study.build(content(digits, datasets={"tags": {"data": {"multi_label": True}}}, controls=[]))
    with pytest.raises(SalignError, match=r"small, ce-seed0: .*one class per image.*data\.multi_label.*salign train"):
        expand(study)


def test_the_arms_of_a_pair_share_seed_data_and_number_format(digits: Path) -> None:
    cells = expand(Study.build(content(digits, grids=[{"arms": ["ce", "cyborg", "shuffled"], "images": [60]}])))
    for seed in range(5):
        ours = [cell.recipe for cell in cells if cell.seed == seed]
        assert len(ours) == 3
        assert {(recipe.seed, recipe.data.seed, recipe.data.limit) for recipe in ours} == {(seed, seed, 60)}
        assert {(recipe.train.precision, recipe.train.memory_format) for recipe in ours} == {
            ("float32", "channels_last")
        }
        without = [recipe.model_copy(update={"name": "", "loss": None}) for recipe in ours]
        assert without[0] == without[1]
        assert without[2].data.maps == "shuffled"


def test_two_ways_to_say_the_same_are_run_once(digits: Path) -> None:
    grids = [{"arms": ["cyborg", "alpha@0.1", "alpha@0.3"], "seeds": 1}, {"arms": ["ce"], "images": [70], "seeds": 1}]
    grids.append({"arms": ["ce_times@7"], "images": [10], "seeds": 1})
    grids.append({"arms": ["shuffled", "shuffled@1", "shuffled@0.5", "shuffled@5e-1"], "seeds": 1})
    cells = {(cell.arm, cell.images): cell.recipe for cell in expand(Study.build(content(digits, grids=grids)))}
    assert cells["cyborg", ALL_IMAGES] == cells["alpha@0.1", ALL_IMAGES] != cells["alpha@0.3", ALL_IMAGES]
    assert cells["ce", 70] == cells["ce_times@7", 10]
    assert cells["shuffled", ALL_IMAGES] == cells["shuffled@1", ALL_IMAGES] != cells["shuffled@0.5", ALL_IMAGES]
    assert cells["shuffled@0.5", ALL_IMAGES] == cells["shuffled@5e-1", ALL_IMAGES]


def test_settings_in_another_order_are_the_same(digits: Path) -> None:
    arms = {
        "one": {"loss": {"name": "cyborg", "alpha": 0.1}, "train": {"epochs": 3, "lr": 0.1}},
        "two": {"train": {"lr": 0.1, "epochs": 3}, "loss": {"alpha": 0.1, "name": "cyborg"}},
    }
    study = content(digits, arms=arms, guided="one", grids=[{"arms": ["two", "one"], "seeds": 1}])
    two, one = expand(Study.build(study))
    assert (two.arm, one.arm) == ("two", "one")
    assert two.recipe == one.recipe
    assert two.recipe.name == "two-seed0"


def test_the_seed_stands_in_the_paths_of_manifest_and_weights(digits: Path) -> None:
    seeded = {
        "data": {"manifest": str(digits).replace("manifest", "{seed}"), "test": ["test_ood"]},
        "model": {"weights": "nets/{seed}/of-{seed}.safetensors"},
    }
    (digits.parent / "7.csv").write_bytes(digits.read_bytes())
    (cell,) = expand(Study.build(content(digits, recipe=seeded, grids=[{"arms": ["ce"], "seeds": [7]}])))
    assert cell.recipe.data.manifest == str(digits.parent / "7.csv")
    assert cell.recipe.model.weights == "nets/7/of-7.safetensors"


def test_controls_copy_the_guided_arm() -> None:
    own = {"cyborg": {"loss": {"name": "cyborg", "alpha": 0.1}}}
    for control in CONTROLS:
        if control != "own":
            changes = arm_changes(control, guided="cyborg", own=own)
            assert changes == {"loss": {"name": "cyborg", "alpha": 0.1}, "data": {"maps": control}}
    for control in BY_SHARE:
        changes = arm_changes(f"{control}@0.250", guided="cyborg", own=own)
        assert changes == {"loss": {"name": "cyborg", "alpha": 0.1}, "data": {"maps": f"{control}@0.25"}}
        changes = arm_changes(f"{control}@0.1:energy@10", guided="cyborg", own=own)
        assert changes == {"loss": {"name": "energy", "weight": 10.0}, "data": {"maps": f"{control}@0.1"}}
    assert arm_changes("maps:mask_lung", guided="cyborg", own=own)["data"] == {"map_column": "mask_lung"}
    assert arm_changes("alpha@0.3", guided="cyborg", own=own) == {"loss": {"name": "cyborg", "alpha": 0.3}}
    assert arm_changes("blur", guided="cyborg", own=own)["data"] == {"blur_outside": [2, 4, 6, 8, 10, 12, 14, 16]}
    assert arm_changes("swap_outside@0.5", guided="cyborg", own=own) == {
        "loss": {"name": "ce"},
        "data": {"swap_outside": 0.5},
    }
    assert arm_changes("mixed_same", guided="cyborg", own=own) == {
        "loss": {"name": "ce"},
        "steps": [{"name": "swap", "lender": "same_class", "paint_over": True}],
    }
    assert arm_changes("probe", guided="cyborg", own=own) == {"loss": {"name": "ce"}, "train": {"trainable": "head"}}
    assert arm_changes("energy", guided="cyborg", own=own) == {"loss": {"name": "energy"}}
    assert arm_changes("rrr@1e-3", guided="rrr@1e-3", own=own) == {"loss": {"name": "rrr", "weight": 0.001}}
    assert arm_changes("inverted:energy@10", guided="cyborg", own=own) == {
        "loss": {"name": "energy", "weight": 10.0},
        "data": {"maps": "inverted"},
    }
    assert arm_changes("blur@4", guided="cyborg", own=own)["data"] == {"blur_outside": [4.0]}
    assert arm_changes("ce_times@7", guided="cyborg", own=own) == {"loss": {"name": "ce"}}
    assert (times("ce_times@7"), times("alpha@0.3"), times("ce")) == (7, 1, 1)


def test_a_cell_is_trained_as_its_grid_says_and_named_after_its_place(digits: Path) -> None:
    datasets = {"one": {}, "two": {"data": {"image_size": 32}}}
    networks = {"net": {}, "other": {"model": {"output_stride": 16}}}
    grids = [
        {"arms": ["cyborg"], "seeds": [4], "epochs": 7, "images": [20], "annotated": [0.5]},
        {"arms": ["alpha@0.3"], "seeds": [4]},
    ]
    cells = {
        cell.key[:3]: cell.recipe
        for cell in expand(Study.build(content(digits, grids=grids, datasets=datasets, networks=networks)))
    }
    few, whole = cells["two", "other", "cyborg"], cells["one", "net", "alpha@0.3"]
    assert (few.name, whole.name) == ("two-other-cyborg-n20-maps50pc-seed4", "one-net-alpha-0.3-seed4")
    assert (few.train.epochs, few.data.limit, few.data.annotated, few.seed, few.data.seed) == (7, 20, 0.5, 4, 4)
    assert (few.data.image_size, few.model.output_stride) == (32, 16)
    assert whole.train.epochs != 7
    assert (whole.data.limit, whole.data.annotated, whole.model.output_stride) == (None, None, None)
    assert len({recipe.name for recipe in cells.values()}) == len(cells) == 8


def test_what_an_arm_copies_it_copies_whole() -> None:
    """Options of the loss, training and data of the arm that is copied stay; only what the name says is changed."""
    loss = {"name": "cyborg", "alpha": 0.1, "penalty": "l1"}
    guided = {"loss": loss, "train": {"epochs": 9}, "data": {"augment": "standard"}}
    other = {"loss": {"name": "energy", "weight": 3}, "train": {"epochs": 4}, "data": {"augment": "flip"}}
    own = {"mine": guided, "other": other}
    arm = lambda name: arm_changes(name, guided="mine", own=own)  # noqa: E731
    assert arm("alpha@0.3") == guided | {"loss": loss | {"alpha": 0.3}}
    assert arm("maps:mask") == guided | {"data": {"augment": "standard", "map_column": "mask"}}
    assert arm("inverted") == guided | {"data": {"augment": "standard", "maps": "inverted"}}
    assert arm("shuffled@0.5") == guided | {"data": {"augment": "standard", "maps": "shuffled@0.5"}}
    assert arm("inverted:other") == other | {"data": {"augment": "flip", "maps": "inverted"}}
    assert arm("mine") == guided
    assert own == {"mine": guided, "other": other}


def test_every_named_arm_makes_a_sound_recipe(digits: Path) -> None:
    controls = [name for name in CONTROLS if name != "own"] + [f"{name}@0.25" for name in BY_SHARE]
    arms = [
        *(name for name in PLAIN if name not in ("distill", "okd")),
        "blur@2",
        "alpha@0.9",
        "maps:decoy",
        *controls,
        "evidence@3",
        "shuffled:evidence@3",
    ]
    arms += [f"{name}@0.5:evidence@3" for name in BY_SHARE]
    study = content(digits, grids=[{"arms": arms, "seeds": 1}])
    study["recipe"]["data"] = study["recipe"].get("data", {}) | {"groups": ["decoy"]}
    cells = expand(Study.build(study))
    assert [cell.arm for cell in cells] == arms
    with pytest.raises(SalignError, match=r"name a finished run: loss\.teacher: RUN"):
        expand(Study.build(content(digits, grids=[{"arms": ["distill"], "seeds": 1}])))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"grids": [{"arms": ["cyborgg"]}]}, "no arm is called 'cyborgg'; did you mean 'cyborg'?; there are cyborg, "),
        ({"grids": [{"arms": ["shuffled@25"]}]}, "unknown 'shuffled@25'; there are own, shuffled, "),
        ({"grids": [{"arms": ["inverted@0.5:ce"]}]}, "unknown 'inverted@0.5'; there are own, shuffled, "),
        ({"grids": [{"arms": ["own"]}]}, "no arm is called 'own'"),
        ({"grids": [{"arms": ["ce_times@7"]}]}, "needs a number of `images`"),
        ({"grids": [{"arms": ["ce"], "seedz": 3}]}, "grids.0.seedz: unknown key; did you mean 'seeds'"),
        ({"questoin": "?"}, "questoin: unknown key; did you mean 'question'"),
        ({"grids": [{"arms": ["ce"], "datasets": ["x"]}]}, "datasets ['x'] not among data"),
        ({"arms": {"cyborg": {"loss": {"name": "cyborg", "alpha": 3}}}}, "alpha"),
        ({"metric": "f1"}, "metric: Input should be 'auroc', 'accuracy' or 'balanced_accuracy', got 'f1'"),
        ({"target": "tset"}, "for target 'tset'; there are, data set data: val, test_iid, test_ood."),
        ({"reference": "NA"}, "for reference 'NA'; there are"),
        ({"analysis": {"sets": ["test_iid", "x"]}, "target": "y"}, "for target 'y', analysis.sets 'x'; there are"),
        ({"baseline": "cee"}, "no arm is called 'cee'"),
        ({"guided": "cybrog"}, "no arm is called 'cybrog'"),
        ({"controls": ["shufled"]}, "no arm is called 'shufled'"),
        (
            {"name": "a b"},
            "name: expected letters of a to z, digits, '.', '_' and '-', beginning with a letter or a digit, got 'a b'",
        ),
        ({"arms": {"a\nb": {}}}, "a name is text in one line, got 'a\\nb'"),
        ({"networks": {" ": {}}}, "a name is text in one line, got ' '"),
        ({"grids": [{"arms": [""]}]}, "grids.0.arms.0: a name is text in one line, got ''"),
        ({"name": "n" * 256}, "name: String should have at most 255 characters"),
    ],
)
def test_a_mistake_is_named(digits: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SalignError) as caught:
        expand(Study.build(content(digits, **changes)))
    assert said in str(caught.value)


def test_a_file_finds_its_manifest_beside_itself(digits: Path, tmp_path: Path) -> None:
    study = content(Path("manifest.csv"))
    (digits.parent / "study.yaml").write_text(yaml.safe_dump(study))
    read = Study.read(digits.parent / "study.yaml", ["metric=accuracy", "recipe.train.epochs=3"])
    assert read.metric == "accuracy"
    (cell, *_) = expand(read)
    assert Path(cell.recipe.data.manifest) == digits.resolve()
    assert cell.recipe.train.epochs == 3


def test_every_data_set_needs_the_target_and_one_the_reference(digits: Path) -> None:
    datasets = {"a": {}, "b": {"data": {"test": {"test_ood": ["val"], "far": ["test_ood"]}}}}
    assert expand(Study.build(content(digits, datasets=datasets, reference="test_iid")))
    with pytest.raises(SalignError, match=r"for target 'far'; there are, data set a: val, test_iid, test_ood; data"):
        expand(Study.build(content(digits, datasets=datasets, target="far")))


@pytest.mark.parametrize(
    ("arm", "name"),
    [
        ("a$x$", "a-x--seed0"),
        ("(x)", "x--seed0"),
        ("μάτι", "seed0"),
        ("_.-x", "x-seed0"),
        ("NA", "NA-seed0"),
        ("x" * 250, "x" * 234 + "-seed0"),
    ],
)
def test_any_name_of_an_arm_makes_a_name_of_a_folder(digits: Path, arm: str, name: str) -> None:
    study = Study.build(content(digits, arms={arm: {"train": {"epochs": 3}}}, grids=[{"arms": [arm], "seeds": 1}]))
    (cell,) = expand(study)
    assert (cell.arm, cell.recipe.name) == (arm, name)
    assert len(f".{name}-01234567.lock") <= 255


def test_data_sets_and_networks_may_have_spaces_in_their_names(digits: Path) -> None:
    networks = {"ResNet 18": {"model": {"backbone": "test_resnet"}}, "<lite>": {}}
    study = content(
        digits,
        datasets={"a b": {}, "c": {"data": {"limit": 50}}},
        networks=networks,
        grids=[{"arms": ["ce"], "seeds": 1}],
    )
    names = [cell.recipe.name for cell in expand(Study.build(study))]
    assert names == ["a-b--lite--ce-seed0", "a-b-ResNet-18-ce-seed0", "c--lite--ce-seed0", "c-ResNet-18-ce-seed0"]


def test_names_that_are_cut_short_keep_their_runs_apart(digits: Path, tmp_path: Path) -> None:
    arms = {"x" * 250 + end: {"train": {"epochs": epochs}} for end, epochs in (("a", 3), ("b", 4))}
    cells = expand(Study.build(content(digits, arms=arms, grids=[{"arms": list(arms), "seeds": 1}])))
    assert len({StudyFolder(tmp_path).run(cell).path for cell in cells}) == 2


def test_what_a_study_names_is_found_beside_it_from_any_folder(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("run", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "run" / "recipe.yaml").write_text("")
    (tmp_path / "run" / "weights.safetensors").write_text("weights")
    (tmp_path / "soft.csv").write_text("id,1,7\n")
    arms = {"mine": {"data": {"drawn": {"by": "run"}}}, "soft": {"data": {"targets": "soft.csv"}}}
    (tmp_path / "study.yaml").write_text(
        yaml.safe_dump(content(digits, arms=arms, grids=[{"arms": ["mine", "soft"], "seeds": 1}]))
    )
    prints = []
    for folder in (tmp_path, tmp_path / "elsewhere"):
        monkeypatch.chdir(folder)
        prints.append([cell.recipe.fingerprint() for cell in expand(Study.read(tmp_path / "study.yaml"))])
    assert prints[0] == prints[1]
    assert len(set(prints[0])) == 2


def made_of_runs(digits: Path, **changes: Any) -> dict[tuple[str, int], Any]:
    arms = {
        "cyborg": {"loss": {"name": "cyborg", "alpha": 0.1}, "train": {"snapshots": {"even": 4}}},
        "tiny": {"model": {"backbone": "test_resnet"}, "loss": {"name": "okd", "teacher": "arm:fuse@jumps:cyborg"}},
    }
    grids = [{"arms": ["tiny", "okd@noise:cyborg", "kd:cyborg", "fuse@jumps:cyborg", "cyborg"], "seeds": 2}]
    study = content(digits, **{"arms": arms, "grids": grids, "controls": []} | changes)
    study["recipe"]["model"] = {"backbone": "test_efficientnet", "weights": None}
    return {(cell.arm, cell.seed): cell for cell in expand(Study.build(study))}


def test_arms_are_made_of_the_run_of_another_with_the_same_seed(digits: Path) -> None:
    """Whichever comes first trains that run: its stage is found where the cell of the other arm lies."""
    cells = made_of_runs(digits)
    assert [arm for arm, _ in cells][:5] == ["cyborg", "okd@noise:cyborg", "kd:cyborg", "fuse@jumps:cyborg", "tiny"]
    for seed in range(2):
        recipe = {arm: cell.recipe for (arm, of), cell in cells.items() if of == seed}
        source = f"{recipe['cyborg'].name}-{recipe['cyborg'].fingerprint()}"
        assert source.startswith(f"cyborg-seed{seed}-")
        for arm in ("okd@noise:cyborg", "kd:cyborg", "fuse@jumps:cyborg"):
            chain = resolved(recipe[arm])
            assert list(chain) == [f"arm:{source}", ""]
            assert StudyFolder(Path()).run(cells["cyborg", seed]).path.name == source
            assert chain[f"arm:{source}"] == resolved(recipe["cyborg"])[""]
        fused = f"{recipe['fuse@jumps:cyborg'].name}-{recipe['fuse@jumps:cyborg'].fingerprint()}"
        chain = resolved(recipe["tiny"])
        assert list(chain) == [f"arm:{source}", f"arm:{fused}", ""]
        assert [part.model.backbone for part in chain.values()] == ["test_efficientnet"] * 2 + ["test_resnet"]
        assert chain[""].loss.teacher == f"stage:{recipe['fuse@jumps:cyborg'].fingerprint()}"
        assert chain[f"arm:{fused}"].posthoc.method == "jumps"
        losses = {arm: (each.loss.name, each.loss.options) for arm, each in recipe.items()}
        assert losses["okd@noise:cyborg"] == ("okd", {"change": "noise"})
        assert losses["kd:cyborg"] == ("distill", {})
        assert losses["fuse@jumps:cyborg"] == ("cyborg", {"alpha": 0.1})


def test_the_teacher_of_a_student_with_keywords_of_its_own_has_its_own_network(digits: Path) -> None:
    """Once the keywords of the student were merged into the teacher, and a small net taught a small net."""
    small = {"model": {"args": {"drop_rate": 0.25}}, "loss": {"name": "okd", "teacher": "arm:cyborg"}}
    cells = made_of_runs(digits, arms={"small": small}, grids=[{"arms": ["small", "cyborg"], "seeds": 1}])
    teacher, student = resolved(cells["small", 0].recipe).values()
    assert (teacher.model.args, student.model.args) == ({}, {"drop_rate": 0.25})
    assert teacher.fingerprint() == cells["cyborg", 0].recipe.fingerprint()


def test_the_run_that_an_arm_is_made_of_has_the_images_of_its_cell(digits: Path) -> None:
    grids = [{"arms": ["kd:cyborg"], "seeds": [3], "images": [40], "annotated": [0.5], "epochs": 7}]
    ((_, cell),) = made_of_runs(digits, grids=grids).items()
    teacher = next(iter(resolved(cell.recipe).values()))
    assert (teacher.data.limit, teacher.data.annotated, teacher.train.epochs, teacher.seed) == (40, 0.5, 7, 3)


def test_an_arm_that_cannot_be_made_of_a_run_is_told(digits: Path) -> None:
    def refused(arms: dict[str, Any], *names: str) -> str:
        with pytest.raises(SalignError) as caught:
            made_of_runs(digits, arms=arms, grids=[{"arms": list(names), "seeds": 1}])
        return str(caught.value)

    around = {"a": {"loss": {"name": "okd", "teacher": "arm:b"}}, "b": {"loss": {"name": "okd", "teacher": "arm:a"}}}
    assert "arm 'a' is made of its own run: a of b of a" in refused(around, "a")
    assert "no arm is called 'nobody'" in refused({}, "kd:nobody")
    assert "no arm is called 'kd@3:ce'" in refused({}, "kd@3:ce")
    assert "keeps no weights of single epochs" in refused({}, "fuse:ce")
    assert "got 'mix'" in refused({}, "okd@mix:ce")
