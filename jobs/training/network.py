"""The network by which training workers reach one another. To be imported late: torch comes along."""

import fcntl
import os
import socket
import struct
from typing import Any

import ray
from ray.train.torch import TorchConfig

SIOCGIFADDR = 0x8915  # Linux: of an interface, its address
ADDRESS = slice(20, 24)  # in what that answers


class OwnNetwork(TorchConfig):
    """As TorchConfig, but gloo uses the network of the node's address.

    By itself it takes that of the host's name, which Debian, Ubuntu and others have at 127.0.1.1: then workers on
    different machines wait for each other in vain.
    """

    @property
    def backend_cls(self) -> Any:
        base = super().backend_cls

        class Backend(base):  # type: ignore[misc, valid-type]
            def on_start(self, worker_group: Any, backend_config: Any) -> None:
                worker_group.execute(use_own_network)
                super().on_start(worker_group, backend_config)

        return Backend


def use_own_network() -> None:
    """In a worker, before it meets the others. What somebody has set stays."""
    if name := interface(ray.util.get_node_ip_address()):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)


def interface(address: str) -> str | None:
    """Name of this machine's interface that has an IPv4 address; None if none has, or this is no Linux."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(any_socket, SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            except OSError:  # it has none
                continue
            if socket.inet_ntoa(answer[ADDRESS]) == address:
                return name
    return None
