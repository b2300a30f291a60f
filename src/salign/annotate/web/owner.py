"""What the owner of a study may ask for: the summary, and an export."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator, Generator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

from anyio import CancelScope, CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from salign.annotate.collection import Collection
from salign.annotate.export import export_files
from salign.annotate.records import Mistaken
from salign.annotate.study import Export
from salign.annotate.summary import Summary
from salign.annotate.web.callers import Body, owner

_AGGREGATES = get_args(Export.model_fields["aggregate"].annotation)

_EXPORTS = 2
"""Exports made at once; others wait."""

INSIDE = "exported"
"""The only folder in an archive: beside the images it is none of the study, and replaces nothing of theirs."""

_README = """Exported by salign annotate.

Unpack the archive in the folder of the images. This folder then lies beside them, and the study goes on as it was.

manifest.csv     images, labels, splits and maps, to train with; its paths begin at the folder of the images
maps/all         the maps of all annotators as one; maps/NAME those of each (columns saliency_NAME)
annotations.csv  every answer: who, what, how long, how sure
shapes.json      what was drawn, in pixels of the image
coco.json        the same for tools that read COCO
"""


def add_owner_routes(app: FastAPI, collection: Collection) -> None:
    """Add `/api/owner/...` to the application."""
    router, summary = APIRouter(prefix="/api/owner", dependencies=[Depends(owner)]), Summary(collection)
    limiter, turn = CapacityLimiter(1), asyncio.Semaphore(_EXPORTS)  # so that no thread that saves is taken up

    @router.get("/summary")
    async def summarised(request: Request) -> dict[str, Any]:
        return await run_sync(summary.get, limiter=limiter)

    @router.post("/export")
    def exported(request: Request, body: Body) -> Response:
        aggregate = body.get("aggregate") if isinstance(body, dict) else None
        if aggregate is not None and aggregate not in _AGGREGATES:
            raise Mistaken(f"aggregate: expected one of {', '.join(_AGGREGATES)}")
        if not collection.store.anything():
            raise Mistaken("nothing has been annotated yet; there is nothing to export")
        headers = {"content-disposition": 'attachment; filename="annotations.zip"', "cache-control": "no-store"}

        async def pieces() -> AsyncIterator[bytes]:
            async with turn:
                archive = zipped(collection, aggregate)
                try:
                    while (piece := await run_sync(next, archive, None, limiter=limiter)) is not None:
                        yield piece
                finally:
                    with CancelScope(shield=True):
                        await run_sync(archive.close, limiter=limiter)

        return StreamingResponse(pieces(), media_type="application/zip", headers=headers)

    app.include_router(router)


class _Sink(io.RawIOBase):
    """A file that is only written to, and emptied as it fills."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        content, self._parts = b"".join(self._parts), []
        return content


def zipped(collection: Collection, aggregate: str | None = None) -> Generator[bytes]:
    """An export as the bytes of a zip archive, piece by piece; the disk holds one file of it at a time.

    Paths in its manifest are relative to the folder of the images, in which the archive is to be unpacked.
    """
    root, sink = collection.catalog.root, _Sink()
    with TemporaryDirectory() as folder, zipfile.ZipFile(sink, "w") as archive:
        for name, _ in export_files(collection, Path(folder), below=root / INSIDE, root=root, aggregate=aggregate):
            kind = zipfile.ZIP_STORED if name.endswith(".png") else zipfile.ZIP_DEFLATED
            archive.write(Path(folder) / name, f"{INSIDE}/{name}", compress_type=kind)
            (Path(folder) / name).unlink()
            yield sink.take()
        archive.writestr(f"{INSIDE}/README.txt", _README, compress_type=zipfile.ZIP_DEFLATED)
        archive.close()
        yield sink.take()
