"""Studies from YAML, secrets, and who is given which link."""

from __future__ import annotations

import pytest

from annotate_page import write_images
from salign.annotate import access
from salign.annotate.opening import open_collection
from salign.annotate.records import Mistaken, read_annotation
from salign.annotate.study import Study
from salign.annotate.web.run import is_open, links
from salign.errors import SalignError
from salign.web.listen import Address, listen


def test_a_study_reads_what_it_writes(tmp_path):
    study = Study.build(
        {"title": "T", "classes": ["a", "b"], "gold": {"x": "a"}, "limits": {"body": 5000}, "mode": "pair"}
    )
    (tmp_path / "s.yaml").write_text(study.to_yaml(), encoding="utf-8")
    assert Study.read(tmp_path / "s.yaml") == study
    assert Study.read(tmp_path / "s.yaml", title="Other", seed=None).title == "Other"


def test_without_a_question_the_one_that_fits_the_mode_is_asked():
    assert (
        Study().shown_question
        == Study(mode="pair").shown_question
        == "Which class is it? Mark what supports your answer."
    )
    assert Study(mode="review").shown_question == "Is this map right? Accept it, edit it, or reject it."
    assert Study(mode="review", question="Is it?").shown_question == "Is it?"
    assert "Click where you want to look closely" in Study(mode="reveal").shown_question


@pytest.mark.parametrize(("content", "words"), [
    ({"clases": ["a"]}, "did you mean 'classes'"),
    ({"limits": {"bodi": 1}}, "limits.bodi: unknown key; did you mean 'body'"),
    ({"mode": "duel"}, "'single', 'pair', 'review', 'assisted' or 'reveal', got 'duel'"),
    ({"classes": ["a", "a"]}, "name one class twice"),
    ({"classes": ["a"], "gold": {"x": "b"}}, "gold answers"),
    ({"classes": ["a"], "target": "b"}, "target 'b' is none of the classes"),
    ({"export": {"shares": {"train": 0.5}}}, "must add up to 1"),
    ({"pairs": [["a", "b"], ["b", "c"]]}, "one pair only"),
    ({"annotators_per_image": 0}, "annotators_per_image"),
    ({"unmarked": True, "mode": "review"}, "choose one"),
])  # fmt: skip
def test_faults_are_named(content, words):
    with pytest.raises(SalignError, match=words.replace("(", ".")):
        Study.build(content)


@pytest.mark.parametrize(("change", "words"), [
    ({"elapsed_ms": -1}, "elapsed_ms: Input should be greater than or equal to 0"),
    ({"shapes": [{"kind": "box"}, 5]}, "shapes.1: Input should be a valid dictionary"),
    ({"confidence": 6}, "confidence: Input should be less than or equal to 5"),
    ({"surprise": 1}, "surprise: Extra inputs are not permitted"),
    ({"answer": "x" * 101}, "answer: at most 100 characters, got 101"),
    ({"skipped": "x" * 102}, "skipped: at most 100 characters, got 102"),
    ({"skipped": "one\rtwo"}, r"skipped: expected no control characters, got '\r'"),
    ({"skipped": "\x85"}, r"skipped: expected no control characters, got '\x85'"),
    ({"started": "\x1b[2J"}, r"started: expected no control characters, got '\x1b'"),
    ({"version": "\x7f"}, r"version: expected no control characters, got '\x7f'"),
])  # fmt: skip
def test_a_field_of_an_annotation_that_is_wrong_is_named(change, words):
    right = {"task": "1", "base": 0, "elapsed_ms": 5.0, "answer": "x" * 100}
    assert read_annotation(right, 100).answer == "x" * 100
    with pytest.raises(Mistaken) as caught:
        read_annotation(right | change, 100)
    assert str(caught.value) == words


def test_a_reason_may_have_tabs_lines_and_joined_signs():
    said = "too\tdark\nor \U0001f469\u200d\u2695\ufe0f"
    assert read_annotation({"task": "1", "base": 0, "elapsed_ms": 5.0, "skipped": said}, 100).skipped == said


def test_all_faults_come_at_once():
    with pytest.raises(SalignError, match="3 fault"):
        Study.build({"mode": "x", "seed": "y", "surprise": 1})


@pytest.mark.parametrize("text", ["- a", "{", "5", "\x00"])
def test_what_is_no_yaml_mapping_is_refused(tmp_path, text):
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(SalignError, match="expected a"):
        Study.read(tmp_path / "s.yaml")


def test_a_folder_needs_images_and_gold_names_them(tmp_path):
    with pytest.raises(SalignError, match="no such folder"):
        open_collection(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SalignError, match="found no image"):
        open_collection(tmp_path / "empty")
    folder = write_images(tmp_path / "set", 2)
    with pytest.raises(SalignError, match=r"no image is called x\.png"):
        open_collection(folder, classes=["a"], gold={"x.png": "a"})
    with pytest.raises(SalignError, match="nothing to hand out in mode review"):
        open_collection(folder, mode="review", out=tmp_path / "review")


def test_the_folder_of_a_study_and_of_an_export_are_no_images(tmp_path):
    folder = write_images(tmp_path / "set", 2)
    write_images(folder / ".thumbnails", 1)
    write_images(folder / "deeper" / "still", 1)
    (write_images(folder / "export", 1) / "shapes.json").write_text("{}")
    collection = open_collection(folder, classes=["a"])
    write_images(folder / "annotations" / "pictures", 1)
    assert list(open_collection(folder).catalog.pictures) == ["0.png", "1.png", "deeper/still/0.png"]
    assert collection.folder == folder.resolve() / "annotations"


def test_classes_are_the_labels_of_the_manifest(tmp_path):
    folder = write_images(tmp_path / "set", 2)
    (folder / "manifest.csv").write_text("path,label\n0.png,zebra\n1.png,ant\n")
    collection = open_collection(folder)
    assert collection.classes == ("ant", "zebra")
    assert list(collection.catalog.pictures) == ["0.png", "1.png"]


def test_only_images_without_a_map_are_asked_about_and_gold_ones(tmp_path):
    write_images(tmp_path, 6)
    names = sorted(path.name for path in tmp_path.glob("*.png"))
    maps = [names[0], "", names[0], "", "", names[0]]
    rows = "".join(f"{name},{marked},{'ab'[k % 2]}\n" for k, (name, marked) in enumerate(zip(names, maps, strict=True)))
    (tmp_path / "manifest.csv").write_text(f"path,saliency,label\n{rows}", encoding="utf-8")
    without = [name for name, marked in zip(names, maps, strict=True) if not marked]
    opened = open_collection(tmp_path, unmarked=True)
    assert sorted(opened.units) == without
    again = open_collection(tmp_path)
    assert sorted(again.units) == without, "it is kept with the study"
    assert len(open_collection(tmp_path, unmarked=False).units) == 6
    gold = Study(unmarked=True, gold={names[2]: "a"})
    assert sorted(unit.id for unit in again.catalog.units(gold)) == sorted([*without, names[2]])
    pairs = again.catalog.units(Study(unmarked=True, mode="pair"))
    assert [set(pair.images) <= set(without) for pair in pairs] == [True]
    both = Study(unmarked=True, mode="pair", pairs=[(names[0], names[3]), (names[1], names[4])])
    assert [pair.images for pair in again.catalog.units(both)] == [(names[1], names[4])]
    (tmp_path / "manifest.csv").write_text(f"path,saliency\n{names[0]},{names[1]}\n", encoding="utf-8")
    with pytest.raises(SalignError, match="all 1 images have a map already"):
        open_collection(tmp_path, unmarked=True)


def test_an_image_that_no_pair_has_is_told(tmp_path, caplog):
    collection = open_collection(write_images(tmp_path / "set", 5), mode="pair")
    assert len(collection.units) == 2
    assert "images without a partner for a pair, which are not shown: 1" in caplog.text


def test_settings_beside_the_images_are_found(tmp_path):
    folder = write_images(tmp_path / "set", 2)
    (folder / "annotate.yaml").write_text("title: Beside\nclasses: [a, b]\n")
    assert open_collection(folder).study.title == "Beside"
    assert open_collection(folder, title="Option").study.title == "Option"
    assert open_collection(folder).study.title == "Option", "a restart goes on with what there was"


class TestPlace:
    def test_of_a_proxy(self, photos):
        collection = open_collection(photos, classes=["a"])
        place = Address(public="https://lab.example/")
        assert not is_open(place, collection)
        assert "lab.example" in place.names
        with listen("127.0.0.1", 0) as listening:
            (ann, owner) = links(collection, listening, place, ["Ann"])
            assert ann[1].startswith("https://lab.example/#token=1.")
            assert owner[1].startswith("https://lab.example/owner#token=owner.")
            assert [who for who, _ in links(collection, listening, Address(), [])] == ["owner", "annotators"]

    def test_with_names_of_a_proxy_in_the_study_nobody_joins_without_a_link(self, photos):
        assert not is_open(Address(), open_collection(photos, classes=["a"], hosts=["lab.example"]))


def test_a_secret_is_made_once(tmp_path):
    first = access.read_secret(tmp_path / "secret")
    assert len(first) == 32
    assert access.read_secret(tmp_path / "secret") == first
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
    (tmp_path / "secret").write_bytes(b"short")
    with pytest.raises(SalignError, match="expected 32 bytes, got 5"):
        access.read_secret(tmp_path / "secret")
