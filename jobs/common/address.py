"""The address of a running Ray, seen to before Ray itself tries it: for minutes, and by the words of its own logs."""

import re
import socket

TOLD = "--address (or RAY_ADDRESS)"
GIVE = "give HOST:PORT of a running Ray's head (`ray start --head` prints it), auto, or local for a Ray of its own"
SECONDS = 10.0


def require_answering(address: str, *, seconds: float = SECONDS) -> None:
    """Raises ValueError when the address is none of a Ray, or nobody listens there within so many seconds."""
    if address in ("local", "auto"):
        return
    if address.startswith(("http://", "https://")):
        raise ValueError(f"{TOLD} is {address}, which is where `ray job submit` sends jobs to; {GIVE}")
    found = re.fullmatch(r"(?:ray://)?\[?([^\[\]/]+?)\]?:(\d{1,5})", address)
    if found is None:
        raise ValueError(f"{TOLD} is {address}, which is no address of a Ray; {GIVE}")
    try:
        socket.create_connection((found[1], int(found[2])), timeout=seconds).close()
    except (OSError, OverflowError) as error:
        raise ValueError(f"{TOLD} is {address}, and no Ray answers there ({error}); {GIVE}") from None
