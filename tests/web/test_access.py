"""Rates, and names of hosts."""

from __future__ import annotations

import pytest

from salign.web import access


class TestRates:
    def test_a_burst_then_the_rate(self):
        now = [0.0]
        rates = access.Rates(2.0, 3, clock=lambda: now[0])
        assert [rates.wait("a") for _ in range(4)] == [0, 0, 0, 0.5]
        now[0] = 0.25
        assert rates.wait("a") == 0.25
        now[0] = 0.5
        assert rates.wait("a") == 0
        assert rates.wait("a") == 0.5
        assert rates.wait("b") == 0, "everybody has a bucket"
        now[0] = 100
        assert [rates.wait("a") for _ in range(4)] == [0, 0, 0, 0.5], "which never holds more than a burst"

    def test_callers_that_are_long_silent_are_forgotten(self):
        rates = access.Rates(1.0, 1, callers=10, clock=lambda: 0.0)
        for number in range(1000):
            rates.wait(str(number))
        assert len(rates._buckets) == 10


@pytest.mark.parametrize(("header", "name"), [
    ("localhost", "localhost"), ("A.b:80", "a.b"), ("[::1]:8", "::1"), ("::1", None), ("a b", None), ("", None),
    ("a:b", None), ("[::1", None), ("a/b", None), ("a@b", None), (" host ", "host"),
])  # fmt: skip
def test_names_of_hosts(header, name):
    assert access.host_name(header) == name


@pytest.mark.parametrize(("host", "local"), [
    ("127.0.0.1", True), ("localhost", True), ("::1", True), ("127.9.9.9", True), ("0.0.0.0", False),
    ("10.0.0.1", False), ("box", False),
])  # fmt: skip
def test_which_addresses_only_this_machine_reaches(host, local):
    assert access.is_loopback(host) is local


def test_an_ipv6_network_is_one_caller():
    assert access.network_of("2001:db8::1") == access.network_of("2001:db8::ffff") == "2001:db8::/64"
    assert access.network_of("2001:db8:0:1::1") == "2001:db8:0:1::/64"
    assert access.network_of("10.0.0.1") == "10.0.0.1"
    assert access.network_of("unknown") == "unknown"
