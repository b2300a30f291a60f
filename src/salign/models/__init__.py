"""Networks that answer and show their evidence in one forward pass, and networks that predict human maps."""

from salign.models.backbone import Backbone
from salign.models.classifier import Classifier
from salign.models.own import Wrapped, wrap
from salign.models.saliency_net import SaliencyNet
from salign.models.threshold import Threshold

load = Classifier.load

__all__ = ["Backbone", "Classifier", "SaliencyNet", "Threshold", "Wrapped", "load", "wrap"]
