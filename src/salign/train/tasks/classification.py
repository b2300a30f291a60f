"""Training a classifier with any loss."""

from __future__ import annotations

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
from salign.errors import SalignError
from salign.losses import Loss, LossTerms
from salign.losses.cross_entropy import cross_entropy
from salign.models import Classifier
from salign.train.guidance import tell_guidance
from salign.train.prepare import Prepared, balanced_weights, class_counts, of_machines
from salign.train.recipe import ClassifyRecipe, LossRecipe
from salign.train.tasks.base import Say, Selection, Task
from salign.train.teacher import load_teacher
from salign.types import Batch


class Classification(Task):
    """Trains a classifier with any member of `LOSSES`.

    The human map is used while training only: validation measures the answers (cross-entropy, AUROC, accuracy). Where
    images may have several labels, an answer is right if it is right about every class.

    Args:
        classifier: the network.
        loss: a member of `LOSSES`.
    """

    network: Classifier

    def __init__(self, classifier: Classifier, loss: Loss) -> None:
        super().__init__()
        self.network, self.loss, self.image_size = classifier, loss, classifier.image_size
        classes = len(classifier.classes)
        self.collected = MetricCollection(
            {"auroc": MultilabelAUROC(classes), "accuracy": MultilabelExactMatch(classes)}
            if classifier.multi_label
            else {"auroc": MulticlassAUROC(classes), "accuracy": MulticlassAccuracy(classes, average="micro")}
        )

    @classmethod
    def build(cls, recipe: ClassifyRecipe, data: Prepared, say: Say) -> Self:
        """See `Task.build`."""
        loss = build_loss(recipe.loss, data)
        tell_guidance(loss, data, recipe, say)
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
        return cls(classifier, loss)

    @classmethod
    def rows(cls, recipe: ClassifyRecipe, data: Prepared, say: Say) -> Prepared:
        """All of them."""
        _tell_data(data, recipe, say)
        return data

    @classmethod
    def selection(cls, recipe: ClassifyRecipe) -> Selection:
        """The best of validation by a metric, or the last."""
        options = recipe.train
        return Selection(None if options.select == "last" else f"val/{options.select}", options.ties, lowest=False)

    def begin_epoch(self, epoch: int) -> None:
        """Tell the loss."""
        self.loss.epoch = epoch

    def forward(self, batch: Batch) -> LossTerms:
        """One forward pass, the loss and its parts."""
        batch = self.loss.prepare(batch)
        terms: LossTerms = self.loss(self.network(self.laid_out(batch.images)), batch)
        return terms

    def validate(self, batch: Batch) -> Tensor:
        """Cross-entropy; the saliency term is for training only."""
        logits = self.network(self.laid_out(batch.images)).logits.float()
        self.collected.update(self.network.probabilities(logits), batch.labels.long())
        return cross_entropy(logits, batch.labels)

    def metrics(self) -> dict[str, Tensor]:
        """AUROC (macro over classes, one against the rest) and accuracy of the whole validation set."""
        values: dict[str, Tensor] = self.collected.compute()
        self.collected.reset()
        return values


def build_loss(recipe: LossRecipe, data: Prepared) -> Loss:
    """The loss with all that is added to it, the class weights computed from the training labels."""
    weights = None
    if recipe.class_weights == "balanced":
        weights = balanced_weights(data.train.labels, len(data.classes))
    elif recipe.class_weights != "none":
        weights = torch.tensor(recipe.class_weights, dtype=torch.float32)
        if len(weights) != len(data.classes):
            raise SalignError(f"loss.class_weights: expected {len(data.classes)} numbers, got {len(weights)}.")
    teacher = None
    if recipe.teacher is not None:
        teacher = load_teacher(recipe.teacher, data.classes, multi_label=data.train.manifest.multi_label)
    return recipe.build(weights, teacher)


def _tell_data(data: Prepared, recipe: ClassifyRecipe, say: Say) -> None:
    for name, dataset in {"training": data.train, "validation": data.val, **data.tests}.items():
        counts = class_counts(dataset.labels, len(data.classes)).tolist()
        per_class = ", ".join(f"{count} {label}" for label, count in zip(data.classes, counts, strict=True))
        mapped = f"{int(dataset.annotated.sum())} with a saliency map{of_machines(dataset)}"
        say(f"{name}: {len(dataset)} images ({per_class}), {mapped}")
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
    if min(height, width) < 5 and recipe.loss.name != "ce":
        say("  such a coarse map says little about where: raise data.image_size, or set model.output_stride to 16 or 8")
