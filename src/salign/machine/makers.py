"""Machine annotators: nets that learned from people, guided teachers that explain their answers, and ensembles."""

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
from salign.explain import rise
from salign.explain.grad_cam import grad_cam_of
from salign.limits import LARGEST_SEED
from salign.machine.options import CLASSES, DEVICES, METHODS, check_maker
from salign.maps import min_max, resize
from salign.models import Model, SaliencyNet, load
from salign.models.config import NET, WEIGHTS
from salign.readers import file_digest


class Maker(Protocol):
    """A machine annotator, which draws maps of images."""

    name: str
    """The provenance of its maps: `model:<what>@<hash>`."""
    image_size: tuple[int, int]
    """(H, W) of the images that it takes."""
    classes: Sequence[str]
    """Names of the classes that it knows; empty if it needs none."""

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the maps of a batch.

        Args:
            images: `(B, 3, H, W)` in [0, 1].
            labels: `(B,)` int64 positions in `classes`, -1 where unknown.

        Returns:
            Maps `(B, h, w)` in [0, 1], and how sure the maker is of each map, `(B,)` in [0, 1].
        """
        ...


class NetMaker:
    """A net that learned from people.

    How sure it is of a map is the mean of the map, weighted by the map itself.
    """

    classes: Sequence[str] = ()

    def __init__(self, net: SaliencyNet, name: str) -> None:
        self.net, self.name, self.image_size = net.eval(), name, net.image_size

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Predict the maps of a batch; the labels are not used."""
        maps = self.net.predict(images)
        mass = maps.sum((1, 2))
        return maps, maps.square().sum((1, 2)) / mass.clamp(min=torch.finfo(mass.dtype).tiny)


class TeacherMaker:
    """A guided classifier that explains its answer (Teaching AI to Teach, arXiv 2306.05527).

    It draws its map of one class, scaled to [0, 1]. The class is that of the label if `of` is "true" and the label is
    known, otherwise the predicted class. How sure it is of the map is the probability of that class.

    Args:
        classifier: the teacher.
        name: `model:<what>@<hash>`.
        method: "cam", "grad_cam" or "rise".
        of: "true" or "predicted".
        masks: number of masks of RISE.
        seed: seed of the masks of RISE.

    Raises:
        SalignError: `method` or `of` is unknown, or the number of masks or the seed is out of its range.
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
        """Explain one class of every image; only RISE takes more than the one forward pass that gives the answer."""
        output = self.classifier(images)
        probabilities = output.logits.float().softmax(1)
        classes = probabilities.argmax(1)
        if self.of == "true":
            classes = torch.where(labels >= 0, labels, classes)
        if self.method == "rise":
            generator = torch.Generator().manual_seed(self.seed)  # the same masks for all images
            maps = rise(self.classifier, images, classes, masks=self.masks, generator=generator)
        elif self.method == "grad_cam":
            maps = grad_cam_of(output, classes)
        else:
            maps = output.cam(classes)
        return min_max(maps.float()), probabilities.gather(1, classes[:, None])[:, 0]


class Ensemble:
    """Several makers, of whose maps it takes the mean.

    How sure it is of a map is the mean correlation between the maps of two members, at least 0.
    """

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
        """Draw the maps of all members and average them."""
        maps = torch.stack([resize(maker(images, labels)[0], self.image_size) for maker in self.makers])
        pairs = [pearson(first, two).nan_to_num(0.0) for first, two in combinations(maps, 2)]
        return maps.mean(0), torch.stack(pairs).mean(0).clamp(min=0).float()


def maker_of(
    run: Path | str, *, method: str = "cam", of: str = "true", masks: int = 1000, seed: int = 0, device: str = "cpu"
) -> Maker:
    """Return the maker in a run's folder: the net of `salign saliency train`, or the classifier of `salign train`.

    A net uses none of the options `method`, `of`, `masks` and `seed`; for a classifier they are those of
    `TeacherMaker`.

    Args:
        run: the folder.
        method: how a classifier marks its evidence.
        of: the class whose evidence it marks.
        masks: number of masks of RISE.
        seed: seed of the masks of RISE.
        device: device on which the maker computes.

    Raises:
        SalignError: the folder holds neither a net nor a classifier, the classifier is for images that may have several
            labels, the device is not available, or an option is not valid.
    """
    checks.device("device", device)
    folder = Path(run)
    if check_maker(folder) == NET:
        net = SaliencyNet.load(folder).to(device)
        return NetMaker(net, _name(folder, net.config["backbone"]))
    teacher = load(folder).to(device)
    name = _name(folder, f"{teacher.config['backbone']}-{method}")
    return TeacherMaker(teacher, name, method=method, of=of, masks=masks, seed=seed)


def device_of(device: str) -> str:
    """Return the device that a machine annotator computes on: CUDA if it is asked for and available, else the CPU.

    Args:
        device: one of `salign.machine.options.DEVICES`.

    Raises:
        SalignError: there is no such device.
    """
    checks.choice("device", device, DEVICES)
    return "cuda" if device in ("auto", "cuda") and torch.cuda.is_available() else "cpu"


def maker_of_runs(runs: Sequence[Path | str], **options: Any) -> Maker:
    """Return the maker of one run, or the ensemble of several runs.

    Args:
        runs: the folders of the runs.
        options: the options of `maker_of`.

    Raises:
        SalignError: `maker_of` refuses a run, or the makers cannot form an ensemble.
    """
    makers = [maker_of(run, **options) for run in runs]
    return makers[0] if len(makers) == 1 else Ensemble(makers)


def _name(folder: Path, what: str) -> str:
    return f"{MACHINE}{what}@{file_digest(folder / WEIGHTS)[:8]}"
