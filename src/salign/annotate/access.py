"""Who may do what: secrets and tokens, request rates, the names a server answers to, and the headers it sends."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import os
import secrets
import stat
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from pathlib import Path

from itsdangerous import BadSignature, Signer

from salign.errors import SalignError
from salign.readers import read_bytes

OWNER = "owner"
INVITE = "invite-"
"""What stands before the number of an invite in its token."""
_TOKEN = "token "
"""Before the name in what a token signs, and not in the token: links of earlier versions go on working."""

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
"""Sent with every reply."""

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


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


class Rates:
    """A bucket of requests for each caller: `burst` at once, refilled at `rate` a second."""

    def __init__(
        self, rate: float, burst: int, *, callers: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Remember at most so many callers, the longest silent forgotten first."""
        self._rate, self._burst, self._callers, self._clock = rate, burst, callers, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, caller: str) -> float:
        """Take one request out of a caller's bucket: 0, or the seconds until there is one."""
        now = self._clock()
        left, last = self._buckets.pop(caller, (float(self._burst), now))
        left = min(self._burst, left + (now - last) * self._rate)
        allowed = left >= 1
        self._buckets[caller] = (left - 1 if allowed else left, now)
        if len(self._buckets) > self._callers:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self._rate


def host_name(header: str) -> str | None:
    """The name in a Host header or in the part of an Origin after `//`, without port; None where there is none."""
    text = header.strip().lower()
    if text.startswith("["):
        name, bracket, port = text[1:].partition("]")
        port = port.removeprefix(":")
        name = name if bracket else ""
    else:
        name, _, port = text.partition(":")
    well_formed = name and all(char.isalnum() or char in ".-_:" for char in name) and (not port or port.isdigit())
    return name if well_formed else None


def host_allowed(header: str, *, local_only: bool, names: Collection[str]) -> bool:
    """Whether a server answers under this Host header: a foreign name that points here is how a page gets past it.

    Args:
        header: `name` or `name:port`.
        local_only: only names of this machine itself (and `names`), not IP addresses.
        names: further names, lower case.
    """
    name = host_name(header)
    if name is None:
        return False
    if name in _LOCAL or name in names:
        return True
    if local_only:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def network_of(address: str) -> str:
    """Whose address it is: an IPv6 address stands for its /64, all of which one host may use."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is None:
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return address


def is_loopback(host: str) -> bool:
    """Whether a server bound to this address is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
