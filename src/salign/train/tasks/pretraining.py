"""The task of pretraining a backbone without labels: by a teacher's embeddings, or by telling images apart."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from salign.collectives import gathered
from salign.data.reading.datamodule import predict_loader
from salign.data.reading.dataset import SaliencyDataset
from salign.errors import SalignError
from salign.losses import LossTerms
from salign.losses.changes import draws_of, random_numbers, random_view
from salign.losses.embedding_losses import contrast, match_teacher
from salign.models import Embedder
from salign.train.prepare import Prepared
from salign.train.recipe import PretrainLossRecipe, PretrainRecipe
from salign.train.steps import Step
from salign.train.tasks.base import Say, Selection, Task
from salign.train.teacher import load_features
from salign.types import Batch


class Pretraining(Task):
    """Trains an embedder; neither labels nor maps are looked at.

    With a teacher, teacher and network are given the same random view of an image, and the network learns to give the
    teacher's embedding (S2-BNN, arXiv 2102.08946). Without a teacher, the network learns to match two views of an image
    and to tell them from the images of earlier steps. The embeddings of these are kept in a queue; they come from a
    second network that slowly follows the first (MoCo v2, arXiv 2003.04297).

    Args:
        embedder: the network.
        loss: section `loss` of the recipe, which says what is learned.
        teacher: a function from images `(B, 3, H, W)` to features `(B, C)`; None for contrast.
        channels: `C`, the number of the teacher's features.
        seed: decides the random embeddings that the queue begins with.
    """

    network: Embedder
    needs = frozenset({"draw"})
    centre: Tensor
    directions: Tensor
    queue: Tensor
    oldest: Tensor

    def __init__(
        self,
        embedder: Embedder,
        loss: PretrainLossRecipe,
        teacher: Callable[[Tensor], Tensor] | None = None,
        *,
        channels: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.network, self.loss, self.image_size = embedder, loss, embedder.image_size
        dimensions = int(embedder.config["dimensions"])
        self.teacher = teacher
        if teacher is not None:
            self.register_buffer("centre", torch.zeros(channels))
            self.register_buffer("directions", torch.zeros(channels, dimensions))
            return
        self.follower = copy.deepcopy(embedder).requires_grad_(False)
        noise = torch.randn(loss.queue, dimensions, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("queue", functional.normalize(noise, dim=1))
        self.register_buffer("oldest", torch.tensor(0))

    @classmethod
    def build(cls, recipe: PretrainRecipe, data: Prepared, say: Say) -> Self:
        """Build the network and load its teacher if there is one; see `Task.build`."""
        embedder = Embedder(
            recipe.model.backbone,
            image_size=recipe.data.image_size,
            dimensions=recipe.model.dimensions,
            weights=recipe.model.weights,
            output_stride=recipe.model.output_stride,
            args=recipe.model.args,
            seed=recipe.seed,
        )
        loss, teacher, channels = recipe.loss, None, 0
        if loss.target == "contrast" and loss.queue >= len(data.train):
            raise SalignError(
                f"loss.queue: {loss.queue} images, but there are {len(data.train)} in training, so that each would be "
                "told from itself; take fewer, such as a quarter of them."
            )
        if loss.target == "teacher":
            teacher, channels, name = load_features(loss.teacher)
            say(f"teacher: {name}")
        say(f"{recipe.model.backbone}: {embedder.origin}; embeddings of {recipe.model.dimensions} numbers")
        return cls(embedder, loss, teacher, channels=channels, seed=recipe.seed)

    @classmethod
    def rows(cls, recipe: PretrainRecipe, data: Prepared, say: Say) -> Prepared:
        """Return all images of the recipe; see `Task.rows`."""
        say(f"training: {len(data.train)} images, whose labels and maps are not looked at")
        return data

    @classmethod
    def selection(cls, recipe: PretrainRecipe) -> Selection:
        """Keep the epoch with the lowest loss on validation, or the last; see `Task.selection`."""
        return Selection(None if recipe.train.select == "last" else "val/loss", "first", lowest=True)

    def cache(
        self,
        train: SaliencyDataset,
        val: SaliencyDataset,
        steps: Sequence[Step],
        folder: Path,
        say: Say,
        *,
        device: str,
        workers: int | str,
    ) -> tuple[SaliencyDataset, SaliencyDataset]:
        """Return the datasets as they are; with a teacher, find the map from its features to embeddings.

        Mean and principal directions of the teacher's features are computed from the training images.
        """
        if self.teacher is not None:
            plain = train.with_transform(val.transform)
            features = (self.teacher(batch.images.to(device)) for batch in predict_loader(plain, 50, workers))
            self.centre, self.directions = principal_directions(features, self.directions.shape[1])
        return train, val

    def forward(self, batch: Batch) -> LossTerms:
        """Return the loss of a training batch, of which the network is given a random view of each image."""
        numbers = random_numbers(draws_of(batch), 10)
        view = random_view(batch.images, numbers[:, :5])
        if self.teacher is not None:
            return LossTerms(self._matching(view), {})
        query = self.network(self.laid_out(view))
        with torch.no_grad():
            self._follow()
            key = self.follower(self.laid_out(random_view(batch.images, numbers[:, 5:])))
        loss = contrast(query, key, self.queue.clone(), temperature=self.loss.temperature)
        self._remember(gathered(key)[0])
        return LossTerms(loss, {})

    def validate(self, batch: Batch) -> Tensor:
        """Return the loss of a validation batch, of which the network is given the images as they are.

        For contrast, the second network is given a random view of each image.
        """
        if self.teacher is not None:
            return self._matching(batch.images)
        view = random_view(batch.images, random_numbers(draws_of(batch), 5))
        query, key = self.network(self.laid_out(batch.images)), self.follower(self.laid_out(view))
        return contrast(query, key, self.queue, temperature=self.loss.temperature)

    def _matching(self, images: Tensor) -> Tensor:
        assert self.teacher is not None
        features = self.teacher(images) - self.centre
        target = functional.normalize(features @ self.directions, dim=1)
        return match_teacher(self.network(self.laid_out(images)), target, temperature=self.loss.temperature)

    def _follow(self) -> None:
        """Move the weights of the second network towards those of the first."""
        for mine, theirs in zip(self.follower.parameters(), self.network.parameters(), strict=True):
            mine.lerp_(theirs, 1 - self.loss.momentum)

    def _remember(self, keys: Tensor) -> None:
        """Put embeddings `(B, D)` into the queue, in place of the oldest ones; of too many, the last ones go in."""
        places = (self.oldest + torch.arange(len(keys), device=keys.device)) % len(self.queue)
        self.queue[places[-len(self.queue) :]] = keys[-len(self.queue) :].to(self.queue)
        self.oldest = (self.oldest + len(keys)) % len(self.queue)


def principal_directions(features: Iterator[Tensor], count: int) -> tuple[Tensor, Tensor]:
    """Compute the mean of features, and the directions in which they vary most.

    Args:
        features: batches `(B, C)`; they are summed up one after the other, so that none is kept in memory.
        count: how many directions to return; if it is larger than `C`, the further columns are zeros.

    Returns:
        The mean `(C,)`, and the directions `(C, count)` as columns, both float32. Columns have length 1 and are in
        falling order of variance. In each, the number with the largest absolute value is positive, so that equal
        features give equal columns.
    """
    number, total, products = 0, torch.tensor(0.0), torch.tensor(0.0)
    for part in features:
        part = part.double()
        number, total, products = number + len(part), total + part.sum(0), products + part.T @ part
    mean = total / number
    _, vectors = torch.linalg.eigh(products / number - torch.outer(mean, mean))
    vectors = vectors.flip(1)[:, :count]
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    vectors = vectors * largest.sign()
    return mean.float(), functional.pad(vectors, (0, count - vectors.shape[1])).float()
