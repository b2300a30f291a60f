"""Finding a Ray cluster, or making one of this machine."""

from __future__ import annotations

import logging
import os
from typing import Any

from salign.errors import SalignError, install

ATTEMPTS = 3
"""How often work is begun whose process or machine dies under it."""


def connect(address: str | None) -> Any:
    """The module `ray`, connected to a cluster; Ray sends no statistics unless the environment asks for it.

    Args:
        address: address of a running cluster, `auto` for the one this machine belongs to; None starts one here, unless
            the environment variable RAY_ADDRESS names one.

    Raises:
        SalignError: ray is missing, or there is no such cluster.
    """
    try:
        import ray
    except ImportError as error:
        raise SalignError(f"running on Ray needs the package ray; {install('ray')}") from error
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(address=address, ignore_reinit_error=True, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError) as error:
        raise SalignError(
            f"no Ray cluster at {address!r}: {error}. Start one with `ray start --head` and try again."
        ) from error
    return ray
