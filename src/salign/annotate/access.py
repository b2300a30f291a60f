"""Who may do what in a study: its secret, and the tokens that are signed with it."""

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
"""What stands before the number of an invite in its token."""
_TOKEN = "token "
"""Before the name in what a token signs, and not in the token: links of earlier versions go on working."""


def read_secret(path: Path) -> bytes:
    """The secret of a study, 32 bytes that only the owner of the file may read; made where there is none.

    Raises:
        SalignError: others may read the file, or it is no secret.
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
    """The token of an annotator (its number), of an invite (`INVITE` and its number) or of the owner (`OWNER`)."""
    return _signer(secret).sign(f"{_TOKEN}{who}").decode().removeprefix(_TOKEN)


def bearer(secret: bytes, token: str) -> int | str | None:
    """Whose token this is: an annotator's number, `INVITE` and a number, `OWNER`, or None for a forged one."""
    try:
        who = _signer(secret).unsign(f"{_TOKEN}{token}".encode("utf-8", "replace")).decode().removeprefix(_TOKEN)
    except BadSignature:
        return None
    return int(who) if who.isdecimal() else who


def invite_of(who: int | str | None) -> int | None:
    """The number of an invite, where a token is that of one."""
    return int(who.removeprefix(INVITE)) if isinstance(who, str) and who.startswith(INVITE) else None


def hidden(secret: bytes, name: str) -> str:
    """A name for the page that tells nothing of a file name, which may hold the answer."""
    return _signer(secret).get_signature(f"name {name}".encode("utf-8", "surrogateescape")).decode()[:22]


def _signer(secret: bytes) -> Signer:
    """HMAC-SHA256 with the secret itself, 32 random bytes; what is signed begins with a word that says what it is."""
    return Signer(secret, key_derivation="none", digest_method=hashlib.sha256)
