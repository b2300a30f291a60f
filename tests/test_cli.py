"""What holds for every command: help that a newcomer understands, at once, and mistakes in one message."""

from __future__ import annotations

import errno
import json
import subprocess
import sys

import pytest
import typer

from command import salign
from salign import __version__
from salign.cli import app
from salign.errors import SalignError

WRITES = {
    ("demo",): "Images, study and report go into this folder",
    ("train",): "Writes OUT/NAME-HASH",
    ("init",): "Writes manifest.csv, study.yaml",
    ("run",): "writes FOLDER/studies/NAME/report.html",
    ("status",): "the next command",
    ("runs",): "some levels down",
    ("evaluate",): "Writes RUN/evaluation.csv",
    ("predict",): "Writes one table with a row per image",
    ("export",): "Writes RUN/export/model.onnx",
    ("serve",): "Writes nothing",
    ("publish",): "Writes the folder, or sends it",
    ("fuse",): "a new run",
    ("rebalance",): "a new run",
    ("dfr",): "a new run",
    ("explain",): "Writes RUN/page/index.html",
    ("analyse",): "Writes RUN/analysis",
    ("experiment",): "Writes OUT/NAME/runs",
    ("tune",): "Writes OUT/NAME/best.yaml",
    ("report",): "Writes OUT/NAME/report.html",
    ("reproduce",): "The runs go into this folder",
    ("benchmark",): "Also write the figures to this file",
    ("annotate",): "The study goes into this folder",
    ("autoannotate",): "The maps go into this new folder",
    ("pretrain",): "Writes OUT/NAME-HASH",
    ("saliency", "train"): "Writes OUT/NAME-HASH",
    ("saliency", "evaluate"): "Show how well a net agrees",
    ("saliency", "predict"): "The maps go into this folder",
    ("graph", "labels"): "Writes a table, and a page with a picture",
    ("graph", "train"): "Writes OUT/predictions.csv",
    ("graph", "template"): "Writes OUT/templates.npz",
    ("search",): "Writes OUT/NAME/ranking.csv",
    ("maps", "formats"): "List the formats",
    ("maps", "import"): "The maps go into this folder",
    ("maps", "aggregate"): "Write the new manifest here",
    ("maps", "granularity"): "Write the new manifest here",
    ("maps", "export"): "write this file. labelme, yolo: write into this folder",
    ("data", "check"): "writes a page of pictures",
    ("data", "split"): "printed before anything is written",
    ("data", "plant"): "The copy goes into this new folder",
    ("data", "shard"): "Writes TO/SPLIT-000000.tar",
    ("data", "clone"): "The clones go into this new folder",
    ("data", "targets"): "Write the soft targets to this",
    ("data", "import"): "Write the manifest",
    ("data", "decoy"): "The set goes into this folder",
}


def commands(group, path=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


def flat(text):
    return " ".join(text.replace("│", " ").split())


def test_the_list_of_commands_here_is_complete():
    assert set(commands(typer.main.get_command(app))) == set(WRITES)


@pytest.mark.parametrize("command", WRITES, ids=" ".join)
def test_help_says_what_is_written_and_every_option(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    shown = flat(salign(*command, "--help").out)
    assert WRITES[command] in shown
    found = typer.main.get_command(app)
    for name in command:
        found = found.commands[name]
    for parameter in found.params:
        assert (parameter.opts[0] in shown) or (parameter.metavar in shown)
        assert parameter.opts[0] == "--help" or parameter.help


def test_help_names_every_command_and_where_to_start():
    shown = flat(salign("--help").out)
    assert "salign demo" in shown
    assert all(f" {command[0]} " in shown for command in WRITES)
    assert all(f" {command[-1]} " in flat(salign("data", "--help").out) for command in WRITES if command[0] == "data")


def test_version():
    assert salign("--version").out.strip() == f"salign {__version__}"


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["data", "check", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments):
    """A matter of what is loaded, not of how fast this machine is today."""
    program = (
        "import json, sys\n"
        f"sys.argv = ['salign', *{arguments!r}]\n"
        "from salign.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    print('\\n' + json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout.strip().splitlines()[-1]))
    assert "typer" in loaded
    heavy = {
        "torch",
        "torchvision",
        "timm",
        "lightning",
        "numpy",
        "pandas",
        "scipy",
        "pyarrow",
        "PIL",
        "yaml",
    }
    assert not loaded & heavy


def test_an_unknown_command_or_option():
    assert "No such command" in salign("trian", code=2).err
    assert "No such option" in salign("train", "x.yaml", "--ouput", "y", code=2).err
    assert "Missing" in salign("train", code=2).err


def raising(error):
    def body(*_, **__):
        raise error

    return body


def test_a_mistake_is_one_message_and_a_defect_is_not_hidden(monkeypatch, tmp_path):
    page = "salign.runs.folder.RunFolder.open"
    monkeypatch.setattr(page, raising(SalignError("expected a, got b; do c")))
    assert salign("evaluate", tmp_path, code=2).err.strip() == "error: expected a, got b; do c"
    monkeypatch.setattr(page, raising(OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "a.csv"))))
    said = salign("evaluate", tmp_path, code=2).err
    assert f"cannot write {tmp_path / 'a.csv'}: No space left on device. What was written before is whole" in said
    for defect in (OSError(errno.ENOENT, "gone", "x"), ValueError("a defect of salign")):
        monkeypatch.setattr(page, raising(defect))
        with pytest.raises(type(defect)):
            salign("evaluate", tmp_path)


@pytest.mark.parametrize("command", ["evaluate", "explain", "predict"])
def test_a_folder_that_is_no_run(command, tmp_path, trained):
    rest = [tmp_path] if command == "predict" else []
    assert str(tmp_path) in salign(command, tmp_path, *rest, code=2).err
    assert str(tmp_path / "gone") in salign(command, tmp_path / "gone", *rest, code=2).err
