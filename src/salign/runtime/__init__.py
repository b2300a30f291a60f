"""A trained model from an ONNX file: answers, maps and overlays by onnxruntime, numpy and Pillow, without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from salign.index import lazy_index

if TYPE_CHECKING:
    from salign.runtime.model import (
        Answer as Answer,
        OnnxModel as OnnxModel,
        OnnxNet as OnnxNet,
        load as load,
        load_net as load_net,
    )

lazy_index(__name__)
