"""Maps made by machines for the images that have none: by nets that learned from people, or by guided teachers.

What a machine made says so: the column `provenance` of the manifest names the model and the hash of its weights, and
`confidence` how sure it was. Maps that people made are never touched.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from rich.progress import Progress
from torch import Tensor

from salign.data.manifest import CONFIDENCE, MACHINE, PROVENANCE, Manifest
from salign.data.manifest.provenance import provenance_of
from salign.data.reading.datamodule import predict_loader
from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.image import image_size
from salign.data.reading.transforms import build_transform
from salign.errors import SalignError
from salign.evaluate.agreement import pearson
from salign.explain import grad_cam, rise
from salign.files import check_output
from salign.maps import min_max, resize
from salign.maps.files import write_map
from salign.models import Classifier, SaliencyNet
from salign.models.classifier import CONFIG as CLASSIFIER
from salign.models.saliency_net import CONFIG as NET
from salign.models.saved import WEIGHTS
from salign.readers import file_digest

METHODS = ("cam", "grad_cam", "rise")
"""How a classifier says where."""
_WAITING = 64
"""Maps that may wait to be written, so that memory does not grow where the disk is slow."""


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
    """

    def __init__(
        self, classifier: Classifier, name: str, *, method: str, of: str = "true", masks: int = 1000, seed: int = 0
    ) -> None:
        self.classifier, self.name, self.method, self.of = classifier.eval(), name, method, of
        self.image_size = classifier.image_size
        self.classes: Sequence[str] = classifier.classes
        self.masks, self.seed = masks, seed

    @torch.no_grad()
    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Explain one class of every image; CAMs cost the one forward pass that answers."""
        output = self.classifier(images)
        probabilities = output.logits.float().softmax(1)
        wanted = probabilities.argmax(1)
        if self.of == "true":
            wanted = torch.where(labels >= 0, labels, wanted)
        if self.method == "rise":
            generator = torch.Generator().manual_seed(self.seed)  # the same masks for all images
            maps = rise(self.classifier, images, wanted, masks=self.masks, generator=generator)
        elif self.method == "grad_cam":
            maps = grad_cam(self.classifier, images, wanted)
        else:
            maps = output.cam(wanted)
        return min_max(maps.float()), probabilities.gather(1, wanted[:, None])[:, 0]


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
        pairs = [pearson(one, two).nan_to_num(0.0) for one, two in combinations(maps, 2)]
        return maps.mean(0), torch.stack(pairs).mean(0).clamp(min=0).float()


def maker_of(
    run: Path | str, *, method: str = "cam", of: str = "true", masks: int = 1000, seed: int = 0, device: str = "cpu"
) -> Maker:
    """What a run folder can mark with: the net of `salign saliency train`, or the classifier of `salign train`.

    Raises:
        SalignError: neither is there, or a classifier of images that may have several labels.
    """
    folder = Path(run)
    if (folder / NET).is_file():
        net = SaliencyNet.load(folder).to(device)
        return NetMaker(net, _name(folder, net.config["backbone"]))
    if (folder / CLASSIFIER).is_file():
        teacher = Classifier.load(folder).to(device)
        if teacher.multi_label:
            raise SalignError(
                f"{folder}: images may have several labels there (data.multi_label), and a teacher marks the evidence "
                "for one class. Train a net that marks without classes: salign saliency train."
            )
        name = _name(folder, f"{teacher.config['backbone']}-{method}")
        return TeacherMaker(teacher, name, method=method, of=of, masks=masks, seed=seed)
    raise SalignError(
        f"{folder}: neither {NET} nor {CLASSIFIER} there; expected a run of salign saliency train or train."
    )


def _name(folder: Path, what: str) -> str:
    return f"{MACHINE}{what}@{file_digest(folder / WEIGHTS)[:8]}"


@dataclass(frozen=True)
class Marked:
    """What `auto_annotate` made."""

    manifest: Manifest
    """All rows; those that had no map have one now, unless it was not sure enough."""
    drafts: Manifest | None
    """The rows of maps that were not sure enough, least sure first; None if there are none."""
    made: int
    """Maps made."""
    sureness: np.ndarray
    """`(made,)` how sure the maker was of each, in the order of the rows."""


def auto_annotate(
    manifest: Manifest,
    maker: Maker,
    out: Path,
    *,
    splits: Sequence[str] | None = None,
    below: float = 0.0,
    batch_size: int = 16,
    workers: int | str = "auto",
    device: str = "cpu",
    progress: bool = False,
) -> Marked:
    """Mark every image that has no map, at constant memory and about the rate of the bare forward pass.

    Args:
        manifest: its maps are kept; only empty cells are filled.
        maker: marks the images.
        out: new folder for the maps, inside of the manifest's root.
        splits: mark these only; None = all. Give the training splits: nobody should be measured against a machine.
        below: maps less sure than this are kept apart as drafts for people, and fill no cell.
        batch_size: images at a time.
        workers: processes that read images.
        device: where the maker computes.
        progress: show a bar.

    Raises:
        SalignError: nothing to mark, the folder is not inside of the root or not empty, or an image cannot be read.
    """
    out = out.resolve()
    if not out.is_relative_to(manifest.root):
        raise SalignError(f"{out}: maps of a manifest lie inside of its root {manifest.root}; choose a folder there.")
    check_output(out, folder=True)
    if out.exists() and any(out.iterdir()):
        raise SalignError(f"{out} is not empty; choose a new folder, so that no map is replaced.")
    empty = manifest.table["saliency"].isna()
    if splits is not None:
        manifest.select(splits)  # refuses what does not occur
        empty &= manifest.table["split"].isin(list(splits))
    positions = np.flatnonzero(empty.to_numpy(dtype=bool))
    if not len(positions):
        raise SalignError(f"{manifest.source}: every image asked for has a map already; nothing to mark.")
    made = _make(manifest.take(positions), maker, out, batch_size, workers, device, progress)
    filled = _filled(manifest, positions, made)
    sure = np.ones(len(manifest), dtype=bool)
    sure[positions] = made["confidence"].to_numpy() >= below
    unsure = np.flatnonzero(~sure)
    drafts = None
    if len(unsure):
        order = np.argsort(filled.table[CONFIDENCE].iloc[unsure].astype(float).to_numpy(), kind="stable")
        drafts = filled.take(unsure[order])
        table = filled.table.copy()
        table.loc[~sure, ["saliency", PROVENANCE]] = pd.NA
        filled = Manifest(table, filled.root, filled.source)
    return Marked(filled, drafts, len(positions), made["confidence"].to_numpy(dtype=np.float64))


def _make(
    rows: Manifest, maker: Maker, out: Path, batch_size: int, workers: int | str, device: str, progress: bool
) -> pd.DataFrame:
    """Write the maps; columns saliency (path below the root), provenance and confidence, in the order of the rows."""
    dataset = SaliencyDataset(rows, rows.classes, build_transform(maker.image_size))
    known = torch.tensor([maker.classes.index(name) if name in maker.classes else -1 for name in rows.classes])
    names, confidences, waiting = list[str](), list[float](), list[Future[Any]]()
    with ThreadPoolExecutor(2) as pool, Progress(transient=True, disable=not progress) as bar, torch.inference_mode():
        task = bar.add_task("marking images", total=len(rows))
        for batch in predict_loader(dataset, batch_size, workers):
            maps, confidence = maker(batch.images.to(device), known[batch.labels].to(device))
            for position, values in zip(batch.index.tolist(), maps.cpu(), strict=True):
                path = out / _file_name(rows, position)
                names.append(path.relative_to(rows.root).as_posix())
                waiting.append(pool.submit(_write, path, values, rows.image_path(position), max(maker.image_size)))
            confidences += [round(value, 4) for value in confidence.tolist()]  # as the manifest says it
            while len(waiting) > _WAITING:
                waiting.pop(0).result()
            bar.advance(task, len(batch.labels))
        for one in waiting:
            one.result()
    return pd.DataFrame({"saliency": names, PROVENANCE: maker.name, CONFIDENCE: confidences})


def _file_name(rows: Manifest, position: int) -> str:
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", rows.image_path(position).stem)[:80]
    return f"{rows.table['row'].iat[position]:06d}_{stem}.png"


def _write(path: Path, values: Tensor, image: Path, longest: int) -> None:
    """Write a map in the shape of its image."""
    write_map(path, resize(values[None], shape_for(image_size(image), longest))[0])


def shape_for(image: tuple[int, int], longest: int) -> tuple[int, int]:
    """(H, W) of a map for an image of (H, W): its shape at the size the maker saw, which is all that the map can know.

    The longer side has `longest` pixels, or as many more, up to twice, as it takes to change the shape by less than
    half a percent in rounding the other; the image's own size where that does not do or the image is smaller.
    """
    for side in range(longest, min(2 * longest, max(image))):
        scale = side / max(image)
        small = (round(image[0] * scale), round(image[1] * scale))
        if min(small) >= 2 and abs(small[0] * image[1] / (small[1] * image[0]) - 1) < 0.005:
            return small
    return image


def _filled(manifest: Manifest, positions: np.ndarray, made: pd.DataFrame) -> Manifest:
    """The manifest with the cells of what was made, at these positions."""
    table, text = manifest.table, manifest.table["saliency"].dtype
    here = np.zeros(len(table), dtype=bool)
    here[positions] = True
    said = made.assign(**{CONFIDENCE: made[CONFIDENCE].map("{:.4f}".format)})
    changed = {}
    for column in ("saliency", PROVENANCE, CONFIDENCE):
        before = table[column] if column in table else pd.Series(pd.NA, index=table.index, dtype=text)
        new = said[column].astype(text).set_axis(positions).reindex(table.index)
        changed[column] = before.where(~here, new)
    return Manifest(table.assign(**changed), manifest.root, manifest.source)
