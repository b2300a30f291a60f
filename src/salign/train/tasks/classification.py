"""The task of training a classifier with any loss."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassAUROC,
    MultilabelAUROC,
    MultilabelExactMatch,
)

from salign.class_names import SEPARATOR
from salign.collectives import gathered
from salign.data.groups import number_groups
from salign.data.reading.dataset import SaliencyDataset
from salign.errors import SalignError
from salign.losses import GroupDro, Loss, LossTerms
from salign.losses.cross_entropy import cross_entropy
from salign.models import Classifier, SaliencyNet, TwoStage, count_cost
from salign.train.features import HeadOnly, cached
from salign.train.frozen import Trainable, freeze, stay_frozen
from salign.train.guidance import tell_guidance
from salign.train.prepare import Prepared, balanced_weights, class_counts, of_machines
from salign.train.recipe import ClassifyRecipe, LossRecipe
from salign.train.steps import Step
from salign.train.tasks.base import Say, Selection, Task
from salign.train.teacher import load_teacher
from salign.types import Batch


class Classification(Task):
    """Trains a classifier with any member of `LOSSES`.

    Human maps are used in training only: validation measures the answers (cross-entropy, AUROC, accuracy). If images
    may have several labels, an answer is right only if it is right about every class.

    Args:
        classifier: the network.
        loss: a member of `LOSSES`, or an `Objective` of several.
        trainable: which weights learn: "all", "last_block" (and the head), or "head".
    """

    network: Classifier | HeadOnly | TwoStage

    def __init__(self, classifier: Classifier | TwoStage, loss: Loss, trainable: Trainable = "all") -> None:
        super().__init__()
        self.trainable = trainable
        self.frozen = () if trainable == "all" else freeze(classifier.backbone.net, trainable)
        stay_frozen(self.frozen)
        self.network, self.loss, self.image_size = classifier, loss, classifier.image_size
        self.needs = loss.needs & {"draw"}
        classes = len(classifier.classes)
        self.probabilities: list[Tensor] = []
        self.answered: Tensor | None = None
        self.collected = MetricCollection(
            {"auroc": MultilabelAUROC(classes), "accuracy": MultilabelExactMatch(classes)}
            if classifier.multi_label
            else {"auroc": MulticlassAUROC(classes), "accuracy": MulticlassAccuracy(classes, average="micro")}
        )

    @classmethod
    def build(cls, recipe: ClassifyRecipe, data: Prepared, say: Say) -> Self:
        """Build the classifier and its loss; see `Task.build`."""
        loss = build_loss(recipe.loss, data)
        tell_guidance(data, recipe, say)
        classifier = Classifier(
            recipe.model.backbone,
            data.classes,
            image_size=recipe.data.image_size,
            weights=recipe.model.weights,
            output_stride=recipe.model.output_stride,
            args=recipe.model.args,
            cam=recipe.model.cam,
            multi_label=recipe.data.multi_label,
            head=recipe.model.head,
            seed=recipe.seed,
        )
        _tell_network(classifier, recipe, say)
        if (focus := recipe.model.region) is None:
            return cls(classifier, loss, recipe.train.trainable)
        model = TwoStage(SaliencyNet.load(focus.by), classifier, focus.keep)
        say(
            f"  it sees regions alone ({focus.keep}), in evaluation those that the net {focus.by} draws; with that net:"
        )
        say(f"  {count_cost(model)}")
        return cls(model, loss, recipe.train.trainable)

    @classmethod
    def rows(cls, recipe: ClassifyRecipe, data: Prepared, say: Say) -> Prepared:
        """Return all images of the recipe, and tell the user about them; see `Task.rows`."""
        _tell_data(data, recipe, say)
        return data

    @classmethod
    def selection(cls, recipe: ClassifyRecipe) -> Selection:
        """Keep the epoch with the best metric on validation, or the last; see `Task.selection`."""
        options = recipe.train
        return Selection(None if options.select == "last" else f"val/{options.select}", options.ties, lowest=False)

    def train(self, mode: bool = True) -> Self:
        """Switch the mode of all modules, except that frozen modules stay in evaluation mode."""
        super().train(mode)
        stay_frozen(self.frozen)
        return self

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
        """Return datasets of features instead of images if only the head learns and nothing else needs the images.

        Otherwise the datasets are returned as they are, and the user is told why.
        """
        classifier = self.network
        if self.trainable != "head" or not isinstance(classifier, Classifier):
            return train, val
        looks = ", ".join(sorted(self.loss.needs & {"second_view", "input_gradient", "teacher"}))
        reasons = {
            "data.augment changes the images": getattr(train.transform, "augment", "none") != "none",
            "steps change the images": bool(steps),
            f"the loss needs the images ({looks})": bool(looks),
            "model.cam is none": classifier.backbone.cam_kind == "none",
        }
        if reason := next((words for words, holds in reasons.items() if holds), None):
            say(f"  features are computed anew in each epoch: {reason}")
            return train, val
        say(f"  only the head learns: the features of each image are computed once, into {folder}")
        train = cached(classifier, train, folder, maps=self.loss.guided, device=device, workers=workers)
        val = cached(classifier, val, folder, maps=False, device=device, workers=workers)
        self.network = HeadOnly(classifier.to(device))
        return train, val

    def begin_epoch(self, epoch: int) -> None:
        """Tell the loss how many epochs are finished."""
        self.loss.epoch = epoch

    def forward(self, batch: Batch) -> LossTerms:
        """Return the loss of a training batch, and its parts."""
        batch, network = self.loss.prepare(batch), self.network
        if isinstance(network, TwoStage):
            batch, network = network.focus(batch), network.classifier
        terms: LossTerms = self.loss(network(self.laid_out(batch.images)), batch)
        return terms

    def validate(self, batch: Batch) -> Tensor:
        """Return the cross-entropy of a validation batch, as terms on maps are for training only."""
        logits = self.network(self.laid_out(batch.images)).logits.float()
        probabilities = self.network.probabilities(logits)
        self.probabilities.append(probabilities.detach().cpu())
        self.collected.update(probabilities, batch.labels.long())
        return cross_entropy(logits, batch.labels)

    def answers(self) -> Tensor | None:
        """Return the probabilities of all validation images of all processes, in the order of the images."""
        return self.answered

    def metrics(self) -> dict[str, Tensor]:
        """Return AUROC (the mean over classes, each against the rest) and accuracy of the whole validation set."""
        values: dict[str, Tensor] = self.collected.compute()
        self.collected.reset()
        self.answered, self.probabilities = gathered(torch.cat(self.probabilities))[0], []
        return values


def build_loss(recipe: LossRecipe, data: Prepared) -> Loss:
    """Build the loss of a recipe with all losses that are added to it, its class weights, teacher and groups."""
    teacher = None
    if recipe.teacher is not None:
        teacher = load_teacher(recipe.teacher, data.classes, multi_label=data.train.manifest.multi_label)
    loss = recipe.build(class_weights(recipe, data), teacher)
    for part in loss.modules():
        if isinstance(part, GroupDro):
            part.tell_groups(torch.from_numpy(number_groups(data.train.manifest, data.groups)[1]))
    return loss


def class_weights(recipe: LossRecipe, data: Prepared) -> Tensor | None:
    """Return `(K,)` float32, how much the loss weighs each class; None if all classes count alike.

    Raises:
        SalignError: the number of weights in the recipe is not the number of classes.
    """
    if recipe.class_weights == "none":
        return None
    if recipe.class_weights == "balanced":
        return balanced_weights(data.train.labels, len(data.classes))
    weights = torch.tensor(recipe.class_weights, dtype=torch.float32)
    if len(weights) != len(data.classes):
        raise SalignError(f"loss.class_weights: expected {len(data.classes)} numbers, got {len(weights)}.")
    return weights


def _tell_data(data: Prepared, recipe: ClassifyRecipe, say: Say) -> None:
    for name, dataset in {"training": data.train, "validation": data.val, **data.tests}.items():
        counts = class_counts(dataset.labels, len(data.classes)).tolist()
        per_class = ", ".join(f"{count} {label}" for label, count in zip(data.classes, counts, strict=True))
        mapped = f"{int(dataset.annotated.sum())} with a saliency map{of_machines(dataset)}"
        say(f"{name}: {len(dataset)} images ({per_class}), {mapped}")
    if recipe.data.label_noise:
        say(f"  data.label_noise: {recipe.data.label_noise:.0%} of the training images have the label of another class")
    if recipe.data.augment != "none":
        say("  training images are mirrored at random; where left and right matter, set data.augment: none")
    if joined := [name for name in data.classes if SEPARATOR in name]:
        say(f"  {joined[0]!r} is taken for one class; if such images have several labels, set data.multi_label: true")
    for question in data.questions:
        say(f"  {question}")


def _tell_network(classifier: Classifier, recipe: ClassifyRecipe, say: Say) -> None:
    height, width = classifier.backbone.grid
    kind = {
        "linear": "class activation map",
        "head_gradient": "head-gradient class activation map",
        "none": "no map of evidence, features",
    }[classifier.backbone.cam_kind]
    say(f"{recipe.model.backbone}: {classifier.origin}; {kind} of {height} x {width} cells")
    say(f"  {count_cost(classifier)}")
    if min(height, width) < 5 and recipe.loss.name != "ce":
        say("  such a coarse map says little about where: raise data.image_size, or set model.output_stride to 16 or 8")
