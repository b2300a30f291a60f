"""How an application of FastAPI replies: a sentence for every refusal, and its own files always fresh."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from salign.web.guard import Refusal, refused

FRESH = {"cache-control": "no-cache"}
"""Header of a page and its files: a browser asks each time whether it has the latest."""


class PageFiles(StaticFiles):
    """The files of a page, each sent with `FRESH`."""

    def file_response(self, *positional: Any, **more: Any) -> Response:
        """As for every file, with the header."""
        reply = super().file_response(*positional, **more)
        reply.headers.update(FRESH)
        return reply


async def reply_refusal(request: Request, refusal: Refusal) -> Response:
    """`{"error": sentence}`, and a line in the log."""
    refused(request.scope, refusal)
    return JSONResponse({"error": refusal.sentence}, refusal.status, refusal.headers)


def add_refusals(app: FastAPI) -> None:
    """Let an application reply so to a `Refusal`, to what FastAPI refuses by itself, and to an address without a page.

    Args:
        app: its handlers are added.
    """

    @app.exception_handler(Refusal)
    async def on_refusal(request: Request, error: Refusal) -> Response:
        return await reply_refusal(request, error)

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> Response:
        return await reply_refusal(request, Refusal(error.status_code, f"{error.detail}"))

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> Response:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        return await reply_refusal(request, Refusal(400, faults[:500]))
