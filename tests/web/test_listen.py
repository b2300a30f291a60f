"""Where a server is reached."""

from __future__ import annotations

import pytest

from salign.errors import SalignError
from salign.web.listen import Address, listen


def test_which_servers_only_this_machine_reaches():
    assert Address().is_local
    assert not Address("0.0.0.0").is_local
    assert not Address(public="https://lab.example").is_local


@pytest.mark.parametrize("public", ["lab.example", "ftp://lab.example", "https://", "https://a/b", "https://a b"])
def test_what_is_no_address_is_refused(public):
    with pytest.raises(SalignError, match="--public"):
        Address(public=public)


def test_a_port_that_is_taken_is_said():
    with listen("127.0.0.1", 0) as listening, pytest.raises(SalignError, match="another --port"):
        listen("127.0.0.1", listening.getsockname()[1])
