"""Mistakes that need no network to be seen are told before torch is imported, which takes seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FILES = {
    "broken.yaml": "name: [a",
    "recipe.yaml": "name: a\ndata: {manifest: gone.csv, maps: shufled}\nloss: {name: cyborg, alhpa: 1}\n",
    "named.yaml": "name: a\ndata: {manifest: empty.csv}\nloss: {name: cyborgs}\ntrain: {epochs: 0}\n",
    "preset.yaml": "name: a\npreset: wacv\ndata: {manifest: empty.csv}\n",
    "study.yaml": "name: s\nrecipe: {}\ngrids: [{arms: [ce], seedz: 3}]\n",
    "empty.csv": "",
    "unsplit.csv": "id,path,label,patient\na,named.yaml,x,p\n",
    "whole.csv": "id,path,label,split\na,named.yaml,x,train\n",
}
COMMANDS = {
    "train gone.yaml": "no such file: gone.yaml",
    "train broken.yaml": "broken.yaml: expected a YAML recipe",
    "train recipe.yaml": "3 fault(s)",
    "train recipe.yaml --set loss.nam=cyborg": "loss cyborg has no option 'nam'",
    "train named.yaml": "got 'cyborgs'; did you mean 'cyborg'?",
    "train preset.yaml": "preset: expected wacv2023 or mentor, got 'wacv'; did you mean 'wacv2023'?",
    "saliency train gone.yaml": "no such file: gone.yaml",
    "experiment gone.yaml": "no such file: gone.yaml",
    "experiment study.yaml": "grids.0.seedz: unknown key; did you mean 'seeds'?",
    "report gone.yaml": "no such file: gone.yaml",
    "data import pickle photos": "layout: expected folder, csv or cvrl, got 'pickle'",
    "evaluate gone": "gone is no run folder: expected recipe.yaml in it",
    "explain gone": "gone is no run folder: expected recipe.yaml in it",
    "analyse gone": "gone is no run folder: expected recipe.yaml in it",
    "data check gone.csv": "no manifest at gone.csv",
    "data check empty.csv --near": "--near says which copies are left out",
    "data split gone.csv": "no manifest at gone.csv",
    "data split unsplit.csv --shares 70/15/20": "such as 0.7/0.15/0.15 for train, val and test",
    "data split unsplit.csv --group patiend": "no column 'patiend' to keep rows together by; did you mean 'patient'",
    "data split whole.csv": "every row has a split already (train 1), and none is moved unasked",
    "data plant empty.csv out -c train=1": "empty.csv is empty; expected a header line",
    "data plant empty.csv out -c train=1 --kind tet": "--kind: expected patch, text or border, got 'tet'",
    "data plant gone.csv out -c train=1": "no manifest at gone.csv",
}
"""Command -> a part of its message."""
PROGRAM = """
import contextlib, io, json, sys
from salign.cli import main
outcomes = []
for words in json.load(sys.stdin):
    sys.argv = ["salign", *words]
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            main()
        except SystemExit as end:
            outcomes.append([end.code, said.getvalue(), "torch" in sys.modules])
json.dump(outcomes, sys.stdout)
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, bool]]:
    """Exit code and message of each command, one after the other in one process, and whether torch was there."""
    folder = tmp_path_factory.mktemp("quick")
    for name, text in FILES.items():
        Path(folder, name).write_text(text)
    words = json.dumps([command.split() for command in COMMANDS])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=folder, input=words, capture_output=True, text=True, check=True
    )
    return dict(zip(COMMANDS, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_mistake_is_told_before_torch_is_imported(outcomes: dict[str, tuple[int, str, bool]], command: str) -> None:
    code, said, torch = outcomes[command]
    assert code == 2
    assert COMMANDS[command] in said
    assert not torch
