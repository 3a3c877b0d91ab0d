"""Names of places: local paths, `file://` uris of this machine, and `s3://bucket/key`."""

import re
from pathlib import Path
from urllib.parse import unquote

# Of one letter it may be a drive. With one slash, too: s3:/bucket would be a folder named s3: here.
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")


def is_remote(uri: str) -> bool:
    return uri.startswith("s3://")


def absolute(uri: str) -> str:
    """The same place by a name that holds in any working directory: a path, or s3://.

    Raises ValueError for another scheme, and for s3:// without a bucket.
    """
    found = SCHEME.match(uri)
    if found is None:
        return str(Path(uri).expanduser().absolute())
    if found[1].lower() == "file":
        return _path(uri)
    if not is_remote(uri):
        known = "give a local path, file:// or s3:// (a local folder of such a name begins with ./)"
        raise ValueError(f"{uri}: {found[1]}: is not supported; {known}")
    if not uri.removeprefix("s3://").partition("/")[0]:
        raise ValueError(f"{uri} names no bucket; give s3://bucket/key")
    return uri


def join(uri: str, *parts: str) -> str:
    return "/".join([uri.rstrip("/"), *parts])


def _path(uri: str) -> str:
    """Of a file: uri (RFC 8089). Raises ValueError for one of another machine."""
    host, path = "", uri[len("file:") :]
    if path.startswith("//"):
        host, slash, path = path[2:].partition("/")
        path = slash + path
    if host not in ("", "localhost") or not path:
        raise ValueError(f"{uri}: a file:// uri names a file of this machine: write file:///folder/file, or a path")
    return str(Path(unquote(path, errors="surrogateescape")).absolute())
