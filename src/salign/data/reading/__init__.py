"""From rows of a manifest to batches: read files, and transform images and maps together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from salign.index import lazy_index

if TYPE_CHECKING:
    from salign.data.reading.cache import PixelCache as PixelCache
    from salign.data.reading.datamodule import (
        BatchLoader as BatchLoader,
        SaliencyDataModule as SaliencyDataModule,
        predict_loader as predict_loader,
    )
    from salign.data.reading.dataset import SaliencyDataset as SaliencyDataset
    from salign.data.reading.image import (
        ImageError as ImageError,
        image_size as image_size,
        read_image as read_image,
        read_saliency as read_saliency,
    )
    from salign.data.reading.transforms import JointTransform as JointTransform, build_transform as build_transform

lazy_index(__name__)
