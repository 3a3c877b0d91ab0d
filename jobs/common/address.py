"""Addresses, seen to before a job starts: of a running Ray, which Ray itself would try for minutes and tell of in the
words of its own logs, and of object storage, of which a request is tried again and again for two."""

import os
import re
import socket
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from metaner_core.command import say
from metaner_core.storage import ENDPOINTS, endpoint
from metaner_core.uris import is_remote

TOLD = "--address (or RAY_ADDRESS)"
GIVE = "give HOST:PORT of a running Ray's head (`ray start --head` prints it), auto, or local for a Ray of its own"
SECONDS = 10.0
AMAZON = "s3.amazonaws.com"
PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")


def require_answering(address: str, *, seconds: float = SECONDS) -> None:
    """Raises ValueError when the address is none of a Ray, or nobody listens there within so many seconds."""
    if address in ("local", "auto"):
        return
    if address.startswith(("http://", "https://")):
        raise ValueError(f"{TOLD} is {address}, which is where `ray job submit` sends jobs to; {GIVE}")
    found = re.fullmatch(r"(?:ray://)?\[?([^\[\]/]+?)\]?:(\d{1,5})", address)
    if found is None:
        raise ValueError(f"{TOLD} is {address}, which is no address of a Ray; {GIVE}")
    if error := _unheard(found[1], int(found[2]), seconds):
        raise ValueError(f"{TOLD} is {address}, and no Ray answers there ({error}); {GIVE}")


def require_storage(values: Iterable[object], *, seconds: float = SECONDS) -> None:
    """values: of a command's options. Raises ValueError when one of them is in object storage, at an endpoint that the
    user has set, and nobody listens there; says so of Amazon's, which may be reached in a way not seen from here.
    Once a job runs, what is not answered is tried again instead."""
    if not any(map(is_remote, _texts(values))):
        return
    if (where := endpoint()) is None:
        if not any(os.environ.get(name) for name in PROXIES) and (error := _unheard(AMAZON, 443, seconds)):
            say(f"{AMAZON} does not answer ({error}); if the storage is not Amazon's, set {ENDPOINTS[-1]}")
        return
    parts = urlsplit(where if "://" in where else f"https://{where}")
    port = parts.port or (80 if parts.scheme == "http" else 443)
    if error := _unheard(parts.hostname or "", port, seconds):
        name = next(name for name in ENDPOINTS if os.environ.get(name))
        raise ValueError(
            f"{name} is {where}, and no storage answers there ({error}); set it to one that runs, or unset "
            "it for Amazon's own"
        )


def _texts(values: Iterable[object]) -> Iterator[str]:
    """Those among values, and in lists of them."""
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from _texts(value)


def _unheard(host: str, port: int, seconds: float) -> Exception | None:
    """What keeps this machine from being heard there, if anything does."""
    try:
        socket.create_connection((host, port), timeout=seconds).close()
    except (OSError, OverflowError) as error:
        return error
    return None
