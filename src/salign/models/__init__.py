"""Networks that answer and show their evidence in one forward pass."""

from salign.models.backbone import Backbone
from salign.models.classifier import Classifier

load = Classifier.load

__all__ = ["Backbone", "Classifier", "load"]
