"""Where an encoder is: a hub name, a folder, s3:// or the package. Imports no torch: a job's driver needs it too."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metaner_core import storage
from metaner_core.encoders import e5_small
from metaner_core.uris import SCHEME

CHOICES = f"give a folder, s3://, a hub name that this machine reaches, `embedded` or `{e5_small.NAME}`"
EMBEDDED = Path(__file__).parents[1] / "embedded" / "encoder"


@contextmanager
def located(source: str) -> Iterator[str]:
    """Where transformers finds an encoder while in the context: a folder, or a hub name as it is."""
    source = _place(source)
    if storage.is_remote(source):
        with storage.local_copy(source) as folder:
            yield str(folder)
    elif source == e5_small.NAME:
        yield str(e5_small.folder())
    else:
        yield str(EMBEDDED) if source == "embedded" else source


def _place(source: str) -> str:
    """A uri as a place; a name or a path as it is."""
    return storage.absolute(source) if SCHEME.match(source) else source


def settled(source: str) -> str:
    """`source` as processes find it that work elsewhere, as Ray's do: a folder by its absolute path; else as it is."""
    named = source in ("embedded", e5_small.NAME)
    return storage.absolute(source) if not named and Path(source).is_dir() else source


def require_source(source: str) -> None:
    """Raises FileNotFoundError when `source` is a path or an s3:// prefix with nothing there (a hub is not asked).

    `e5-small` raises as `e5_small.require` says. ValueError for a scheme other than file:// and s3://.
    """
    source = _place(source)
    if source == e5_small.NAME:
        return e5_small.require()
    if storage.is_remote(source):
        there = bool(storage.list_files(source))
    else:
        there = Path(source).is_dir() or not source.startswith(("/", ".", "~"))
    if not there:
        raise FileNotFoundError(f"encoder {source!r}: there is no such folder; {CHOICES}")
    if not storage.is_remote(source) and Path(source).is_dir() and not Path(source, "config.json").is_file():
        raise FileNotFoundError(
            f"encoder {source!r}: this folder has no config.json, so it holds no encoder; {CHOICES}"
        )
