"""Request rates, the host names that a server answers to, and the security headers that it sends."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Collection

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
"""Headers that are sent with every reply."""

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


class Rates:
    """A token bucket for each caller, which holds at most `burst` requests and is refilled at `rate` a second."""

    def __init__(
        self, rate: float, burst: int, *, callers: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Remember at most `callers` callers. Those that have been silent for the longest time are forgotten first."""
        self._rate, self._burst, self._callers, self._clock = rate, burst, callers, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, caller: str) -> float:
        """Take one request out of a caller's bucket and return 0, or return the seconds until there is one."""
        now = self._clock()
        left, last = self._buckets.pop(caller, (float(self._burst), now))
        left = min(self._burst, left + (now - last) * self._rate)
        allowed = left >= 1
        self._buckets[caller] = (left - 1 if allowed else left, now)
        if len(self._buckets) > self._callers:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self._rate


def host_name(header: str) -> str | None:
    """Return the name, without port, in a Host header or in the part of an Origin after `//`; None if malformed."""
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
    """Return whether a server answers to this Host header.

    Unknown names are refused, because a page of another site could otherwise reach the server by a name of that site
    that points to the server's address (DNS rebinding).

    Args:
        header: the header, `name` or `name:port`.
        local_only: whether only names of this machine and `names` are allowed, and no other IP addresses.
        names: further names that are allowed, in lower case.
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
    """Return the network that stands for an address: the /64 of an IPv6 address, else the address itself.

    One host may use all addresses of an IPv6 /64, so they count as one caller.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is None:
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return address


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server that is bound to this address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
