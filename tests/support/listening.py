"""What the processes of one Ray listen on."""

from collections.abc import Iterator
from pathlib import Path

LISTEN = "0A"  # in /proc/net/tcp


def listening(mark: str) -> dict[int, bool]:
    """TCP ports of all processes that have this text in their environment, and whether they are open on every
    interface."""
    sockets = {link: (port, everywhere) for link, port, everywhere in _sockets()}
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() not in (folder / "environ").read_bytes():
                continue
            links = [str(link.readlink()) for link in (folder / "fd").iterdir()]
        except OSError:
            continue  # it has ended
        found |= dict(sockets[link] for link in links if link in sockets)
    return found


def _sockets() -> Iterator[tuple[str, int, bool]]:
    """What a file descriptor is a link to, its port, and whether it has no address of its own."""
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            address, _, port = local.rpartition(":")
            if state == LISTEN:
                yield f"socket:[{inode}]", int(port, 16), not address.strip("0")
