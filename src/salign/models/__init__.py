"""Networks that answer and show their evidence in one forward pass, and networks that predict human maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from salign.index import lazy_index

if TYPE_CHECKING:
    from salign.models.backbone import Backbone as Backbone
    from salign.models.classifier import Classifier as Classifier
    from salign.models.cost import Cost as Cost, count_cost as count_cost
    from salign.models.embedder import Embedder as Embedder
    from salign.models.ensemble import Ensemble as Ensemble
    from salign.models.load import load as load
    from salign.models.model import Model as Model
    from salign.models.own import Wrapped as Wrapped, wrap as wrap
    from salign.models.saliency_net import SaliencyNet as SaliencyNet
    from salign.models.threshold import Threshold as Threshold
    from salign.models.two_stage import TwoStage as TwoStage

lazy_index(__name__)
