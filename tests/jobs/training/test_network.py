"""Which network training workers meet on."""

import os

import pytest
import ray

from jobs.training.network import interface, use_own_network


def test_an_interface_is_found_by_its_address() -> None:
    assert interface("127.0.0.1") == "lo"
    assert interface("192.0.2.1") is None  # of no machine: for examples


@pytest.mark.parametrize(("set_before", "expected"), [(None, "lo"), ("eth7", "eth7")])
def test_gloo_takes_the_network_of_the_node_unless_somebody_chose_another(
    set_before: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "127.0.0.1")
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    if set_before:
        monkeypatch.setenv("GLOO_SOCKET_IFNAME", set_before)
    use_own_network()
    assert os.environ["GLOO_SOCKET_IFNAME"] == expected
