"""Machine annotators: nets that learned from people, guided teachers that explain their answer, and several of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from salign import checks
from salign.data.manifest import MACHINE
from salign.data.manifest.provenance import provenance_of
from salign.errors import SalignError
from salign.evaluate.agreement import pearson
from salign.explain import grad_cam, rise
from salign.limits import LARGEST_SEED
from salign.machine.options import CLASSES, METHODS, check_maker
from salign.maps import min_max, resize
from salign.models import Model, SaliencyNet, load
from salign.models.config import NET, WEIGHTS
from salign.readers import file_digest


class Maker(Protocol):
    """Something that marks images."""

    name: str
    """`model:<what>@<hash>`."""
    image_size: tuple[int, int]
    """(H, W) it takes."""
    classes: Sequence[str]
    """Class names it knows; empty where it needs none."""

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mark a batch.

        Args:
            images: `(B, 3, H, W)` in [0, 1].
            labels: `(B,)` int64 in `classes`, -1 where unknown.

        Returns:
            Maps `(B, h, w)` in [0, 1], and how sure it is of each `(B,)` in [0, 1].
        """
        ...


class NetMaker:
    """A net that learned from people. How sure: the mean of its map, weighted by the map itself."""

    classes: Sequence[str] = ()

    def __init__(self, net: SaliencyNet, name: str) -> None:
        self.net, self.name, self.image_size = net.eval(), name, net.image_size

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Predict maps; labels are not used."""
        maps = self.net.predict(images)
        mass = maps.sum((1, 2))
        return maps, maps.square().sum((1, 2)) / mass.clamp(min=torch.finfo(mass.dtype).tiny)


class TeacherMaker:
    """A guided classifier (Teaching AI to Teach, arXiv 2306.05527): its map of the class, scaled to [0, 1].

    The class is that of the label where `of` is "true" and the label is known, else the predicted one. How sure: the
    probability of that class.

    Args:
        classifier: the teacher.
        name: `model:<what>@<hash>`.
        method: "cam", "grad_cam" or "rise".
        of: "true" or "predicted".
        masks: number of masks of RISE.
        seed: decides RISE's masks.

    Raises:
        SalignError: no such method or class, or a number of masks or a seed that cannot be.
    """

    def __init__(
        self, classifier: Model, name: str, *, method: str, of: str = "true", masks: int = 1000, seed: int = 0
    ) -> None:
        checks.choice("method", method, METHODS)
        checks.choice("of", of, CLASSES)
        checks.number("masks", masks, "[1, inf)", whole=True)
        checks.number("seed", seed, f"[0, {LARGEST_SEED}]", whole=True)
        self.classifier, self.name, self.method, self.of = classifier.eval(), name, method, of
        self.image_size = classifier.image_size
        self.classes: Sequence[str] = classifier.classes
        self.masks, self.seed = masks, seed

    @torch.no_grad()
    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Explain one class of every image; CAMs cost the one forward pass that answers."""
        output = self.classifier(images)
        probabilities = output.logits.float().softmax(1)
        classes = probabilities.argmax(1)
        if self.of == "true":
            classes = torch.where(labels >= 0, labels, classes)
        if self.method == "rise":
            generator = torch.Generator().manual_seed(self.seed)  # the same masks for all images
            maps = rise(self.classifier, images, classes, masks=self.masks, generator=generator)
        elif self.method == "grad_cam":
            maps = grad_cam(self.classifier, images, classes)
        else:
            maps = output.cam(classes)
        return min_max(maps.float()), probabilities.gather(1, classes[:, None])[:, 0]


class Ensemble:
    """Several makers: the mean of their maps. How sure: the mean correlation between two members' maps, at least 0."""

    def __init__(self, makers: Sequence[Maker]) -> None:
        sizes = {maker.image_size for maker in makers}
        if len(makers) < 2 or len(sizes) > 1:
            raise SalignError(f"an ensemble has two or more members of one image size; got sizes {sorted(sizes)}")
        known = {tuple(maker.classes) for maker in makers if maker.classes}
        if len(known) > 1:
            raise SalignError(f"the members of an ensemble know different classes: {sorted(known)}")
        self.makers, self.image_size = list(makers), makers[0].image_size
        self.classes: Sequence[str] = next(iter(known), ())
        self.name = provenance_of(maker.name for maker in makers)

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Ask all members."""
        maps = torch.stack([resize(maker(images, labels)[0], self.image_size) for maker in self.makers])
        pairs = [pearson(first, two).nan_to_num(0.0) for first, two in combinations(maps, 2)]
        return maps.mean(0), torch.stack(pairs).mean(0).clamp(min=0).float()


def maker_of(
    run: Path | str, *, method: str = "cam", of: str = "true", masks: int = 1000, seed: int = 0, device: str = "cpu"
) -> Maker:
    """What a run folder can mark with: the net of `salign saliency train`, or the classifier of `salign train`.

    Args:
        run: the folder.
        method: how a classifier says where, as for `TeacherMaker`; a net needs none of these options.
        of: whose evidence it marks.
        masks: number of masks of RISE.
        seed: decides RISE's masks.
        device: where it computes.

    Raises:
        SalignError: neither is there, a classifier of images that may have several labels, a device that is not here,
            or an option that cannot be.
    """
    checks.device("device", device)
    folder = Path(run)
    if check_maker(folder) == NET:
        net = SaliencyNet.load(folder).to(device)
        return NetMaker(net, _name(folder, net.config["backbone"]))
    teacher = load(folder).to(device)
    name = _name(folder, f"{teacher.config['backbone']}-{method}")
    return TeacherMaker(teacher, name, method=method, of=of, masks=masks, seed=seed)


def maker_of_runs(runs: Sequence[Path | str], **options: Any) -> Maker:
    """What one run marks with, or several together.

    Args:
        runs: their folders.
        options: those of `maker_of`.

    Raises:
        SalignError: as `maker_of`, or they cannot be an ensemble.
    """
    makers = [maker_of(run, **options) for run in runs]
    return makers[0] if len(makers) == 1 else Ensemble(makers)


def _name(folder: Path, what: str) -> str:
    return f"{MACHINE}{what}@{file_digest(folder / WEIGHTS)[:8]}"
