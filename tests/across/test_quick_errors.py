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
    "named.onnx": "no model",
    "bare.csv": "id,path,label,split,saliency\na,photos/a.png,cat,train,\n",
    "run/model.json": '{"backbone": "resnet18", "image_size": [32, 32], "classes": ["cat", "dog"]}',
    "run/recipe.yaml": "name: a\ndata: {manifest: set.csv}\n",
    "run/done": "",
    "marks/a.json": '{"imagePath": "z.png", "imageWidth": 8, "imageHeight": 8, "shapes": []}',
    "texts/a.txt": "no image",
    "study.yaml": "name: s\nrecipe: {}\ngrids: [{arms: [ce], seedz: 3}]\n",
    "arms.yaml": "name: s\nrecipe: {data: {manifest: set.csv}}\narms: {own: {loss: {name: swap, weight: -1}}}\n"
    "guided: own\ngrids: [{arms: [ce, own]}]\n",
    "key.yaml": "name: s\nrecipe: {data: {manifest: set.csv}}\narms: {own: {train: {epohcs: 3}}}\nguided: own\n"
    "grids: [{arms: [ce, own]}]\n",
    "arm.yaml": "name: s\nrecipe: {data: {manifest: set.csv}}\nguided: hint\ngrids: [{arms: [ce, shufled]}]\n",
    "target.yaml": "name: s\nrecipe: {data: {manifest: set.csv}}\nguided: hint\ntarget: tset\ngrids: [{arms: [ce]}]\n",
    "evidence.yaml": "rows:\n  row: {study: plan.yaml, arm: ce, seeds: [0], set: test, metric: accuracy, "
    "expected: 0.5, tolerance: 0.1, minutes: 1, prepare: [python prepare.py busi], commit: abc}\n",
    "plan.yaml": "name: s\nrecipe: {data: {manifest: gone.csv}}\ngrids: [{arms: [ce]}]\n",
    "few.yaml": "rows:\n  row: {study: plan.yaml, arm: ce, seeds: []}\n",
    "teacher.yaml": "name: a\ndata: {manifest: set.csv}\nloss: {name: distill, teacher: runs/gone}\n",
    "device.yaml": "name: a\ndata: {manifest: set.csv}\ntrain: {device: gpu}\n",
    "batch.yaml": "name: a\ndata: {manifest: set.csv}\ntrain: {devices: 3}\n",
    "nodes.yaml": "name: a\ndata: {manifest: set.csv}\ntrain: {devices: 2, nodes: 2}\n",
    "sets.yaml": "name: s\nrecipe: {data: {manifest: set.csv, test: [val]}}\ngrids: [{arms: [ce]}]\n",
    "groups.yaml": "name: a\ndata: {manifest: set.csv}\nloss: {name: group_dro}\n",
    "empty.csv": "",
    "unsplit.csv": "id,path,label,patient\na,named.yaml,x,p\n",
    "whole.csv": "id,path,label,split\na,named.yaml,x,train\n",
    "pics/cat/1.png": "",
    "pics/dog/2.png": "",
    "flat/cat_1.png": "",
    "flat/cat_2.png": "",
    "flat/dog_1.png": "",
    "flat/dog_2.png": "",
    "table/a.png": "",
    "table/labels.csv": "image;label\na.png;cat\n",
    "strange/cat/1.png": "",
    "strange/labels.csv": "image,label\nz.png,cat\n",
    "broken/cat_1.png": "",
    "broken/notes.json": '{"images": [',
    "misspelt/a.png": "",
    "misspelt/manifest.csv": "id,path,lable,split\na,a.png,x,train\n",
    "phone/a.heic": "",
    "set/manifest.csv": "id,path,label,split\na,../pics/cat/1.png,x,train\n",
    "ready/a.png": "",
    "ready/manifest.csv": "id,path,label,split\na,a.png,x,train\n",
    "ready/study.yaml": "name: s\nrecipe: {data: {manifest: manifest.csv}}\ngrids: [{arms: [ce]}]\n",
    "runs/a-1/recipe.yaml": "name: a\n",
    "runs/a-2/recipe.yaml": "name: a\n",
    "nodes.csv": "id,label,split,text,tile\na,x,train,red,1\nb,y,train,blue,1\nc,x,val,red,\n",
    "strange.csv": "source,target\na,b\na,z\n,b\n",
    "loops.csv": "source,target\na,a\n",
    "twice.csv": "id,label,split\na,x,train\na,y,train\n",
    "people.csv": "label,split\nx,train\ny,train\nx,test\ny,test\n",
    "cells.csv": "code,value\n000000,high\n01234,1\n012345,1\n",
    "rates.yaml": "train.lr: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n",
    "space.yaml": "model.backbone: [resnet18, resnet34]\n",
    "runs/a-1/model.json": "{}",
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
    "experiment arms.yaml": "own-seed0: 1 fault(s)\n  loss: weight: expected a number of 0 or more, got -1.0.",
    "tune gone.yaml": "no such file: gone.yaml",
    "tune named.yaml --search train.lr=0.1": "got 'cyborgs'; did you mean 'cyborg'?",
    "tune set.yaml --search train.lr=1..0.1": "the first number must be the smaller one",
    "tune set.yaml --search arm=ce,swpa": "no arm is called 'swpa'; did you mean 'swap'?",
    "tune set.yaml --metric f1": "--metric: expected auroc or accuracy, got 'f1'",
    "report arms.yaml": "loss: weight: expected a number of 0 or more, got -1.0.",
    "run arms.yaml": "loss: weight: expected a number of 0 or more, got -1.0.",
    "experiment key.yaml": "train.epohcs: unknown key; did you mean 'epochs'?",
    "experiment arm.yaml": "no arm is called 'shufled'; did you mean 'shuffled'?",
    "experiment plan.yaml": "gone.csv; expected a .csv or .parquet file",
    "experiment plan.yaml --list": "gone.csv; expected a .csv or .parquet file",
    "report plan.yaml": "gone.csv; expected a .csv or .parquet file",
    "experiment sets.yaml": "data.test: 'val' cannot name a test set, whose predictions go into a file of that name",
    "experiment target.yaml": "no test set of that name for target 'tset'; there are, data set data: val, test.",
    "reproduce row --table gone.yaml": "no table of evidence at gone.yaml",
    "reproduce rov --table evidence.yaml": "no row is called 'rov'; did you mean 'row'?",
    "reproduce row --table evidence.yaml": "Write them first: python prepare.py busi",
    "reproduce row --table few.yaml": "rows.row.expected",
    "train teacher.yaml": "runs/gone is no folder of a finished run",
    "train device.yaml": "train.device: Input should be 'auto', 'cpu', 'cuda' or 'mps', got 'gpu'",
    "train batch.yaml": "train: batch_size: 20 images do not divide among 3 processes; take 18 or 21",
    "train nodes.yaml": "train: nodes: 2 machines need one command on each, by torchrun --nnodes 2 or srun",
    "explain run --set tset": "set: expected val or test, got 'tset'; did you mean 'test'?",
    "analyse run --set tset": "set: expected val or test, got 'tset'; did you mean 'test'?",
    "evaluate run --threshold err": "unknown rule 'err'; expected 'eer' or 'apcer<percent>'",
    "evaluate run --confidence 95": "--confidence: expected a number above 0 and below 1, got 95.0.",
    "report gone.yaml": "no such file: gone.yaml",
    "data import pickle photos": "layout: expected folder, csv or cvrl, got 'pickle'",
    "evaluate gone": "gone is no run folder: expected recipe.yaml in it",
    "publish gone --to there": "gone is no run folder: expected recipe.yaml in it",
    "publish run --to pics": "pics holds files already, and nothing is written over; give a new folder.",
    "export gone": "gone is no run folder: expected recipe.yaml in it",
    "export run --format onx": "--format: expected onnx or pt2, got 'onx'; did you mean 'onnx'?",
    "predict gone.onnx photos": "no such file: gone.onnx",
    "predict named.onnx photos": "named.onnx is no file of `salign export`",
    "predict run photos --threshold 0.5": "this model of cat, dog has none to replace",
    "predict run photos --block 4": "--ray-address, --actors and --block belong to --ray; add that.",
    "serve gone": "gone is no run folder: expected recipe.yaml in it",
    "serve gone.onnx": "no such file: gone.onnx",
    "serve named.onnx": "named.onnx is no file of `salign export`",
    "serve run --threshold 0.5": "this model of cat, dog has none to replace",
    "serve run --public here": "--public: expected http:// or https://",
    "fuse gone": "gone is no run folder: expected recipe.yaml in it",
    "rebalance gone": "gone is no run folder: expected recipe.yaml in it",
    "rebalance run --method adasyn": "--method: expected eos, smote, repeat or plain, got 'adasyn'",
    "rebalance run --reach 2": "--reach: expected",
    "dfr gone": "gone is no run folder: expected recipe.yaml in it",
    "dfr run": "posthoc dfr balances groups, and there are none",
    "train groups.yaml": "loss group_dro balances groups, and there are none",
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
    "data clone gone.csv out": "no manifest at gone.csv",
    "data shard gone.csv --to out": "no manifest at gone.csv",
    "train device.yaml --set train.device=cpu --set data.cache=named.yaml/a": "named.yaml is not a folder",
    "train device.yaml --set train.device=cpu --out s3://bucket/runs": "s3://bucket/runs cannot be written to",
    "train device.yaml --set train.device=cpu --set data.root=gone": "there is no folder",
    "data clone whole.csv out --order 3": "order: expected 1 or 2, got 3",
    "predict run gone": "gone: no such folder or image",
    "predict run texts": "texts: found no image",
    "predict run texts/a.txt": "texts/a.txt: the file is damaged or of another kind; expected PNG",
    "saliency predict named.onnx texts/a.txt": "texts/a.txt: the file is damaged or of another kind; expected PNG",
    "predict run photos --out photos": "it is a folder, and a file is needed",
    "predict run photos --maps photos/maps": "maps would lie among the images",
    "autoannotate gone.csv run": "no manifest at gone.csv",
    "autoannotate bare.csv run --method rize": "got 'rize'; did you mean 'rise'?",
    "autoannotate bare.csv photos": "photos: neither saliency.json nor model.json there",
    "autoannotate bare.csv run --split tset": "no row has split 'tset'; there are train",
    "autoannotate bare.csv run --actors 2": "--ray-address, --actors and --block belong to --ray; add that.",
    "autoannotate bare.csv run --ray --block 40": "--block: expected a multiple of --batch-size, which is 16",
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
    "saliency predict run photos": "run: no saliency.json there",
    "saliency predict gone.onnx photos": "no such file: gone.onnx",
    "saliency predict named.onnx photos": "named.onnx is no file of `salign export`",
    "explain run --method camm": "got 'camm'; did you mean 'cam'?",
    "explain run --of tru": "got 'tru'; did you mean 'true'?",
    "analyse run --of tru": "got 'tru'; did you mean 'true'?",
    "analyse run --attack --norm l3": "norm: expected linf or l2, got 'l3'",
    "analyse run --epsilon 8": "describe an attack; add --attack",
    "graph labels gone.csv --link tile": "no manifest at gone.csv",
    "graph labels nodes.csv": "expected either a table of links, or --link COLUMN",
    "graph labels nodes.csv strange.csv": "target: 1 links name no node of nodes.csv, whose column id has such as "
    "'a':\n  row 3: 'z'\nif they are numbers of rows, the first being 0, give --by-row",
    "graph labels nodes.csv loops.csv": "no link joins two different nodes",
    "graph labels nodes.csv --link id": "no two nodes have the same 'id'",
    "graph labels twice.csv loops.csv": "row 3, id: 'a' comes twice; a node has one row",
    "graph labels nodes.csv --link tile --weight 1": "expected one number for each of 3 hops, got 1",
    "graph labels nodes.csv --link tile --split tset": "no labelled node has split 'tset'; the splits are train, val",
    "graph train nodes.csv --link tile": "1 texts stand in more than one split, so that what is measured was learned:\n"
    "  rows 2 (train), 4 (val)\n--shares 0.6/0.2/0.2 draws new splits",
    "graph train nodes.csv --link tile --way jiont": "--way: expected plain, deconvolved or joint, got 'jiont'",
    "graph train nodes.csv --link tile --text tite": "row 1, tite: the column is missing",
    "graph template m.npy nodes.csv": "nodes.csv: no subject with another split, to be measured on, has label y",
    "graph template m.npy people.csv": "no such file: m.npy",
    "graph template empty.csv people.csv": "expected a .npy or .npz file, got .csv",
    "search cells.csv --space nasbench201": "row 2, value: expected a finite number, got 'high'\n"
    "  row 3, code: expected 6 digits, one per slot of nasbench201, got '01234'\n"
    "  row 4, code: '012345' has the unknown operation 5 in slot 6; there are 0 none, 1 skip_connect,",
    "search cells.csv --space nasbench": "--space: expected nasbench201, nasbench_macro or a .yaml file, got",
    "search cells.csv --space nasbench201 --predictor gni": "--predictor: expected gin, ridge or forest, got 'gni'",
    "search set.csv --space nasbench201": "code: the column is missing",
    "search named.yaml --space nasbench201": "its cells are read from a table",
    "search gone.yaml --space space.yaml": "space.yaml: 2 candidates; train them all as networks of a study",
    "search gone.yaml --space rates.yaml": "no such file: gone.yaml",
    "search named.yaml --space study.yaml": "study.yaml, name: expected a list of two or more different values",
    "annotate gone": "no such folder: gone",
    "annotate photos --mode singel": "got 'singel'",
    "annotate photos --manifest gone.csv": "no manifest at gone.csv",
    "annotate photos --public here": "--public: expected http:// or https://",
}
"""Command -> a part of its message."""
NEWCOMERS = {
    "init gone": "gone is not there; expected the folder of your images",
    "init pics/cat/1.png": "pics/cat/1.png is a file; expected the folder of your images",
    "init phone": "there are 1 *.heic: unpack archives, and convert other pictures to PNG or JPEG",
    "init pics/cat": "If these are images of one class, give the folder above",
    "init flat": "The names begin with cat (2), dog (2): if these are the classes, give --classes-from names",
    "init table": "Not used: labels.csv: its cells are separated by semicolons; save it with commas",
    "init strange": "Not used: labels.csv: no column has the names of images here; write them as cat/1.png",
    "init broken": "Not used: notes.json is not JSON: Expecting value: line 1 column 13",
    "init misspelt": "misspelt/manifest.csv: 1 fault\n  row 1, label: the column is missing; the header has",
    "init ready": "study.yaml: there already, and nothing is written over. Next: salign status ready",
    "init pics --shares 70/20/20": "expected shares that add up to 1, such as 0.7/0.15/0.15",
    "init pics --classes-from filenames": "--classes-from: expected folders, outer-folders, inner-folders, table",
    "run gone": "gone: no such folder; expected the folder that salign init made ready",
    "run pics": "Next: salign init pics",
    "run ready --set train.epochs=3": "train: unknown key; what all arms share stands below recipe: recipe.train",
    "annotate pics --merge": "nobody has annotated here yet. Next: salign annotate pics",
    "run ready": "has a map, so that there is nothing to guide by. Next: salign annotate ready",
    "run pics/cat/1.png": "1.png",
    "status gone": "no such folder: gone",
    "train pics": "For a folder of images: salign init pics, then salign run pics",
    "train set/manifest.csv": "is a table; expected the YAML file of a recipe",
    "experiment ready": "expected the YAML file of a study. The folder has a study: salign run ready",
    "report set/manifest.csv": "is a table; expected the YAML file of a study",
    "data check pics": "pics is a folder; expected a manifest, .csv or .parquet: salign init pics writes",
    "data check set": "set is a folder; expected a manifest, .csv or .parquet: its manifest is set/manifest.csv",
    "data check table/labels.csv": "semicolons part the cells",
    "data split pics": "salign init pics writes its manifest",
    "data import folder pics": "give the name of the split (--split train), or: salign init",
    "explain pics": "pics is no run folder: expected recipe.yaml in it. `salign runs` lists the runs",
    "explain last": "there is no finished run below this folder; `salign train` and `salign run` make one",
    "explain a": "2 runs are called a...: a-",
    "evaluate z": "z is no run folder: expected recipe.yaml in it, or the name of a run; runs here are a-",
    "analyse a-1": "a-1 has not finished",
    "predict pics a-1": "first the run, then the images: salign predict",
    "maps import masks pics --images pics": "would be both the images and their masks",
}
"""What people do who have just begun -> a part of the one message that says what to do."""
COMMANDS |= NEWCOMERS
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
        Path(folder, name).parent.mkdir(parents=True, exist_ok=True)
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
