"""An exported model: from pictures to answers, maps and overlays."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from salign.class_names import GIVEN, SEPARATOR, called_from, no_threshold
from salign.data.reading.image import read_pixels
from salign.errors import SalignError, check_installed, nearest
from salign.maps.overlay import lay_over, scaled
from salign.readers import read_bytes
from salign.runtime.resize import resize_pixels

KEY = "salign"
"""Name of the entry in an ONNX file's metadata that holds the description of the model, as JSON."""
FORMAT = 1
"""Version number of the format of that description."""
_DIGEST_KEY = b"salign_sha256"
_MOST_BYTES = 2_000_000_000

Picture = Path | str | NDArray[Any]
"""An image file, or an array `(H, W)` or `(H, W, 3)`: uint8, or float32 in [0, 1]."""


@dataclass(frozen=True)
class Answer:
    """The answer of a model to one image."""

    predicted: str
    """The class with the highest probability; where an image may have several labels, all classes above one half,
    joined by `;`."""
    probabilities: dict[str, float]
    """Class -> probability."""
    logits: dict[str, float]
    """Class -> logit."""
    at_threshold: str | None
    """The class that the image is called by at the threshold chosen on validation images; None if there is no
    threshold."""
    map: NDArray[np.float32] | None
    """Raw, signed map of the predicted class, `(h, w)`; of several predicted classes, the mean of their maps. If the
    file has the map of every class, `(K, h, w)`; None if it has no maps."""
    _picture: Picture = field(repr=False)

    @property
    def scaled_map(self) -> NDArray[np.float32]:
        """The map of the predicted class, `(h, w)`, min-max scaled to [0, 1]; a constant map becomes zeros.

        Raises:
            SalignError: the file has no maps.
        """
        if self.map is None:
            raise SalignError("this file was exported without maps: salign export RUN --maps answered writes them.")
        if self.map.ndim == 2:
            return scaled(self.map)
        names = [self.predicted] if self.predicted in self.probabilities else self.predicted.split(SEPARATOR)
        answered = [name in names for name in self.probabilities]
        return scaled(self.map[answered].mean(0)) if any(answered) else np.zeros_like(self.map[0])

    def overlay(self) -> Image.Image:
        """Return the image at its own size with `scaled_map` laid over it, as `salign predict --overlays` draws it."""
        return Image.fromarray(lay_over(eight_bits(_pixels(self._picture, None)), self.scaled_map))


class Threshold(NamedTuple):
    """The probability from which on an image is called by the positive class; see `salign.models.Threshold`."""

    positive: str
    probability: float
    rule: str

    def __str__(self) -> str:
        return called_from(*self)


class OnnxFile:
    """Base class of a classifier and of a net that draws maps: how a picture gets into the graph."""

    def __init__(self, session: Any, description: dict[str, Any]) -> None:
        self._session = session
        self.description = description
        """What the file says about the model: classes, image_size, threshold, resize, mean, std, hashes, licence,
        ..."""
        self.image_size: tuple[int, int] = (description["image_size"][0], description["image_size"][1])

    def prepare(self, picture: Picture) -> NDArray[Any]:
        """Return the pixels that the graph takes for a picture, `(*image_size, 3)`, resized as for training."""
        height, width = self.image_size
        pixels = resize_pixels(_pixels(picture, (2 * height, 2 * width)), self.image_size)
        if self.description["pixels"] == "float32":
            return pixels if pixels.dtype == np.float32 else pixels.astype(np.float32) / np.float32(255)
        if pixels.dtype != np.uint8:
            raise SalignError(
                f"{_named(picture)} has more than 8 bits, and this file takes 8-bit pictures. Export it with --pixels "
                "float32, or convert the picture to 8 bits as your training images were."
            )
        return pixels

    def run(self, pixels: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """Run the graph on pixels `(B, *image_size, 3)`, as `prepare` returns them; return its outputs by name."""
        names = [output.name for output in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, {"pixels": pixels}), strict=True))


class OnnxNet(OnnxFile):
    """A net that draws maps, from a file of `salign export`: `net("photo.png")` -> map. `load_net` opens one."""

    def __call__(self, picture: Picture) -> NDArray[np.float32]:
        """Return the predicted human map of one picture, `(*image_size)` in [0, 1].

        Raises:
            SalignError: the picture cannot be read, or is none.
        """
        return self.run(self.prepare(picture)[None])["map"][0]


class OnnxModel(OnnxFile):
    """A model that `salign export` wrote: `model("photo.png")` -> Answer. `load` opens one."""

    def __init__(self, session: Any, description: dict[str, Any]) -> None:
        super().__init__(session, description)
        self.classes: tuple[str, ...] = tuple(description["classes"])
        self.multi_label: bool = description["multi_label"]
        known = description["threshold"]
        self.threshold: Threshold | None = Threshold(**known) if known else None
        """The threshold of the model; None if none was chosen."""

    def __call__(self, picture: Picture) -> Answer:
        """Answer one picture.

        Raises:
            SalignError: the picture cannot be read, or is none.
        """
        return self.batch([picture])[0]

    def batch(self, pictures: Sequence[Picture]) -> list[Answer]:
        """Answer several pictures in one pass.

        Raises:
            SalignError: a picture cannot be read, or is none; or a single picture was passed instead of a list.
        """
        if isinstance(pictures, np.ndarray) and pictures.ndim < 4:
            raise SalignError(f"pictures: expected a list of arrays, got a single array {pictures.shape}.")
        if isinstance(pictures, str | Path) or not len(pictures):
            raise SalignError(f"pictures: expected a list of one or more, got {pictures!r}.")
        return self.answer(pictures, np.stack([self.prepare(picture) for picture in pictures]))

    def answer(self, pictures: Sequence[Picture], pixels: NDArray[Any]) -> list[Answer]:
        """Answer pictures whose `pixels` `prepare` has made ready; else as `batch`."""
        outputs = self.run(pixels)
        maps = outputs.get("map", [None] * len(pictures))
        rows = zip(pictures, outputs["probabilities"], outputs["logits"], maps, strict=True)
        return [self._answer(*row) for row in rows]

    def check_maps(self) -> None:
        """Refuse to go on if the file has no maps.

        Raises:
            SalignError: the file has no maps.
        """
        if self.description["maps"] == "none":
            raise SalignError("this file was exported without maps: salign export RUN --maps answered writes them.")

    def called(self, probabilities: dict[str, float]) -> str | None:
        """Return the class that an image is called by at the threshold; None if there is no threshold."""
        if self.threshold is None:
            return None
        if probabilities[self.threshold.positive] >= self.threshold.probability:
            return self.threshold.positive
        return next(name for name in self.classes if name != self.threshold.positive)

    def with_threshold(self, probability: float) -> OnnxModel:
        """Return the same model with another probability from which on the positive class is called.

        Raises:
            SalignError: the model has no threshold, or `probability` is not in [0, 1].
        """
        if self.threshold is None:
            raise SalignError(no_threshold(self.classes))
        if not 0 <= probability <= 1:
            raise SalignError(f"threshold: expected a probability from 0 to 1, got {probability}.")
        other = copy(self)
        other.threshold = self.threshold._replace(probability=probability, rule=GIVEN)
        other.description = {**self.description, "threshold": other.threshold._asdict()}
        return other

    def _answer(self, picture: Picture, probabilities: Any, logits: Any, values: Any) -> Answer:
        named = dict(zip(self.classes, map(float, probabilities), strict=True))
        if not np.isfinite(logits).all():
            raise SalignError(f"{_named(picture)}: the network's answer is not finite, so that it names no class.")
        if self.multi_label:
            predicted = SEPARATOR.join(sorted(compress(self.classes, logits > 0)))
        else:
            predicted = self.classes[int(logits.argmax())]
        raw = dict(zip(self.classes, map(float, logits), strict=True))
        return Answer(predicted, named, raw, self.called(named), values, picture)


def load(path: Path | str, *, providers: Sequence[str] = ("CPUExecutionProvider",)) -> OnnxModel:
    """Open an ONNX file that `salign export` wrote.

    Args:
        path: the file.
        providers: the execution providers with which onnxruntime computes; see `onnxruntime.get_available_providers()`.

    Raises:
        SalignError: onnxruntime is missing or lacks a provider, or there is no such file, `salign export` did not write
            it, it was changed since, or it is of a newer version.
    """
    return opened(read_bytes(path, limit=_MOST_BYTES), path, providers)


def load_net(path: Path | str, *, providers: Sequence[str] = ("CPUExecutionProvider",)) -> OnnxNet:
    """Open the ONNX file of a net that draws maps; see `load`.

    Raises:
        SalignError: as for `load`, or the file is that of a classifier.
    """
    session, description = open_session(read_bytes(path, limit=_MOST_BYTES), path, providers)
    if "classes" in description:
        raise SalignError(f"{path} is a classifier; salign.runtime.load opens it, and salign predict answers with it.")
    return OnnxNet(session, description)


def opened(content: bytes, path: Path | str, providers: Sequence[str] = ("CPUExecutionProvider",)) -> OnnxModel:
    """Open the bytes of a file as `load` opens the file."""
    session, description = open_session(content, path, providers)
    if "classes" not in description:
        raise SalignError(
            f"{path} is a net that draws maps and gives no answers; salign.runtime.load_net opens it, and salign "
            "saliency predict draws with it."
        )
    return OnnxModel(session, description)


def open_session(content: bytes, path: Path | str, providers: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    """Check the bytes of a file, and return a session of onnxruntime and the description of the model."""
    check_digest(content, path)
    check_installed(str(path), "onnx", "onnxruntime")
    import onnxruntime

    known = onnxruntime.get_available_providers()
    if strange := [name for name in providers if name not in known]:
        near = nearest(strange[0], known)
        raise SalignError(f"providers: expected {', '.join(known)} of this onnxruntime, got {strange[0]!r}{near}.")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # no warnings about the graph: they are for whoever exports it
    session = onnxruntime.InferenceSession(content, options, providers=list(providers))
    description = json.loads(session.get_modelmeta().custom_metadata_map[KEY])
    if description["format"] > FORMAT:
        raise SalignError(f"{path} was written by salign {description['salign']}; install that version or a newer one.")
    return session, description


def sealed(content: bytes) -> bytes:
    """Return an ONNX file with its digest at the end, as one more entry of its metadata.

    A message in the format of protocol buffers may be lengthened by appending to it. Readers of ONNX see one more pair
    of texts, and the file can be checked without a reader of ONNX.
    """
    return content + _seal(content)


def check_digest(content: bytes, path: Path | str) -> None:
    """Refuse bytes that `sealed` did not return.

    Raises:
        SalignError: the bytes have no digest, or were changed since.
    """
    length = len(_seal(b""))
    if content[-length:][: length - 64] != _seal(b"")[:-64]:
        raise SalignError(
            f"{path} is no file of `salign export`, or was saved again by another tool; expected an ONNX file as that "
            "wrote it."
        )
    if content[-length:] != _seal(content[:-length]):
        raise SalignError(
            f"{path} was changed since `salign export` wrote it: its digest is another. Bring a whole copy, or export "
            "the run again."
        )


def _seal(content: bytes) -> bytes:
    """Return the digest of `content` as an entry of `metadata_props` (field 14) of an ONNX model, a pair of texts."""
    digest = hashlib.sha256(content).hexdigest().encode()
    pair = b"\x0a" + bytes([len(_DIGEST_KEY)]) + _DIGEST_KEY + b"\x12" + bytes([len(digest)]) + digest
    return b"\x72" + bytes([len(pair)]) + pair


def _pixels(picture: Picture, at_least: tuple[int, int] | None) -> NDArray[Any]:
    """Return the pixels of a picture, `(H, W, 3)`, uint8 or float32 in [0, 1]."""
    pixels = read_pixels(picture, at_least=at_least) if isinstance(picture, str | Path) else _checked(picture)
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


def _checked(picture: Any) -> NDArray[Any]:
    if not isinstance(picture, np.ndarray):
        raise SalignError(
            f"picture: expected a file or an array (H, W, 3), got {type(picture).__name__}; of a Pillow image, give "
            "np.asarray(image.convert('RGB'))."
        )
    shaped = picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] == 3)
    if not shaped or min(picture.shape[:2]) < 2 or picture.dtype not in (np.uint8, np.float32):
        raise SalignError(
            f"picture: expected (H, W) or (H, W, 3), uint8 or float32 in [0, 1], of 2 pixels or more, got "
            f"{picture.dtype} {picture.shape}."
        )
    if picture.dtype == np.float32 and not (picture.min() >= 0 and picture.max() <= 1):
        raise SalignError(f"picture: expected values from 0 to 1, got {picture.min():g} to {picture.max():g}.")
    return picture


def eight_bits(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert a picture of uint8, or of float32 in [0, 1], to 8 bits."""
    return pixels if pixels.dtype == np.uint8 else np.rint(pixels * np.float32(255)).astype(np.uint8)


def _named(picture: Picture) -> str:
    return str(picture) if isinstance(picture, str | Path) else "the picture"
