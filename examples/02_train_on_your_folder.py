"""From a folder of images and a folder of maps to a trained classifier: the manifest, a recipe in code, `salign.fit`.

The folders stand for yours: `photos/SPLIT/CLASS/*.png` and `marks/SPLIT/CLASS/*.png`, where a map has the name of its
image. Here they are filled with handwritten threes and eights beside a coloured patch that gives the digit away, except
in `test`.
"""

from pathlib import Path

import pandas as pd

import salign
from salign.data.manifest.sources import from_folder
from salign.data.reading.image import read_image
from salign.data.shortcuts.decoy import write_decoy_digits

for row in pd.read_csv(write_decoy_digits(Path("digits"), train=1000, val=300, test=500)).itertuples():
    name = {3: "three", 8: "eight"}.get(row.label)
    if name is not None and row.split != "test_iid":
        for old, top in ((row.path, "photos"), (row.saliency, "marks")):
            new = Path(top, row.split.removesuffix("_ood"), name, f"{row.id}.png")
            new.parent.mkdir(parents=True, exist_ok=True)
            Path("digits", old).replace(new)

manifest = from_folder("photos", "marks").write("manifest.csv")  # id, path, label, split, saliency
recipe = salign.Recipe.build(
    {
        "name": "threes-and-eights",
        "data": {"manifest": str(manifest), "image_size": 64, "augment": "none", "workers": 0},
        "model": {"backbone": "test_resnet", "weights": None, "output_stride": 8},
        "loss": {"name": "cyborg", "alpha": 0.25},
        "train": {"epochs": 12, "lr": 0.05, "schedule": "one_cycle", "select": "last"},
    }
)
run = salign.fit(recipe, "runs", progress=False)

figures = pd.read_csv(run.evaluation).query("split == 'test'").set_index("metric")
for metric in ("auroc", "accuracy", "eer"):
    print("{}: {:.3f} [{:.3f}, {:.3f}]".format(metric, *figures.loc[metric, ["value", "low", "high"]]))

model = salign.load(run.path)
photo = sorted(Path("photos/test/eight").iterdir())[0]
output = model(read_image(photo)[None] / 255)  # (1, 3, 64, 64) in [0, 1]
answer = output.logits.argmax(1)
print(f"{photo} is {model.classes[answer]}; its evidence lies in a map of {tuple(output.cam(answer)[0].shape)} cells")
