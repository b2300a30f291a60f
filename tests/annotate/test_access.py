"""Tokens and hidden names: signed by a library, and byte for byte what earlier versions made, so that links go on."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from salign.annotate.access import OWNER, bearer, hidden, token_of

SECRET = bytes(range(32))


def signature(text: str, secret: bytes = SECRET) -> str:
    """As the versions before itsdangerous made it."""
    digest = hmac.new(secret, text.encode("utf-8", "surrogateescape"), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


@pytest.mark.parametrize("who", [1, 73, 10**14, OWNER])
def test_links_of_earlier_versions_go_on_working(who: int | str) -> None:
    token = f"{who}.{signature(f'token {who}')}"
    assert token_of(SECRET, who) == token
    assert bearer(SECRET, token) == who


@pytest.mark.parametrize("name", ["scan.png", "study\0a/b.png", "\u00e9.png", "\udcff.png"])
def test_a_hidden_name_stays_what_it_was(name: str) -> None:
    assert hidden(SECRET, name) == signature(f"name {name}")[:22]


@pytest.mark.parametrize(
    "forged",
    [
        "",
        "1",
        "1.",
        f".{signature('token ')[:-1]}",
        f"1.{signature('token 2')}",
        f"owner.{signature('token 1')}",
        f"1.{signature('name 1')}",
        f"1.{signature('token 1', bytes(32))}",
        f"1.{signature('token 1')}x",
        f"\u0661.{signature('token 1')}",
        f"1.{signature('token 1')}\udcff",
        f"token 1.{signature('token 1')}",
    ],
)
def test_a_forged_token_is_nobodys(forged: str) -> None:
    assert bearer(SECRET, forged) is None
