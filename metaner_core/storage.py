"""Files and folders behind one kind of name: a local path (or its `file://` uri) or `s3://bucket/key`.

Credentials for S3 come from the usual AWS chain (environment, profile, role); they are never printed or written.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs

from metaner_core.uris import absolute as absolute
from metaner_core.uris import is_remote as is_remote
from metaner_core.uris import join as join

MANIFEST = "manifest.json"  # of a bundle or an output, written last: what has none is not whole
UNFINISHED = "unfinished.txt"
HALF = ".half"  # ends the name of a file that is being written, or was when the process ended
ATTEMPTS = 10  # of a request that S3 does not answer, or answers with 503 (slow down), 500 or 429; waits grow to 20 s

ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")  # the first that is set counts
# Arrow's names for what is over when the storage has recovered, and words of one that it misreads (`read_bytes`).
TRANSIENT = (
    "AWS Error NETWORK_CONNECTION",
    "AWS Error SLOW_DOWN",
    "AWS Error SERVICE_UNAVAILABLE",
    "AWS Error INTERNAL_FAILURE",
    "AWS Error THROTTLING",
    "AWS Error REQUEST_TIMEOUT",
    "HTTP status 500",
    "HTTP status 503",
    "flush response stream",
)


def filesystem(uri: str) -> tuple[pafs.FileSystem, str]:
    """The file system of a uri and the path in it. Raises ValueError for one that is neither local nor s3://."""
    uri = absolute(uri)
    if is_remote(uri):
        return s3(), uri.removeprefix("s3://").rstrip("/")
    return pafs.LocalFileSystem(), uri


def endpoint() -> str | None:
    """Where object storage is, if the user has said so: else it is Amazon's."""
    return next((where for name in ENDPOINTS if (where := os.environ.get(name))), None)


def s3() -> pafs.FileSystem:
    """S3 with the credentials, region and endpoint that boto3 finds (so profiles, SSO and roles work)."""
    import boto3

    session = boto3.Session()
    credentials = session.get_credentials()
    frozen = credentials.get_frozen_credentials() if credentials else None
    options: dict[str, Any] = {"region": session.region_name or "us-east-1"}
    options["retry_strategy"] = pafs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS)
    options["allow_delayed_open"] = True  # a small file is one request, not the three of a multipart upload
    if where := endpoint():
        scheme, _, host = where.rpartition("://")
        options |= {"endpoint_override": host, "scheme": scheme or "https"}
    if frozen:
        options |= {"access_key": frozen.access_key, "secret_key": frozen.secret_key}
        if frozen.token:
            options["session_token"] = frozen.token
    return pafs.S3FileSystem(**options)


def read_bytes(uri: str) -> bytes:
    """A whole file. Raises FileNotFoundError naming the uri."""
    fs, path = filesystem(uri)
    for attempt in range(ATTEMPTS):
        try:
            with fs.open_input_stream(path) as stream:
                return stream.read()
        except (FileNotFoundError, IsADirectoryError):
            raise FileNotFoundError(f"{uri}: there is no such file") from None
        except OSError as error:
            if not is_remote(uri) and Path(path).is_dir():
                raise IsADirectoryError(f"{uri} is a folder; give a file") from None
            # Arrow takes an answer 503 for a failure if it is longer than the file asked for.
            if "flush response stream" not in str(error) or attempt == ATTEMPTS - 1:
                raise
            time.sleep(min(0.1 * 2**attempt, 20))
    raise AssertionError("the last attempt returns or raises")


def write_bytes(uri: str, content: bytes) -> None:
    fs, path = filesystem(uri)
    if not is_remote(uri):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    with fs.open_output_stream(path, compression=None) as stream:  # a name that ends in .gz changes nothing
        stream.write(content)


def write_whole(uri: str, content: bytes) -> None:
    """Write a file that is there as a whole or not at all, whenever the process ends. Replaces what is there.

    On S3 every object is so; a local file gets its name when all of it is on the disk.
    """
    if is_remote(uri):
        write_bytes(uri, content)
        return
    path = Path(absolute(uri))
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", suffix=HALF, delete=False) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    written = Path(file.name)
    written.chmod(0o666 & ~_umask())
    written.replace(path)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def delete(uri: str) -> None:
    """Delete one file."""
    fs, path = filesystem(uri)
    fs.delete_file(path)


@dataclass(frozen=True)
class Listed:
    """A file. size: in bytes. modified: Unix time in seconds."""

    uri: str
    size: int
    modified: int


def listed(uri: str) -> list[Listed]:
    """All files below a folder, or the one file, sorted by uri; empty if there is nothing of that name."""
    if not is_remote(uri):
        return _listed_here(absolute(uri))
    fs, path = filesystem(uri)
    info = fs.get_file_info(path)
    infos = [info] if info.is_file else fs.get_file_info(pafs.FileSelector(path, recursive=True, allow_not_found=True))
    files = [
        Listed(f"s3://{info.path}", info.size or 0, (info.mtime_ns or 0) // 1_000_000_000)
        for info in infos
        if info.type == pafs.FileType.File
    ]
    return sorted(files, key=lambda file: file.uri)


def _listed_here(path: str) -> list[Listed]:
    """Of this machine, where a name need not be UTF-8: Arrow stops at one that is not, and does not say which."""
    if Path(path).is_file():
        return [_seen(path)]
    found = []
    for folder, folders, names in os.walk(path, onerror=_not_listed, followlinks=True):
        real = os.path.realpath(folder)
        folders[:] = [name for name in folders if not _is_above(os.path.realpath(Path(folder, name)), real)]
        for name in names:
            with suppress(FileNotFoundError):  # it has got its name, or was deleted, since it was listed
                found += [_seen(file)] if (file := Path(folder, name)).is_file() else []
    return sorted(found, key=lambda file: file.uri)


def _seen(path: str | Path) -> Listed:
    info = Path(path).stat()
    return Listed(str(path), info.st_size, info.st_mtime_ns // 1_000_000_000)


def _is_above(folder: str, other: str) -> bool:
    """Whether a folder is the other or holds it: a link to it would lead round in a circle."""
    return Path(other).is_relative_to(folder)


def _not_listed(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise ValueError(f"{error.filename}: what is in this folder cannot be listed: {error.strerror}") from None


def list_files(uri: str) -> list[str]:
    """Uris of all files below a folder, sorted; empty if there is no such folder."""
    return [file.uri for file in listed(uri)]


def exists(uri: str) -> bool:
    fs, path = filesystem(uri)
    return fs.get_file_info(path).type != pafs.FileType.NotFound


def require_unused(uri: str, what: str, *, run: str | None = None) -> None:
    """Raises FileExistsError when anything lies at uri, unless this very run was stopped while it published there:
    nothing else is ever overwritten. run: a name that stands for all that decides what is published. Likewise
    NotADirectoryError or PermissionError when nothing could be written there, as far as that is known beforehand."""
    if run is not None and (begun := unfinished(uri)) is not None and run.startswith(begun):  # half a mark is one too
        return
    if not is_remote(uri):
        _require_writable(Path(absolute(uri)))
    if (exists(uri) and not _is_folder(uri)) or any(not file.endswith(HALF) for file in list_files(uri)):
        one = f"an {what}" if what[0] in "aeiou" else f"a {what}"
        raise FileExistsError(f"{uri} already holds files; {one} is never overwritten: name another path or delete it")


def _require_writable(path: Path) -> None:
    above = next(folder for folder in path.parents if os.path.lexists(folder))
    if not above.is_dir():
        raise NotADirectoryError(
            f"{path}: {above} is no folder; give a path whose folders are folders or not there yet"
        )
    if not os.access(above if not path.is_dir() else path, os.W_OK | os.X_OK):
        raise PermissionError(f"{path}: nothing can be written in {above}; give a place where you may write")


def unfinished(uri: str) -> str | None:
    """Name of the run that began to publish at uri and has not come to its end, if there is one."""
    mark = join(uri, UNFINISHED)
    return read_bytes(mark).decode() if exists(mark) else None


def _is_folder(uri: str) -> bool:
    fs, path = filesystem(uri)
    return fs.get_file_info(path).type == pafs.FileType.Directory


@contextmanager
def local_copy(uri: str) -> Iterator[Path]:
    """A folder as a local path: itself if it is local, else a temporary download. Raises FileNotFoundError."""
    if not is_remote(uri):
        path = Path(absolute(uri))
        if not path.is_dir():
            raise FileNotFoundError(f"{uri}: there is no such folder")
        yield path
        return
    fs, key = filesystem(uri)
    if not list_files(uri):
        raise FileNotFoundError(f"{uri}: there is nothing below this prefix")
    with tempfile.TemporaryDirectory(prefix="metaner-") as folder:
        pafs.copy_files(key, folder, source_filesystem=fs, destination_filesystem=pafs.LocalFileSystem())
        yield Path(folder)


def publish(folder: Path, uri: str, *, last: str, run: str | None = None) -> None:
    """Copy a local folder's files to uri, the file named `last` after all others, as the mark that it is whole.

    run: while this goes on its name lies there too, so that the same run may start over if it is stopped meanwhile.
    """
    if run is not None:
        write_bytes(join(uri, UNFINISHED), run.encode())
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p != folder / last)
    for file in [*files, folder / last]:
        target = join(uri, file.relative_to(folder).as_posix())
        if is_remote(uri):
            fs, key = filesystem(target)
            pafs.copy_files(str(file), key, source_filesystem=pafs.LocalFileSystem(), destination_filesystem=fs)
        else:
            path = Path(absolute(target))
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, path)
    if run is not None:
        delete(join(uri, UNFINISHED))
