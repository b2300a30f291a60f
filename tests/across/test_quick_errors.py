"""Mistakes that need no network to be seen are told before torch is imported, which takes seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

FILES = {
    "broken.yaml": "name: [a",
    "recipe.yaml": "name: a\ndata: {manifest: gone.csv, maps: shufled}\nloss: {name: cyborg, alhpa: 1}\n",
    "named.yaml": "name: a\ndata: {manifest: empty.csv}\nloss: {name: cyborgs}\ntrain: {epochs: 0}\n",
    "preset.yaml": "name: a\npreset: wacv\ndata: {manifest: empty.csv}\n",
    "values.yaml": "name: a\ndata: {manifest: set.csv}\nloss: {name: swap, form: cee, also: {hint: {weight: -1}}}\n"
    "steps: [{name: swap, probability: 3}]\n",
    "set.csv": "id,path,label,split,saliency\na,photos/a.png,cat,train,map.png\n",
    "bare.csv": "id,path,label,split,saliency\na,photos/a.png,cat,train,\n",
    "run/model.json": '{"backbone": "resnet18", "image_size": [32, 32], "classes": ["cat", "dog"]}',
    "run/recipe.yaml": "name: a\ndata: {manifest: set.csv}\n",
    "run/done": "",
    "marks/a.json": '{"imagePath": "z.png", "imageWidth": 8, "imageHeight": 8, "shapes": []}',
    "texts/a.txt": "no image",
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
    "train values.yaml": "also.hint: weight: expected a number of 0 or more, got -1.0.",
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
    "predict run gone": "gone: no such folder or image",
    "predict run texts": "texts: found no image",
    "predict run photos --out photos": "it is a folder, and a file is needed",
    "predict run photos --maps photos/maps": "maps would lie among the images",
    "autoannotate gone.csv run": "no manifest at gone.csv",
    "autoannotate bare.csv run --method rize": "got 'rize'; did you mean 'rise'?",
    "autoannotate bare.csv photos": "photos: neither saliency.json nor model.json there",
    "autoannotate bare.csv run --split tset": "no row has split 'tset'; there are train",
    "autoannotate set.csv run": "every image asked for has a map already",
    "maps import labelmee marks": "format of annotations: expected labelme,",
    "maps import labelme gone --images photos": "no such file: gone",
    "maps import labelme marks --images gone": "no such folder: gone",
    "maps import labelme marks --images photos --annotators unoin": "there is no 'unoin'",
    "maps import labelme marks --images photos": "a.json: z.png: no image of this name",
    "maps export set.csv cocoo out.json": "got 'cocoo'; did you mean 'coco'?",
    "maps export bare.csv coco out.json": "no row has a map in the column 'saliency'",
    "maps aggregate set.csv": "no column saliency_<who>",
    "maps aggregate set.csv --method medain --column saliency": "got 'medain'; did you mean 'mean'?",
    "maps granularity set.csv --grain boundry": "got 'boundry'; did you mean 'boundary'?",
    "annotate gone": "no such folder: gone",
    "annotate photos --mode singel": "got 'singel'",
    "annotate photos --manifest gone.csv": "no manifest at gone.csv",
    "annotate photos --public here": "--public: expected http:// or https://",
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
        Path(folder, name).parent.mkdir(exist_ok=True)
        Path(folder, name).write_text(text)
    for name in ("photos/a.png", "map.png"):
        Path(folder, name).parent.mkdir(exist_ok=True)
        Image.new("L", (8, 8)).save(folder / name)
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
