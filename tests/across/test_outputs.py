"""Where a command writes is looked at before it works: one clear line, and nothing read, written or begun."""

from __future__ import annotations

import errno
import inspect
import os
import shutil
import tempfile
import typing
from pathlib import Path

import pytest
import typer
import yaml
from PIL import Image

from command import salign, small, written
from salign.annotate.opening import open_collection
from salign.cli import app
from salign.errors import SalignError
from salign.files import check_output

FOLDER, FILE = "folder", "file"
DRAWER = Path(__file__).parents[1] / "fixtures" / "earlier" / "runs" / "maps-0858044f"
"""The run of a net that draws maps."""
OUTPUTS = {
    ("demo", "--out"): (FOLDER, "demo --out {out}"),
    ("train", "--out"): (FOLDER, "train {recipe} --out {out} --quiet"),
    ("saliency train", "--out"): (FOLDER, "saliency train {net} --out {out} --quiet"),
    ("pretrain", "--out"): (FOLDER, "pretrain {net} --out {out} --quiet"),
    ("predict", "--out"): (FILE, "predict {run} {images} --out {out}"),
    ("predict", "--maps"): (FOLDER, "predict {run} {images} --out {free} --maps {out}"),
    ("predict", "--overlays"): (FOLDER, "predict {run} {images} --out {free} --overlays {out}"),
    ("saliency predict", "--out"): (FOLDER, "saliency predict {drawer} {images} --out {out}"),
    ("export", "--out"): (FILE, "export {run} --out {out}"),
    ("fuse", "--out"): (FOLDER, "fuse {run} --out {out}"),
    ("rebalance", "--out"): (FOLDER, "rebalance {run} --out {out}"),
    ("dfr", "--out"): (FOLDER, "dfr {run} --group label --out {out}"),
    ("init", "--out"): (FOLDER, "init {images} --out {out}"),
    ("experiment", "--out"): (FOLDER, "experiment {study} --out {out} --quiet"),
    ("tune", "--out"): (FOLDER, "tune {recipe} --trials 1 --out {out} --quiet"),
    ("report", "--out"): (FOLDER, "report {study} --out {out} --quiet"),
    ("reproduce", "--out"): (FOLDER, "reproduce row --table {evidence} --out {out} --quiet"),
    ("benchmark", "--json"): (FILE, "benchmark test_resnet --json {out}"),
    ("annotate", "--out"): (FOLDER, "annotate {images} --out {out} --no-open --port 0"),
    ("annotate", "--export"): (FOLDER, "annotate {images} --out {kept} --export {out}"),
    ("autoannotate", "--out"): (FOLDER, "autoannotate {few} {run} --out {out}"),
    ("maps import", "--out"): (FOLDER, "maps import masks {maps} --images {images} --out {out}"),
    ("maps export", "OUT"): (FILE, "maps export {manifest} coco {out}"),
    ("maps aggregate", "--out"): (FILE, "maps aggregate {manifest} --column saliency --column saliency --out {out}"),
    ("maps granularity", "--out"): (FILE, "maps granularity {manifest} --grain area --out {out}"),
    ("data check", "--html"): (FILE, "data check {manifest} --html {out}"),
    ("data check", "--without-duplicates"): (FILE, "data check {manifest} --html {free} --without-duplicates {out}"),
    ("data split", "--out"): (FILE, "data split {unsplit} --out {out}"),
    ("data plant", "OUT"): (FOLDER, "data plant {manifest} {out} " + "-c train=1 -c val=1 -c test_iid=1 -c test_ood=1"),
    ("data clone", "OUT"): (FOLDER, "data clone {manifest} {out}"),
    ("data shard", "--to"): (FOLDER, "data shard {manifest} --to {out}"),
    ("data targets", "OUT"): (FILE, "data targets {answers} {out}"),
    ("data import", "--out"): (FILE, "data import folder {images} --out {out}"),
    ("graph labels", "--out"): (FILE, "graph labels {manifest} --link decoy --out {out}"),
    ("graph train", "--out"): (FOLDER, "graph train {manifest} --link decoy --text decoy --out {out}"),
    ("graph template", "--out"): (FOLDER, "graph template {images} {manifest} --out {out}"),
    ("search", "--out"): (FOLDER, "search {manifest} --space nasbench201 --out {out}"),
    ("data decoy", "FOLDER"): (FOLDER, "data decoy {out} --train 10 --val 10 --test 10"),
}
"""All options that say where something is written: what it is, and a call that is right but for that place."""
INPUTS = {
    ("train", "RECIPE"), ("train", "--init"), ("saliency train", "RECIPE"), ("pretrain", "RECIPE"),
    ("init", "FOLDER"), ("run", "FOLDER"), ("status", "FOLDER"), ("runs", "FOLDER"), ("fuse", "RUN"),
    ("export", "RUN"), ("publish", "RUN"), ("rebalance", "RUN"), ("dfr", "RUN"), ("tune", "RECIPE"),
    ("explain", "--beside"), ("data split", "MANIFEST"), ("data split", "--root"),
    ("evaluate", "RUN"), ("explain", "RUN"), ("analyse", "RUNS"), ("predict", "RUN"), ("predict", "IMAGES"),
    ("serve", "RUN"),
    ("saliency evaluate", "RUN"), ("saliency evaluate", "--people"), ("saliency predict", "RUN"),
    ("saliency predict", "IMAGES"), ("experiment", "STUDY"), ("report", "STUDY"), ("reproduce", "--table"),
    ("annotate", "FOLDER"),
    ("annotate", "--config"), ("annotate", "--manifest"), ("annotate", "--into"), ("autoannotate", "MANIFEST"),
    ("autoannotate", "RUNS"), ("autoannotate", "--root"), ("maps import", "PATH"), ("maps import", "--images"),
    ("maps import", "--manifest"), ("maps import", "--classes"), ("maps import", "--ids"), ("maps export", "MANIFEST"),
    ("maps export", "--shapes"), ("maps export", "--root"), ("maps aggregate", "MANIFEST"),
    ("maps aggregate", "--maps"), ("maps aggregate", "--answers"), ("maps aggregate", "--root"),
    ("maps granularity", "MANIFEST"), ("maps granularity", "--root"), ("data check", "MANIFEST"),
    ("data check", "--root"), ("data plant", "MANIFEST"),
    ("data plant", "--root"), ("data clone", "MANIFEST"), ("data clone", "--root"),
    ("data shard", "MANIFEST"), ("data shard", "--root"), ("data targets", "ANSWERS"),
    ("data import", "PATH"), ("data import", "--images"), ("data import", "--maps"), ("graph labels", "NODES"),
    ("graph labels", "LINKS"), ("graph train", "NODES"), ("graph train", "LINKS"),
    ("search", "SOURCE"), ("graph template", "MATRICES"), ("graph template", "SUBJECTS"),
    ("graph template", "--follow-up"),
}  # fmt: skip
"""All that are read: of a manifest that is merged into, too, which is there."""


def paths(group, above=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from paths(command, (*above, name))
            continue
        hints = typing.get_type_hints(inspect.unwrap(command.callback))
        for parameter in command.params:
            hint = hints.get(parameter.name)
            if Path in (hint, *typing.get_args(hint)):
                option = parameter.opts[0]
                yield " ".join((*above, name)), option if option.startswith("-") else option.upper()


def test_every_path_of_every_command_is_in_one_of_the_two_lists():
    assert not INPUTS & set(OUTPUTS)
    assert set(paths(typer.main.get_command(app))) == INPUTS | set(OUTPUTS)


@pytest.fixture
def right(digits: Path, trained: Path, tmp_path: Path) -> dict[str, Path]:
    """What each call needs, all of it as it should be."""
    content = small(digits, model={"weights": None})
    net = {"name": "net", "data": content["data"], "model": {"backbone": "test_resnet", "weights": None}}
    study = {
        "name": "s",
        "recipe": small(digits),
        "target": "test_iid",
        "grids": [{"arms": ["ce", "cyborg"], "seeds": 1}],
    }
    del study["recipe"]["name"]
    row = {"study": "study.yaml", "arm": "ce", "seeds": [0], "set": "test_iid", "metric": "accuracy"}
    row |= {"expected": 0.5, "tolerance": 0.5, "minutes": 1, "prepare": ["none"], "commit": "abc"}
    few = tmp_path / "few.csv"
    few.write_text("id,path,label,split,saliency\na,a.png,1,train,\n")
    unsplit = tmp_path / "unsplit.csv"
    unsplit.write_text("id,path,label\na,a.png,1\n")
    answers = tmp_path / "answers.csv"
    answers.write_text("id,answer\na,1\na,7\n")
    shutil.copy(digits.parent / "images" / "train" / "00000.png", tmp_path / "a.png")
    open_collection(digits.parent / "images", out=tmp_path / "kept", classes=["1", "7"]).store.close()
    return {
        "recipe": written(tmp_path / "recipe.yaml", content),
        "net": written(tmp_path / "net.yaml", net),
        "study": written(tmp_path / "study.yaml", study),
        "evidence": written(tmp_path / "evidence.yaml", {"rows": {"row": row}}),
        "run": trained,
        "drawer": DRAWER,
        "manifest": digits,
        "few": few,
        "unsplit": unsplit,
        "answers": answers,
        "images": digits.parent / "images",
        "maps": digits.parent / "maps",
        "kept": tmp_path / "kept",
        "free": tmp_path / "free",
    }


def refused(call: str, right: dict[str, Path], out: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The line that a call ends with, before which no picture is opened; what there was below `out` stays."""
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("a picture was read first"))
    before = {path: path.is_file() and path.read_bytes() for path in out.parent.rglob("*")}
    said = salign(*(part.format(**right, out=out) for part in call.split()), code=2).err
    monkeypatch.undo()
    assert {path: path.is_file() and path.read_bytes() for path in out.parent.rglob("*")} == before
    assert said.startswith("error: ")
    assert len(said.strip().splitlines()) == 1
    return said


@pytest.mark.parametrize(("kind", "call"), OUTPUTS.values(), ids=[" ".join(key) for key in OUTPUTS])
def test_what_stands_in_the_way_is_told_first(kind, call, right, tmp_path, monkeypatch):
    place = tmp_path / "place"
    place.mkdir()
    other = place / "other"
    if kind == FOLDER:
        other.write_text("not to be lost")
        wanted = "is not a folder" if "--export" not in call else "there is something else than an export"
    else:
        other.mkdir()
        wanted = "is a folder, and a file is needed"
    said = refused(call, right, other, monkeypatch)
    assert str(place) in said
    assert wanted in said
    (place / "file").write_text("not to be lost")
    said = refused(call, right, place / "file" / "deep" / "out", monkeypatch)
    assert f"{place / 'file'} is not a folder" in said
    real = tempfile.TemporaryFile

    def locked(*rest, dir=None, **more):  # root may write everywhere, so that no mode of a folder keeps it out
        if Path(dir).resolve() == place.resolve():
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(dir))
        return real(*rest, dir=dir, **more)

    monkeypatch.setattr(tempfile, "TemporaryFile", locked)
    assert "Permission denied" in refused(call, right, place / "deep" / "out", monkeypatch)


@pytest.mark.parametrize(
    ("command", "file", "kind"),
    [
        ("evaluate", "evaluation.csv", FILE),
        ("explain", "page/index.html", FILE),
        ("analyse", "analysis", FOLDER),
    ],
)
def test_so_is_what_stands_in_the_way_in_a_run_folder(command, file, kind, trained, tmp_path, monkeypatch):
    run = tmp_path / "run"
    run.mkdir()
    for name in ("recipe.yaml", "done", "model.json"):
        (run / name).write_bytes((trained / name).read_bytes())
    (run / file).parent.mkdir(exist_ok=True)
    (run / file).write_text("") if kind == FOLDER else (run / file).mkdir()
    said = refused(command + " {run}", {"run": run}, run / file, monkeypatch)
    assert f"{run / file} cannot be written to: it is " in said


def test_a_place_that_can_be_written_to_is_left_as_it_is(tmp_path):
    (tmp_path / "file").write_text("old")
    for folder, names in ((True, [".", "new", "new/deep"]), (False, ["file", "new.csv", "new/deep.csv"])):
        for name in names:
            check_output(tmp_path / name, folder=folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_other_things_in_the_way_are_named(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "pipe")
    for name, folder, said in (
        ("link", True, "it is a link to something that is not there"),
        ("link", False, "it is a link to something that is not there"),
        ("link/out.csv", False, f"{tmp_path / 'link'} is a link to something that is not there"),
        ("pipe", False, "it is neither a file nor a folder"),
        ("pipe", True, "it is not a folder"),
        ("n" * 300, False, "File name too long"),
    ):
        with pytest.raises(SalignError, match=said):
            check_output(tmp_path / name, folder=folder)


def test_yaml_of_the_study_is_not_lost_where_the_runs_cannot_lie(right, tmp_path, monkeypatch):
    folder = tmp_path / "studies" / "s"
    folder.mkdir(parents=True)
    (folder / "runs").write_text("")
    (folder / "study.yaml").write_text(yaml.safe_dump({"an": "older one"}))
    assert "runs cannot be written to" in refused(
        OUTPUTS["experiment", "--out"][1], right, tmp_path / "studies", monkeypatch
    )
