"""Connecting to a Ray cluster, or starting one on this machine."""

from __future__ import annotations

import logging
import os
from typing import Any

from salign.errors import SalignError, install

ATTEMPTS = 3
"""How many processes or machines may die during one piece of work before it counts as failed."""


def connect(address: str | None) -> Any:
    """Connect to a Ray cluster and return the module `ray`.

    Ray sends no usage statistics, unless the environment variable RAY_USAGE_STATS_ENABLED asks for it.

    Args:
        address: address of a running cluster; `auto` = the cluster that this machine belongs to; None = start a cluster
            on this machine, unless the environment variable RAY_ADDRESS names one.

    Raises:
        SalignError: ray is not installed, or there is no cluster at the address.
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
