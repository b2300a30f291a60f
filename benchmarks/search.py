"""How well predictors rank cells after a few were trained: the graph network, ridge regression, a random forest.

    python benchmarks/search.py nasbench201 --draws 20 --pretrainings 5 --json nasbench201.json
    python benchmarks/search.py nasbench_macro --draws 20 --pretrainings 5 --json nasbench_macro.json

The figure is Kendall's tau on 3,000 cells whose values no predictor saw, with 30 and with 100 labels. The graph network
is pretrained from easy to hard, in random order, or not at all. For each draw of labels it is fitted from every
pretraining, and its tau is the mean over these. Intervals are Student's, over draws.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from salign.search.rank import kendall, make_predictor
from salign.search.spaces import SPACES, read_cells

TARGETS = {"nasbench201": "full_cifar10", "nasbench_macro": "accuracy1"}
LABELS = (30, 100)
ORDERS = ("easy", "random", "none")


def measure(name: str, data: Path, draws: int, pretrainings: int) -> dict[str, dict[str, list[float]]]:
    """Number of labels -> predictor -> tau of each draw."""
    space = SPACES[name]
    _, cells, values = read_cells(data / name / f"{name}.csv", space, TARGETS[name])
    predictors = {
        f"gin, {order}": [make_predictor("gin", space, cells, order=order, seed=seed) for seed in range(pretrainings)]
        for order in ORDERS
    }
    predictors |= {name: [make_predictor(name, space, cells)] for name in ("ridge", "forest")}
    print("pretrained", flush=True)
    taus: dict[str, dict[str, list[float]]] = {str(count): {name: [] for name in predictors} for count in LABELS}
    for draw in range(draws):
        order = np.random.default_rng(draw).permutation(len(cells))
        test = order[-3000:]
        for count in LABELS:
            rows = order[:count]
            for predictor, made in predictors.items():
                each = [kendall(scores(cells[rows], values[rows], cells[test]), values[test]) for scores in made]
                taus[str(count)][predictor].append(float(np.mean(each)))
        print(draw, {key: round(value[-1], 3) for key, value in taus["30"].items()}, flush=True)
    return taus


def interval(values: list[float]) -> str:
    mean, half = np.mean(values), stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return f"{mean:+.3f} [{mean - half:+.3f}, {mean + half:+.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("space", choices=list(SPACES))
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--pretrainings", type=int, default=5)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/graphs"))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    taus = measure(arguments.space, arguments.data, arguments.draws, arguments.pretrainings)
    for count, by in taus.items():
        print(f"\n{arguments.space}, {count} labels, {arguments.draws} draws, {arguments.pretrainings} pretrainings")
        for name, values in by.items():
            print(f"{name:<14} tau {np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}")
        easy = by["gin, easy"]
        for name in ("gin, random", "gin, none", "ridge", "forest"):
            print(f"gin, easy - {name:<14} {interval([a - b for a, b in zip(easy, by[name], strict=True)])}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"settings": vars(arguments), "tau": taus}, default=str, indent=1))


if __name__ == "__main__":
    main()
