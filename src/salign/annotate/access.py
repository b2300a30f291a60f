"""Access to a study: its secret, and the tokens of annotators, invites and the owner, signed with the secret."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
from pathlib import Path

from itsdangerous import BadSignature, Signer

from salign.errors import SalignError
from salign.readers import read_bytes

OWNER = "owner"
INVITE = "invite-"
"""Prefix of the number of an invite in the invite's token."""
_TOKEN = "token "
"""Prefix of the text that is signed for a token. The token itself leaves it out, so that links of earlier versions go
on working."""


def read_secret(path: Path) -> bytes:
    """Read the secret of a study, 32 bytes that only the owner of the file may read; make it if there is no file.

    Raises:
        SalignError: other users may read the file, or it does not have 32 bytes.
    """
    if not path.exists():
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another server was faster: its secret stands
            os.link(partial, path)
        partial.unlink()
    if os.name == "posix" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SalignError(
            f"{path}: others on this machine may read the secret; run `chmod 600 {path}`, or delete the file to make "
            "all links invalid and get new ones"
        )
    secret = read_bytes(path)
    if len(secret) != 32:
        raise SalignError(f"{path}: expected 32 bytes, got {len(secret)}; delete the file to get new links")
    return secret


def token_of(secret: bytes, who: int | str) -> str:
    """Make the token of an annotator (by its number), an invite (`INVITE` and its number) or the owner (`OWNER`)."""
    return _signer(secret).sign(f"{_TOKEN}{who}").decode().removeprefix(_TOKEN)


def bearer(secret: bytes, token: str) -> int | str | None:
    """Return the holder of a token: an annotator's number, `INVITE` and a number, or `OWNER`; None if it is forged."""
    try:
        who = _signer(secret).unsign(f"{_TOKEN}{token}".encode("utf-8", "replace")).decode().removeprefix(_TOKEN)
    except BadSignature:
        return None
    return int(who) if who.isdecimal() else who


def invite_of(who: int | str | None) -> int | None:
    """Return the number of the invite that a token belongs to; None if it does not belong to an invite."""
    return int(who.removeprefix(INVITE)) if isinstance(who, str) and who.startswith(INVITE) else None


def hidden(secret: bytes, name: str) -> str:
    """Make the name by which the page knows a file. It reveals nothing of the file name, which may tell the answer."""
    return _signer(secret).get_signature(f"name {name}".encode("utf-8", "surrogateescape")).decode()[:22]


def _signer(secret: bytes) -> Signer:
    """Return a signer: HMAC-SHA256, keyed with the secret itself.

    The secret needs no key derivation, since it is 32 random bytes. Each signed text begins with a word that says what
    it is, so that a token cannot stand for a hidden name or the other way round.
    """
    return Signer(secret, key_derivation="none", digest_method=hashlib.sha256)
