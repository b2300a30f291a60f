"""The web application of `salign serve`: one page, and the API that it calls."""

from __future__ import annotations

import base64
import io
import tempfile
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, Field

from salign import __version__
from salign.data.reading.image import MAX_PIXELS, ImageError, image_size, read_pixels
from salign.errors import SalignError
from salign.runtime.model import Answer, OnnxModel, eight_bits
from salign.serve.form import Upload, read_uploads
from salign.serve.where import MapSummary, summarise_map
from salign.web.guard import Guard, Refusal, RequestLimits
from salign.web.replies import FRESH, PageFiles, add_refusals

STATIC = Path(__file__).parent / "static"
_AT_ONCE = 32
"""Largest number of requests whose images are in memory at the same time."""
_READERS = 2
"""Number of threads that decode images and wait for the network, which answers one request at a time."""
_SHOWN = 1024
"""Each side of a picture for the page has at most this many pixels."""
_IMAGES = {"schema": {"type": "string", "format": "binary"}}
_FORM = {"type": "object", "properties": {"image": {"type": "array", "items": _IMAGES["schema"]}}}
_BODY = {
    "requestBody": {
        "required": True,
        "description": "The bytes of one image; or a form with one or more files, under any name of a field.",
        "content": {"image/*": _IMAGES, "multipart/form-data": {"schema": _FORM}},
    }
}


class Limits(RequestLimits):
    """The section says what the server accepts from one client, and in one request."""

    body: int = Field(default=20_000_000, ge=1000)
    """A request has at most this many bytes."""
    rate: float = Field(default=5.0, gt=0)
    """Each address may send this many requests a second."""
    burst: int = Field(default=20, ge=1)
    """Each address may send this many requests at once."""
    seconds: float = Field(default=60.0, gt=0)
    """A client that takes longer to send its request is cut off. A slow line needs this long for 20 MB."""
    pixels: int = Field(default=40_000_000, ge=4, le=MAX_PIXELS)
    """An image has at most this many pixels."""
    images: int = Field(default=16, ge=1)
    """A request has at most this many images."""


class Prediction(BaseModel):
    """The model's answer to one image."""

    name: str = Field(description="The file name that came with the image, without folders.")
    predicted: str = Field(description="The class of the highest probability; of several, those above 0.5, joined by ;")
    probabilities: dict[str, float] = Field(description="Class -> probability.")
    predicted_at_threshold: str | None = Field(
        description="The class by the threshold that was chosen on validation; null where there is none."
    )
    map: MapSummary | None = Field(description="Where the evidence for the answer lies; null where there is no map.")
    picture: str | None = Field(
        description="With pictures=true: the image as a data URI, of at most 1024 pixels a side."
    )
    overlay: str | None = Field(description="With pictures=true: the same with the map laid over.")


class Predictions(BaseModel):
    """The answers to a request."""

    predictions: list[Prediction] = Field(description="An answer to each image, in the order they came.")


class About(BaseModel):
    """The facts that are known about the model."""

    classes: list[str]
    positive: str | None = Field(description="The class that is to be detected, of two.")
    threshold: dict[str, Any] | None = Field(description="From which probability on an image is called positive.")
    called: str | None = Field(description="The same in words.")
    multi_label: bool = Field(description="Whether an image may have several labels.")
    image_size: list[int] = Field(description="(height, width) that images are resized to.")
    maps: bool = Field(description="Whether an answer has a map of its evidence.")
    precision: str
    backbone: str
    run: str
    licence_of_starting_weights: str | None
    weights_sha256: str
    model_sha256: str
    reliance: list[str] = Field(description="What was measured of the model's use of human regions, in sentences.")
    limits: dict[str, float] = Field(description="What a request may have.")


def create_app(
    model: OnnxModel, limits: Limits | None = None, *, local_only: bool = True, names: Collection[str] = ()
) -> FastAPI:
    """Build the application of a model.

    Args:
        model: the model that `salign.runtime.load` or `salign.serve.by_torch.load_run` returned.
        limits: the limits of a client and a request; None = the defaults.
        local_only: whether to answer only to names of this machine and `names`.
        names: further host names to answer to.
    """
    limits = limits or Limits()
    app = FastAPI(
        title="salign serve",
        version=__version__,
        description="A trained image classifier: answers, probabilities, and where the evidence lies.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    add_refusals(app)
    readers, network = CapacityLimiter(_READERS), threading.Lock()
    about = _about(model, limits)

    @app.get("/", include_in_schema=False)
    def index() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers=FRESH)

    @app.get("/health", summary="Whether the server is up")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/api/model", summary="What is known of the model")
    def describe() -> About:
        return about

    @app.post("/api/predict", summary="Answer one image or several", openapi_extra=_BODY)
    async def predict(request: Request, pictures: bool = False) -> Predictions:
        uploads = await read_uploads(request, limits.images)
        answered = await run_sync(lambda: _predict(model, network, uploads, limits, pictures), limiter=readers)
        return Predictions(predictions=answered)

    app.mount("/static", PageFiles(directory=STATIC))
    app.add_middleware(Guard, limits=limits, local_only=local_only, names=names, at_once=_AT_ONCE)
    return app


def _about(model: OnnxModel, limits: Limits) -> About:
    known = model.description
    more = {
        "called": str(model.threshold) if model.threshold else None,
        "maps": known["maps"] != "none",
        "limits": limits.model_dump(exclude={"seconds"}),
    }
    return About.model_validate({"reliance": [], **known, **more})  # files of earlier versions lack reliance


def _predict(
    model: OnnxModel, network: threading.Lock, uploads: list[Upload], limits: Limits, pictures: bool
) -> list[Prediction]:
    """Read every image, then ask the network once.

    Raises:
        Refusal: some images cannot be used, and the sentence says what is wrong with each; or the network diverged.
    """
    prepared, previews, faults = [], [], []
    for upload in uploads:
        try:
            pixels = _read(upload, model, limits)
            prepared.append(model.prepare(pixels))
            previews.append(_shrunk(pixels) if pictures else pixels[:0])  # large pictures are not kept in memory
        except SalignError as error:
            faults.append(str(error) if isinstance(error, ImageError) else f"{upload.name}: {error}")
    if faults:
        more = f"{len(faults)} of {len(uploads)} images cannot be used: " if len(uploads) > 1 else ""
        raise Refusal(422, more + "; ".join(faults))
    try:
        with network:
            answers = model.answer(previews, np.stack(prepared))
    except SalignError as error:  # the network diverged
        raise Refusal(422, str(error)) from error
    return [_prediction(*row, pictures) for row in zip(uploads, answers, previews, strict=True)]


def _read(upload: Upload, model: OnnxModel, limits: Limits) -> NDArray[Any]:
    """Return the pixels of an image as `salign predict` reads them. The file is on disk only while it is read."""
    height, width = model.image_size
    with tempfile.TemporaryDirectory(prefix="salign-serve-") as folder:
        path = Path(folder) / "image"
        path.write_bytes(upload.content)
        high, wide = image_size(path, where=upload.name)
        if high * wide > limits.pixels:
            raise ImageError(f"{upload.name}: {wide} x {high} pixels; this server takes at most {limits.pixels:,}")
        return read_pixels(path, where=upload.name, at_least=(2 * height, 2 * width))


def _shrunk(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    picture = Image.fromarray(eight_bits(pixels)).convert("RGB")
    picture.thumbnail((_SHOWN, _SHOWN))
    return np.asarray(picture)


def _prediction(upload: Upload, answer: Answer, picture: NDArray[Any], pictures: bool) -> Prediction:
    mapped = answer.map is not None
    return Prediction(
        name=upload.name,
        predicted=answer.predicted,
        probabilities=answer.probabilities,
        predicted_at_threshold=answer.at_threshold,
        map=summarise_map(answer.scaled_map) if mapped else None,
        picture=_data_uri(Image.fromarray(picture)) if pictures else None,
        overlay=_data_uri(answer.overlay()) if pictures and mapped else None,
    )


def _data_uri(picture: Image.Image) -> str:
    stream = io.BytesIO()
    picture.save(stream, format="PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
