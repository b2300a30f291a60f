"""The routes of the owner: the summary, the answers one by one, the links, and the export."""

from __future__ import annotations

import asyncio
import io
import time
import zipfile
from collections.abc import AsyncIterator, Callable, Generator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, get_args

from anyio import CancelScope, CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from salign.annotate import access
from salign.annotate.answer_view import Remark, add_remark, draw_answer, view_unit
from salign.annotate.collection import Collection, Unknown, whole_number
from salign.annotate.export import export_files
from salign.annotate.gallery import Look, select_answers
from salign.annotate.records import Mistaken, read_fields, read_name
from salign.annotate.rows import Invite, Person
from salign.annotate.study import Export
from salign.annotate.summary import Summary
from salign.annotate.web.callers import Body, owner, read_number, send_picture

_AGGREGATES = get_args(Export.model_fields["aggregate"].annotation)

_EXPORTS = 2
"""Number of exports that are made at the same time; others wait."""

_PICTURES = 2
"""Number of threads that draw for the gallery. They are separate, so that no save and no annotator's image waits."""

DAY = 24 * 3600
"""Seconds in a day."""

INSIDE = "exported"
"""Name of the only folder in the archive. Beside the images it replaces none of their files, and its pictures are not
taken for images of the study, since it has a file of `catalog.MARKERS`."""

_README = """Exported by salign annotate.

Unpack the archive in the folder of the images. This folder then lies beside them, and the study goes on as it was.

manifest.csv     images, labels, splits and maps, to train with; its paths begin at the folder of the images,
                 and manifest.csv.root says where that is
differing.csv    images whose answer is not their label, if there are any; the label stays
left_out.csv     images that are not in the manifest and maps that cannot be read, if there are any, and why
maps/all         the maps of all annotators as one; maps/NAME those of each (columns saliency_NAME)
annotations.csv  every answer: who, what, how long, how sure
shapes.json      what was drawn, in pixels of the image
coco.json        the same for tools that read COCO
comments.csv     what the owner wrote beside answers, if anything
summary.txt      whether more annotators are needed, as far as people marked the same images
"""


def add_owner_routes(app: FastAPI, collection: Collection) -> None:
    """Add `/api/owner/...` to the application."""
    router, summary = APIRouter(prefix="/api/owner", dependencies=[Depends(owner)]), Summary(collection)
    _add_answers(router, collection)
    _add_links(router, collection)
    limiter, turn = CapacityLimiter(1), asyncio.Semaphore(_EXPORTS)  # take no thread from saves

    @router.get("/summary")
    async def summarised(request: Request) -> dict[str, Any]:
        return (await run_sync(summary.get, limiter=limiter)).summary

    @router.get("/answers")
    async def answers(request: Request) -> dict[str, Any]:
        look = read_fields(Look, dict(request.query_params))

        def select() -> dict[str, Any]:
            return select_answers(summary.get().answers, look, collection.comments.by_task())

        return await run_sync(select, limiter=limiter)

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


class InviteLimits(BaseModel):
    """The name and limits of a new invite, or new limits of the invite of that name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    people: Annotated[int, Field(ge=1, le=100_000)] | None = None
    images: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    days: Annotated[float, Field(gt=0, le=3660, allow_inf_nan=False)] | None = None


class _Stop(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    stopped: bool


def _add_answers(router: APIRouter, collection: Collection) -> None:
    threads = CapacityLimiter(_PICTURES)

    @router.get("/answers/{number}")
    def opened(number: str) -> dict[str, Any]:
        return view_unit(collection, whole_number(number))

    @router.post("/answers/{number}/comments")
    def commented(body: Body, number: str) -> dict[str, Any]:
        add_remark(collection, whole_number(number), read_fields(Remark, body))
        return view_unit(collection, whole_number(number))

    @router.get("/answers/{number}/{revision}/{index}")
    async def picture(request: Request, number: str, revision: str, index: str) -> Response:
        task, save, image = (whole_number(text) for text in (number, revision, index))
        width, marked = int(read_number(request, "w") or 512), read_number(request, "marks") != 0
        encoding = await run_sync(draw_answer, collection, task, save, image, width, marked, limiter=threads)
        return send_picture(request, encoding, lasting=False)


def _add_links(router: APIRouter, collection: Collection) -> None:
    @router.get("/links")
    def links(request: Request) -> dict[str, Any]:
        base, now = request.app.state.base, time.time()

        def link(kind: str, who: int | str) -> str:
            return f"{base}/#{kind}={access.token_of(collection.secret, who)}"

        return {
            "open": request.app.state.open_mode,
            "invites": [
                vars(invite)
                | {
                    "link": link("invite", f"{access.INVITE}{invite.id}"),
                    "closed": invite.closed(now),
                    "left": None if invite.until is None else max(0.0, invite.until - now),
                }
                for invite in collection.links.invites()
            ],
            "people": [vars(person) | {"link": link("token", person.id)} for person in collection.store.people()],
        }

    @router.post("/invites")
    def invite(request: Request, body: Body) -> dict[str, Any]:
        limits = read_fields(InviteLimits, body)
        until = None if limits.days is None else time.time() + limits.days * DAY
        name = read_name(limits.name)
        collection.links.make_invite(name, people=limits.people, images=limits.images, until=until)
        return links(request)

    def add_stop(
        kind: str, what: str, find: Callable[[int], Invite | Person | None], stop: Callable[[int, bool], object]
    ) -> None:
        @router.post(f"/{kind}/{{number}}")
        def change(request: Request, body: Body, number: str) -> dict[str, Any]:
            order, holder = read_fields(_Stop, body), find(whole_number(number))
            if holder is None:
                raise Unknown(f"there is no such {what}")
            stop(holder.id, order.stopped)
            return links(request)

    add_stop("invites", "invite", collection.links.invite, collection.links.stop_invite)
    add_stop("people", "annotator", collection.store.person, collection.store.stop_person)


class _Sink(io.RawIOBase):
    """A file object that collects what is written; `take` returns the bytes and empties it."""

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
    """Yield an export as a zip archive, piece by piece. Only one file of it is on disk at a time.

    The paths in its manifest are relative to the folder of the images, in which the archive is to be unpacked.
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
