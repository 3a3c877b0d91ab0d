"""The machines of the Ray that a job runs on, as they come and go."""

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


class Machines:
    """Those that are there now are known."""

    def __init__(self) -> None:
        self._alive = _alive()

    def changes(self) -> list[str]:
        """A line for each that came or was lost since this was asked last."""
        before, self._alive = self._alive, _alive()
        lost = [before[node] for node in before.keys() - self._alive.keys()]
        came = [self._alive[node] for node in self._alive.keys() - before.keys()]
        left = f"; {len(self._alive)} now"
        return [f"machine {address} is lost{left}" for address in sorted(lost)] + [
            f"machine {address} has come{left}" for address in sorted(came)
        ]


def here() -> NodeAffinitySchedulingStrategy:
    """For actors that belong to the driver: on its machine, so that no other's loss takes them along."""
    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


def _alive() -> dict[str, str]:
    """Addresses by the node's id, which is new when a machine comes back."""
    return {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
