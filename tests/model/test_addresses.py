"""Which two sockets cannot be bound on one host at once."""

from __future__ import annotations

import pytest

from meshc.model.addresses import overlaps
from meshc.model.mesh import Address

OVERLAPS = [
    # one, other, whether they clash on one port
    ("10.0.0.1", "10.0.0.1", True),
    ("10.0.0.1", "10.0.0.2", False),
    ("10.0.0.1", "127.0.0.1", False),
    ("10.0.0.1", "0.0.0.0", True),
    ("127.0.0.1", "0.0.0.0", True),
    ("0.0.0.0", "0.0.0.0", True),
    ("fd00::1", "fd00::1", True),
    ("fd00::1", "fd00::2", False),
    ("fd00::1", "10.0.0.1", False),
    ("::1", "127.0.0.1", False),
    ("fd00::1", "0.0.0.0", False),
    ("::1", "0.0.0.0", False),
    ("fd00::1", "::", True),
    ("::1", "::", True),
    ("::", "::", True),
    ("10.0.0.1", "::", True),
    ("127.0.0.1", "::", True),
    ("0.0.0.0", "::", True),
]


@pytest.mark.parametrize(("one", "other", "expected"), OVERLAPS)
def test_addresses_overlap_on_one_port(one: str, other: str, *, expected: bool) -> None:
    assert overlaps(Address(one, 80), Address(other, 80)) is expected
    assert overlaps(Address(other, 80), Address(one, 80)) is expected


@pytest.mark.parametrize(("one", "other", "_expected"), OVERLAPS)
def test_nothing_overlaps_on_two_ports(one: str, other: str, *, _expected: bool) -> None:
    assert not overlaps(Address(one, 80), Address(other, 81))


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (Address("10.0.0.1", 80), "10.0.0.1:80"),
        (Address("fd00::1", 80), "[fd00::1]:80"),
        (Address("api.example.com", 443), "api.example.com:443"),
    ],
)
def test_an_address_is_written_with_its_port(address: Address, text: str) -> None:
    assert str(address) == text
