"""Two ways to choose the weight of a loss term in every step: a gradient dose, or the multiplier of a constraint.

    python examples/studies/prepare.py digits data/digits
    python benchmarks/multiplier.py data/digits/manifest.csv runs/multiplier --json multiplier.json

A dose makes the term's gradient a fixed number of times as strong as that of cross-entropy (`salign.losses.dose`). The
rival is constrained optimisation: the constraint says which share of its first value the term may keep at most, and in
every step the logarithm of the weight rises by `RATE` times the logarithm of the ratio of the term to its limit (a
multiplicative form of dual ascent, which has no unit). Both train a small network on digits beside a colour, with the
same losses, seeds and number of settings. On the target set the colour is random; the target measures the results and
chooses nothing. Finished runs are not repeated.

The tables list every run, and for each way: the figure on the target of the setting that the region test chooses, and
of the best setting; how far the losses differ at the same setting; and Spearman's correlation between the region test
and the target.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from salign.errors import SalignError
from salign.losses import dose
from salign.losses.dose import Dose
from salign.runs.analyse import analyse_run
from salign.runs.fit import fit
from salign.train.recipe import ClassifyRecipe

LOSSES = {"hint mse": {"name": "hint", "form": "mse"}, "cyborg": {"name": "cyborg"}, "energy": {"name": "energy"}}
LOSSES["swap"] = {"name": "swap"}
SETTINGS = {"dose": (0.3, 1.7, 10.0), "constraint": (0.5, 0.15, 0.03)}
RATE = 0.05


class Multiplier(Dose):
    """Holds the term at a share of its first value, which is given in the place of the dose."""

    def __init__(self, share: float) -> None:
        super().__init__(share)
        self.register_buffer("first", torch.zeros(()))
        self.register_buffer("weight", torch.zeros(()))

    def forward(self, ce: Tensor, term: Tensor, features: Sequence[Tensor]) -> Tensor:
        """The weight of this step, which is raised while the term is too large and lowered while it is not."""
        if not torch.is_grad_enabled() or float(term.detach()) <= 0:
            return self.weight.clone()
        if self.first == 0:
            self._learn(torch.stack([dose.gradient_norm(scalar, features) for scalar in (ce, term)]))
            self.first.copy_(term.detach())
            self.weight.copy_(self.norms[0] / self.norms[1])
        too_much = (term.detach() / (self.dose * self.first)).log().clamp(-1, 1)
        self.weight.mul_((RATE * too_much).exp())
        return self.weight.clone()


def run(manifest: Path, out: Path, way: str, loss: str, setting: float, epochs: int, limit: int) -> dict[str, object]:
    recipe = ClassifyRecipe.build(
        {
            "name": loss.replace(" ", "-"),
            "data": {"manifest": str(manifest), "test": ["test_iid", "test_ood"], "limit": limit}
            | {"image_size": 64, "augment": "none", "workers": 0},
            "model": {"backbone": "test_efficientnet", "weights": None, "output_stride": 8},
            "loss": LOSSES[loss] | {"dose": setting},
            "train": {"epochs": epochs, "batch_size": 32, "lr": 0.3, "schedule": "one_cycle", "select": "last"},
        },
        "this benchmark",
    )
    dose.Dose = {"dose": Dose, "constraint": Multiplier}[way]
    place = {"way": way, "loss": loss, "setting": setting}
    try:
        trained = fit(recipe, out / way, resume=True, progress=False, say=lambda line: None)
    except SalignError as error:
        print(error)
        return place | dict.fromkeys(("validation", "region", "target"), float("nan"))
    table = analyse_run(trained, sets=["val"], images=200, draws=4)["reliance"]
    inside = table[(table["kept"] == "inside") & (table["fill"] == "other")].set_index("metric")["value"]
    figures = trained.figures().query("group_column == '' and metric == 'accuracy'").set_index("split")["value"]
    found = {"validation": figures["val"], "region": inside["accuracy"], "target": figures["test_ood"]}
    return place | {name: float(value) for name, value in found.items()}


def compare(runs: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for way, part in runs.groupby("way", sort=False):
        diverged, part = int(part["target"].isna().sum()), part.dropna()
        chosen, best = part.loc[part["region"].idxmax()], part.loc[part["target"].idxmax()]
        of_each = part.loc[part.groupby("loss")["region"].idxmax(), "target"].mean()
        rank = stats.spearmanr(part["region"], part["target"]).statistic
        apart = part.groupby("setting")["target"].agg(np.ptp).mean()
        rows.append(
            {"way": way, "chosen": f"{chosen['loss']} {chosen['setting']:g}", "target": chosen["target"]}
            | {"best": best["target"], "chosen_of_each_loss": of_each, "apart_at_a_setting": apart, "spearman": rank}
            | {"diverged": diverged}
        )
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("out", type=Path, help="runs go here")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--limit", type=int, default=500, help="training images")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for way, settings in SETTINGS.items():
        for loss in LOSSES:
            for setting in settings:
                rows.append(run(options.manifest, options.out, way, loss, setting, options.epochs, options.limit))
                print(*(f"{x:.3f}" if isinstance(x, float) else x for x in rows[-1].values()), flush=True)
    table = compare(pd.DataFrame(rows))
    print(table.round(3).to_string(index=False))
    if options.json:
        options.json.write_text(json.dumps({"runs": rows, "ways": table.to_dict("records")}, indent=1))


if __name__ == "__main__":
    main()
