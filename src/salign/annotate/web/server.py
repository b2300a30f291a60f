"""The web application of a study: its pages, and the API that they call."""

from __future__ import annotations

import time
from collections.abc import Collection as Names
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse

from salign.annotate import access
from salign.annotate.broken import Unshown
from salign.annotate.collection import Collection, NoConsent, Unknown
from salign.annotate.pictures import Encoded
from salign.annotate.records import Mistaken, read_annotation, read_key, read_name
from salign.annotate.store import Changed, LinkClosed
from salign.annotate.store_file import Gone
from salign.annotate.web.callers import Annotator, Body, bearer_of, caller, read_number, send_picture
from salign.annotate.web.owner import add_owner_routes
from salign.web.guard import SESSION, Guard, Refusal
from salign.web.replies import FRESH, PageFiles, add_refusals, reply_refusal

_READERS = 8
"""Number of threads that read pictures. They are separate, so that no save waits for an image to be read."""

_STATUS = {Unknown: 404, NoConsent: 403, LinkClosed: 403, Changed: 409, Unshown: 410}

STATIC = Path(__file__).parents[1] / "static"


def create_app(collection: Collection, *, open_mode: bool = True, names: Names[str] = (), base: str = "") -> FastAPI:
    """Build the application of a study.

    Args:
        collection: the study.
        open_mode: whether anybody who reaches the server may join by a name and is trusted as the owner. Use it only
            for a server that only this machine reaches.
        names: host names that the server answers to, besides `localhost` and, unless `open_mode`, IP addresses.
        base: beginning of the links on the owner's page.
    """
    app = FastAPI(title="salign annotate", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.state.collection, app.state.open_mode, app.state.base = collection, open_mode, base
    _add_errors(app)
    _add_pages(app)
    _add_joining(app)
    _add_tasks(app)
    _add_pictures(app)
    add_owner_routes(app, collection)
    app.add_middleware(
        Guard,
        limits=collection.study.limits,
        local_only=open_mode,
        names=[*names, *collection.study.hosts],
        study=collection.store.study,
        known=lambda header: _known(collection.secret, header),
    )
    return app


def _known(secret: bytes, header: str) -> int | str | None:
    who = bearer_of(secret, header)
    return who if access.invite_of(who) is None else None


def _add_errors(app: FastAPI) -> None:
    add_refusals(app)

    @app.exception_handler(Mistaken)
    async def on_mistake(request: Request, error: Mistaken) -> Response:
        return await reply_refusal(request, Refusal(_STATUS.get(type(error), 400), str(error)[:500]))

    @app.exception_handler(Gone)
    async def on_gone(request: Request, error: Gone) -> Response:
        return await reply_refusal(request, Refusal(503, str(error)))

    @app.exception_handler(PermissionError)
    async def on_escape(request: Request, error: PermissionError) -> Response:
        return await reply_refusal(request, Refusal(404, "there is no such file"))


def _add_pages(app: FastAPI) -> None:
    def page(name: str) -> FileResponse:
        return FileResponse(STATIC / name, headers=FRESH)

    @app.get("/")
    def index() -> FileResponse:
        return page("index.html")

    @app.get("/owner")
    def dashboard() -> FileResponse:
        return page("owner.html")

    @app.get("/worker.js")
    def worker() -> FileResponse:
        return page("worker.js")

    app.mount("/static", PageFiles(directory=STATIC, check_dir=False))


def _add_joining(app: FastAPI) -> None:
    @app.get(SESSION)
    def session(request: Request) -> dict[str, Any]:
        return {"open": request.app.state.open_mode, "study": request.app.state.collection.store.study}

    @app.post("/api/join")
    def join(request: Request, body: Body) -> dict[str, Any]:
        study: Collection = request.app.state.collection
        name = read_name(body.get("name") if isinstance(body, dict) else None)
        who = caller(request)
        person = study.store.person(who) if isinstance(who, int) else None
        if person is not None:
            if person.stopped is None:
                study.store.change_person(person.id, shown=name)
        elif (invite := access.invite_of(who)) is not None:
            person = study.links.join(invite, name)
        elif request.app.state.open_mode:
            person = study.store.add_person(name)
        else:
            raise Refusal(401, "open the link that you were given; a name alone is not enough here")
        if person.stopped is not None:
            raise Refusal(403, "this name was stopped; ask whoever runs the study")
        if body.get("consent") is True:
            study.store.change_person(person.id, consented=time.time())
        return {"token": access.token_of(study.secret, person.id), "annotator": {"id": person.id, "name": name}}

    @app.get("/api/study")
    def about(request: Request, person: Annotator) -> dict[str, Any]:
        return dict(request.app.state.collection.about(person))


def _add_tasks(app: FastAPI) -> None:
    @app.post("/api/next")
    def next_tasks(request: Request, person: Annotator, body: Body) -> dict[str, Any]:
        have = body.get("have", []) if isinstance(body, dict) else None
        if not isinstance(have, list) or len(have) > 100 or not all(isinstance(name, str) for name in have):
            raise Mistaken("have: expected a list of task ids")
        return dict(request.app.state.collection.next_tasks(person, have))

    @app.get("/api/tasks")
    def finished(request: Request, person: Annotator) -> dict[str, Any]:
        return {"tasks": request.app.state.collection.finished(person)}

    @app.get("/api/task/{number}")
    def task(request: Request, person: Annotator, number: str) -> dict[str, Any]:
        study: Collection = request.app.state.collection
        return study.task_view(study.task(person, number))

    @app.put("/api/annotations/{key}")
    def save(request: Request, person: Annotator, body: Body, key: str) -> Response:
        study: Collection = request.app.state.collection
        annotation = read_annotation(body, study.study.limits.text)
        saved, feedback = study.save(person, read_key(key), annotation)
        if saved.side:
            sentence = "somewhere else this image was saved meanwhile; your save is kept beside it and does not count"
            return JSONResponse({"error": sentence, "revision": saved.latest}, 409)
        return JSONResponse({"revision": saved.number, "stored": True, "feedback": feedback})


def _add_pictures(app: FastAPI) -> None:
    threads = CapacityLimiter(_READERS)

    @app.get("/api/image/{name}")
    async def image(request: Request, person: Annotator, name: str) -> Response:
        study: Collection = request.app.state.collection
        width, low, high = (read_number(request, key) for key in ("w", "low", "high"))
        window = (low if low is not None else 0.0, high if high is not None else 1.0)
        chosen_window = None if low is None and high is None else window
        path = study.picture(name)

        def read() -> Encoded:
            return study.broken.show(path, lambda file: study.cache.image(file, int(width or 1024), chosen_window))

        return send_picture(request, await run_sync(read, limiter=threads))

    @app.get("/api/map/{reference}")
    async def heat_map(request: Request, person: Annotator, reference: str) -> Response:
        study: Collection = request.app.state.collection
        width = read_number(request, "w")
        path = study.heat_map(reference)

        def read() -> Encoded:
            return study.broken.show(path, lambda file: study.cache.map(file, int(width or 1024)))

        return send_picture(request, await run_sync(read, limiter=threads), lasting=False)
