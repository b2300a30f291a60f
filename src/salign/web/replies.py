"""Replies of a FastAPI application: every refusal has a sentence, and the files of a page are always the latest."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from salign.web.guard import Refusal, refused

FRESH = {"cache-control": "no-cache"}
"""Headers of a page and its files, which make a browser ask each time whether it has the latest version."""


class PageFiles(StaticFiles):
    """The files of a page, which are sent with the headers `FRESH`."""

    def file_response(self, *positional: Any, **more: Any) -> Response:
        """Return the reply of `StaticFiles` with `FRESH` added."""
        reply = super().file_response(*positional, **more)
        reply.headers.update(FRESH)
        return reply


async def reply_refusal(request: Request, refusal: Refusal) -> Response:
    """Log a refusal, and return the reply `{"error": sentence}` with its status."""
    refused(request.scope, refusal)
    return JSONResponse({"error": refusal.sentence}, refusal.status, refusal.headers)


def add_refusals(app: FastAPI) -> None:
    """Let an application use `reply_refusal` for every refused request.

    These are a `Refusal`, a request that FastAPI itself refuses, and an address without a page.

    Args:
        app: the application to which the handlers are added.
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
