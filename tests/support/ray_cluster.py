"""A Ray cluster on this machine in a process of its own, with nodes and actors that can be lost.

    python tests/support/ray_cluster.py TEMP NODES   prints the address, then answers each line of input with a line:
    kill    SIGKILL to a process that holds an actor of a tagging run: its id
    lose    the end, without a word to it, of a node that holds such an actor, and of all its processes: what is left
    actor X, reader X    SIGKILL to the process of one that X, from 0 to 1, chooses: its id, or none if there is none
    node X  the end of one of the nodes, and another in its place: its id

The head has no CPU, so that actors live on the other nodes, of one CPU each. Ends with its input.
"""

import os
import signal
import sys
from pathlib import Path

from ray.cluster_utils import Cluster

ACTORS, READERS = (b"TagActor", b"Predictor"), (b"read_shards",)


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
    size = {"object_store_memory": 80 * 2**20}
    soon = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 1000, "health_check_failure_threshold": 5}
    bare = {"include_dashboard": False, "include_log_monitor": False}
    head = {"num_cpus": 0, "temp_dir": temp, "_system_config": soon, **bare, **size}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    others = [cluster.add_node(num_cpus=1, **size) for _ in range(nodes)]
    raylets = {node.all_processes["raylet"][0].process.pid: node for node in others}
    print(cluster.address, flush=True)
    for line in sys.stdin:
        what, _, chance = line.strip().partition(" ")
        names = READERS if what == "reader" else ACTORS
        found = {pid: parent for pid, parent in processes(names).items() if parent in raylets}
        if what == "node":
            raylet = sorted(raylets)[int(float(chance) * len(raylets))]
            cluster.remove_node(raylets.pop(raylet), allow_graceful=False)
            new = cluster.add_node(num_cpus=1, **size)
            raylets[new.all_processes["raylet"][0].process.pid] = new
            print(raylet, flush=True)
            continue
        if not found:
            print("none", flush=True)
            continue
        pid, raylet = sorted(found.items())[int(float(chance or 0) * len(found))]
        if what != "lose":
            os.kill(pid, signal.SIGKILL)
            print(pid, flush=True)
        else:
            cluster.remove_node(raylets.pop(raylet), allow_graceful=False)
            print(len(raylets), flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
