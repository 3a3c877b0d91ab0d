"""Room for a job's processes on the Ray that it runs on; waited for where machines come when they are asked for."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import ray
from ray.util.placement_group import placement_group, remove_placement_group

from metaner_core.command import say

WAIT_MINUTES = 10.0
SILENT, EVERY = 3.0, 30.0  # seconds before the first line about waiting, and between lines


@dataclass(frozen=True)
class Room:
    """cpus: processes of one logical CPU each. gpus: how many of them need a GPU too. who: they, in words. options: of
    the command, that make them fewer. minutes: to wait for them."""

    who: str
    cpus: int
    gpus: int
    options: str
    minutes: float = WAIT_MINUTES

    def require(self) -> None:
        """Raises ValueError when this Ray, as it is now, has less than that."""
        have = ray.cluster_resources()
        for kind, n in (("CPU", self.cpus), ("GPU", self.gpus)):
            if have.get(kind, 0) < n:
                without = ", leave out --gpu" if kind == "GPU" and not have.get(kind) else ""
                raise ValueError(
                    f"{self.who} need {n} logical {kind}s, this Ray has {have.get(kind, 0):g}: "
                    f"set {self.options} lower{without}, or use a larger cluster"
                )

    def wait(self, tell: Callable[[str], object] = say) -> None:
        """Until it is there and free; whoever scales this Ray sees that it is wanted, until this process ends.

        Raises ValueError when it is not there in time.
        """
        if not self.minutes:
            self.require()
            return
        # A reservation that is wanted goes with this process, whatever ends it; a request to the autoscaler would stay,
        # and machines with it.
        each = [{"CPU": 1.0, "GPU": 1.0}] * self.gpus + [{"CPU": 1.0}] * (self.cpus - self.gpus)
        group, until = placement_group(each, strategy="PACK"), time.monotonic() + 60 * self.minutes
        try:
            pause = SILENT
            while not group.wait(timeout_seconds=min(pause, max(0.1, until - time.monotonic()))):
                left = until - time.monotonic()
                if left <= 0:
                    raise ValueError(
                        f"{self._wanted()}, after {self.minutes:g} minutes: set {self.options} lower, use a larger "
                        "cluster, let its autoscaler have more machines, or wait longer (--wait-minutes)"
                    )
                tell(f"waiting for machines: {self._wanted()}; {left / 60:.0f} minutes more (--wait-minutes)")
                pause = EVERY
        finally:
            remove_placement_group(group)

    def _wanted(self) -> str:
        kinds = {"GPU": self.gpus, "CPU": self.cpus}
        have, free = ray.cluster_resources(), ray.available_resources()
        wants = " and ".join(f"{n} logical {kind}s" for kind, n in kinds.items() if n)
        there = " and ".join(f"{have.get(k, 0):g} {k}s, {free.get(k, 0):g} free" for k, n in kinds.items() if n)
        return f"{self.who} need {wants}, this Ray has {there}"
