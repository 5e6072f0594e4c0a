# SPDX-License-Identifier: Apache-2.0
"""Which addresses a stranger may have this machine connect to."""

from __future__ import annotations

import ipaddress
import socket

import pytest

from classify.addresses import AddressRule, Endpoint, is_public

PUBLIC = [
    "8.8.8.8",
    "93.184.215.14",
    "192.88.98.1",
    "2606:4700:4700::1111",
    "2a00:1450:4001:830::200e",
    "::ffff:8.8.8.8",  # The same as 8.8.8.8.
    "64:ff9b::808:808",  # What a gateway makes 8.8.8.8 of.
]
INSIDE = {
    "127.0.0.1": "this machine",
    "127.255.255.254": "this machine",
    "0.0.0.0": "this machine, for some systems",
    "0.1.2.3": "this network",
    "10.0.0.1": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "100.64.0.1": "behind a carrier's gateway",
    "100.100.100.200": "metadata of a cloud",
    "169.254.169.254": "metadata of a cloud",
    "169.254.170.2": "credentials of a container",
    "168.63.129.16": "a cloud's own server, though it looks public",
    "192.0.0.192": "metadata of a cloud",
    "192.0.2.1": "documentation",
    "198.18.0.1": "measurements",
    "198.51.100.1": "documentation",
    "203.0.113.1": "documentation",
    "224.0.0.1": "many at once",
    "239.255.255.250": "many at once",
    "240.0.0.1": "reserved",
    "255.255.255.255": "everybody",
    "::": "this machine",
    "::1": "this machine",
    "::127.0.0.1": "an old form of 127.0.0.1",
    "::8.8.8.8": "an old form, routed nowhere",
    "::ffff:127.0.0.1": "127.0.0.1",
    "::ffff:169.254.169.254": "metadata of a cloud",
    "::ffff:0:127.0.0.1": "translated by a host",
    "64:ff9b::7f00:1": "127.0.0.1 through a gateway",
    "64:ff9b::a9fe:a9fe": "metadata through a gateway",
    "64:ff9b:1::808:808": "a gateway inside",
    "100::1": "thrown away",
    "2001::1": "a tunnel",
    "2001:db8::1": "documentation",
    "2002:7f00:1::": "127.0.0.1 in a tunnel",
    "2002:808:808::": "8.8.8.8 in a tunnel",
    "3fff::1": "documentation",
    "fc00::1": "private",
    "fd00:ec2::254": "metadata of a cloud",
    "fe80::1": "this link",
    "fe80::1%eth0": "this link",
    "2606:4700::1%eth0": "a link, whatever the address",
    "fec0::1": "this site",
    "ff02::1": "many at once",
    "ff0e::1": "many at once",
}


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))
    assert AddressRule().refusal(address, 443) == ""
    assert AddressRule().refusal(address, 22) == "its port is 22, expected 80 or 443"


@pytest.mark.parametrize("address", INSIDE)
def test_inside(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address)), INSIDE[address]
    assert AddressRule().refusal(address, 80) == "its address is not a public one"


@pytest.mark.parametrize("spelling", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.1", "0x7f.1", "0"])
def test_what_resolves_to_this_machine_is_seen_as_it(spelling: str) -> None:
    for *_, address in socket.getaddrinfo(spelling, 80, type=socket.SOCK_STREAM):
        assert AddressRule().refusal(str(address[0]), 80) == "its address is not a public one"


def test_exceptions_are_for_one_port() -> None:
    rule = AddressRule(exceptions=frozenset({Endpoint.parse("127.0.0.1:8080"), Endpoint.parse("[::1]:8080")}))
    assert rule.refusal("127.0.0.1", 8080) == rule.refusal("::1", 8080) == ""
    assert rule.refusal("0:0:0:0:0:0:0:1", 8080) == ""
    assert rule.refusal("127.0.0.1", 80) and rule.refusal("127.0.0.2", 8080) and rule.refusal("::1", 443)
    assert AddressRule().refusal("no address", 80) == "found no address of the internet protocol"


@pytest.mark.parametrize("text", ["127.0.0.1", "127.0.0.1:", "localhost:80", "127.1:80", "1.2.3.4:0", "::1:x", ":80"])
def test_exceptions_are_addresses_with_a_port(text: str) -> None:
    with pytest.raises(ValueError, match="expected ADDRESS:PORT"):
        Endpoint.parse(text)
