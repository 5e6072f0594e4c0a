# SPDX-License-Identifier: Apache-2.0
"""Where a stranger may have this machine fetch something from: public addresses, and nothing that is only reached from inside.

What is checked are addresses, never names: a name is whatever its owner says it is at the moment. All that look like one
address (127.1, 0x7f000001, 2130706433, a name, a full-width digit) come here as that address.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

#: Of plain and of encrypted HTTP.
PORTS = frozenset({80, 443})

#: RFC 4291, section 2.4: where addresses that are routed everywhere are taken from.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
#: RFC 6052: the last 32 bits are an IPv4 address, to which a gateway translates.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
#: Parts of 2000::/3 that lead elsewhere: 6to4 (RFC 3056, with an IPv4 address inside), documentation (RFC 9637).
_NOT_PUBLIC = (ipaddress.IPv6Network("2002::/16"), ipaddress.IPv6Network("3fff::/20"))
#: RFC 6890: protocols of the network itself; a cloud's metadata are at 192.0.0.192.
_PROTOCOLS = ipaddress.IPv4Network("192.0.0.0/24")
#: Microsoft Azure answers machines of its own here, with their secrets, though the address looks public.
_SERVED_INSIDE = frozenset({ipaddress.IPv4Address("168.63.129.16")})


@dataclass(frozen=True)
class Endpoint:
    """An address and a port that somebody listens at."""

    address: str
    port: int

    @staticmethod
    def parse(text: str) -> Endpoint:
        """`127.0.0.1:8080`, `[::1]:8080`. Raises ValueError."""
        host, colon, port = text.rpartition(":")
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        try:
            found = Endpoint(str(ipaddress.ip_address(bare)), int(port))
        except ValueError:
            found = Endpoint("", 0)
        if not colon or not 0 < found.port < 65536:
            raise ValueError(f"found {text!r}, expected ADDRESS:PORT, with an address as 127.0.0.1 or [::1]")
        return found


@dataclass(frozen=True)
class AddressRule:
    """Which endpoints are connected to. An immutable value."""

    ports: frozenset[int] = PORTS  #: At public addresses.
    #: That may be reached although they are not public: for tests and demonstrations.
    exceptions: frozenset[Endpoint] = frozenset()

    def refusal(self, address: str, port: int) -> str:
        """Why this endpoint is not connected to; empty: it may be. `address` as getaddrinfo gives it."""
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return "found no address of the internet protocol"
        if Endpoint(str(parsed), port) in self.exceptions:
            return ""
        if not is_public(parsed):
            return "its address is not a public one"
        if port not in self.ports:
            return f"its port is {port}, expected {' or '.join(map(str, sorted(self.ports)))}"
        return ""


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether the address is one host's, reached from everywhere. For those that hold another one, both have to be."""
    if isinstance(address, ipaddress.IPv4Address):
        is_inside = address in _PROTOCOLS or address in _SERVED_INSIDE
        return address.is_global and not address.is_multicast and not is_inside
    inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.ipv4_mapped or address in _NAT64:
        return is_public(inner)
    is_elsewhere = any(address in network for network in _NOT_PUBLIC)
    return address in _GLOBAL_UNICAST and address.is_global and address.scope_id is None and not is_elsewhere
