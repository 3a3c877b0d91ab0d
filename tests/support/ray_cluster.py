"""A Ray cluster on this machine in a process of its own, with nodes and actors that can be lost.

    python tests/support/ray_cluster.py TEMP NODES   prints the address, then answers each line of input with a line:
    kill    SIGKILL to a process that holds an actor of a tagging run: its id
    lose    the end, without a word to it, of a node that holds such an actor, or a trainer or scorer, and of all its
            processes: what is left, or none if there is no such node
    actor X, reader X, trainer X, scorer X
            SIGKILL to the process of one that X, from 0 to 1, chooses: its id, or none if there is none
    node X  the end of one of the nodes, and another in its place: its id
    add     another node: how many there are

The head has no CPU, so that actors live on the other nodes, of one CPU each. Ends with its input.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from ray.cluster_utils import Cluster

SIZE = {"object_store_memory": 80 * 2**20}
ACTORS, TRAINERS, SCORERS = (b"TagActor", b"Predictor"), (b"RayTrainWorker",), (b"Scorer",)
NAMES = {"reader": (b"read_shards",), "trainer": TRAINERS, "scorer": SCORERS, "lose": ACTORS + TRAINERS + SCORERS}


def processes(names: tuple[bytes, ...] = ACTORS) -> dict[int, int]:
    """Processes of a tagging run that have such a name, and the process that started each: its node's raylet."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_bytes()
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if title.startswith(b"ray::") and any(name in title for name in names):
            found[int(folder.name)] = parent
    return found


def main(temp: str, nodes: int) -> None:
    soon = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 1000, "health_check_failure_threshold": 5}
    bare = {"include_dashboard": False, "include_log_monitor": False}
    head = {"num_cpus": 0, "temp_dir": temp, "_system_config": soon, **bare, **SIZE}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    raylets = dict(added(cluster) for _ in range(nodes))
    print(cluster.address, flush=True)
    for line in sys.stdin:
        what, _, chance = line.strip().partition(" ")
        print(answer(cluster, raylets, what, float(chance or 0)), flush=True)
    cluster.shutdown()


def added(cluster: Cluster) -> tuple[int, Any]:
    """A new node, after its raylet's process."""
    node = cluster.add_node(num_cpus=1, **SIZE)
    return node.all_processes["raylet"][0].process.pid, node


def answer(cluster: Cluster, raylets: dict[int, Any], what: str, chance: float) -> object:
    """Do what a line says. raylets: the nodes, by process; those that are lost leave it and others come."""
    if what == "node":
        raylet = sorted(raylets)[int(chance * len(raylets))]
        cluster.remove_node(raylets.pop(raylet), allow_graceful=False)
        raylets.update([added(cluster)])
        return raylet
    if what == "add":
        raylets.update([added(cluster)])
        return len(raylets)
    known = processes(NAMES.get(what, ACTORS))
    found = sorted((pid, parent) for pid, parent in known.items() if parent in raylets)
    if not found:
        return "none"
    pid, raylet = found[int(chance * len(found))]
    if what == "lose":
        cluster.remove_node(raylets.pop(raylet), allow_graceful=False)
        return len(raylets)
    os.kill(pid, signal.SIGKILL)
    return pid


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
