"""Options from a file: `--config run.toml`, or the manifest of an earlier run, whose own options go first.

    preset = "embedded"                # keys are the options' names, without the dashes before them
    corpus = "conll2003-en"
    workers = 2
    set = { alpha = 1e-4 }             # of an option that may be given several times: a table, or a list of values

argparse reads command lines and nothing else, and what wraps it with files turns their values into text first, so that
a wrong type passes or is found one at a time; a file is checked here as a whole, before any of it is used.
"""

import argparse
import difflib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jobs.common.address import require_storage
from jobs.common.options import OneOrTwo, as_many
from metaner_core import storage
from metaner_core.command import CommandParser

KINDS: dict[Any, tuple[tuple[type, ...], str]] = {
    None: ((str,), "text"),
    str: ((str,), "text"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
}
MANIFESTS_PART = "config"  # where a manifest holds the options of its run


class OptionsParser(CommandParser):
    """A job's parser: its options may come from a file.

    An option that is given wins over the file; of those that add up, the file's come first.
    """

    def __init__(self, module: str, description: str, examples: Sequence[str]) -> None:
        super().__init__(module, description, examples)
        self.add_argument("--config", metavar="FILE", help="options from a TOML file or an earlier run's manifest.json")

    def parse(
        self, arguments: Sequence[str] | None = None, given: Mapping[str, Any] | None = None, where: str = ""
    ) -> argparse.Namespace:
        """The options, with `config` replaced by all of them that have a value, by name: what the run goes by.

        given: options as a file has them, read elsewhere, at `where`. Raises ValueError naming everything that
        is wrong in the file at once, or that no storage answers where options name some; FileNotFoundError when there
        is no such file.
        """
        if given is not None:
            self._take(given, where)
        first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
        first.add_argument("--config")
        uri = first.parse_known_args(arguments)[0].config
        if uri is not None:
            self._take(read(uri), uri)
        options = self.parse_args(arguments)
        options.config = {
            name: value
            for name, action in self._named().items()
            if (value := getattr(options, action.dest)) is not None
        }
        require_storage(options.config.values())
        return options

    def _named(self) -> dict[str, argparse.Action]:
        """The options that a file may hold, by their names."""
        hidden = {"help", "config", "version"}
        named = ((action.option_strings[-1].lstrip("-"), action) for action in self._actions if action.option_strings)
        return {name: action for name, action in named if name not in hidden and action.help != argparse.SUPPRESS}

    def _take(self, values: Mapping[str, Any], uri: str) -> None:
        """Make the file's values the defaults."""
        named = self._named()
        problems = [problem for key in values for problem in _problems(named, key, values[key])]
        if problems:
            raise ValueError(f"{uri}:\n  " + "\n  ".join(problems))
        for key, value in values.items():
            action = named[_name(key)]
            self.set_defaults(**{action.dest: _expanded(action, value)})
            action.required = False
            if isinstance(value, bool) and action.nargs == 0:
                self._add_opposite(action)

    def _add_opposite(self, action: argparse.Action) -> None:
        """Of an option that the file turns on or off, the one that turns it the other way."""
        name = action.option_strings[-1].removeprefix("--")
        opposite = f"--{name.removeprefix('no-')}" if name.startswith("no-") else f"--no-{name}"
        kind = "store_false" if action.const else "store_true"
        default = self.get_default(action.dest)
        self.add_argument(opposite, dest=action.dest, action=kind, help=argparse.SUPPRESS)
        self.set_defaults(**{action.dest: default})


def read(uri: str) -> dict[str, Any]:
    """The options in a TOML file, or in the manifest (JSON) of a run. Raises ValueError for what is neither."""
    content = storage.read_bytes(uri)
    try:
        if not uri.endswith(".json"):
            return tomllib.loads(content.decode())
        found = json.loads(content)
    except ValueError as error:  # of either format, or not UTF-8
        raise ValueError(f"--config {uri}: {error}; give a TOML file, or a run's manifest.json") from None
    if not isinstance(found, dict) or not isinstance(found.get(MANIFESTS_PART), dict):
        raise ValueError(f"--config {uri} has no part {MANIFESTS_PART!r}: it is no manifest of a run that wrote one")
    return dict(found[MANIFESTS_PART])


def _name(key: str) -> str:
    return key.replace("_", "-")


def _problems(named: Mapping[str, argparse.Action], key: str, value: Any) -> Iterator[str]:
    """What is wrong with one entry."""
    action = named.get(_name(key))
    if action is None:
        near = difflib.get_close_matches(_name(key), named, 1)
        meant = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(named)}"
        yield f"{key} is no option of this command{meant}"
        return
    if (wanted := _wanted(action, value)) is not None:
        yield f"{key} is {value!r}; it must be {wanted}"


def _wanted(action: argparse.Action, value: Any) -> str | None:
    """What the value should be, if it is something else."""
    kinds, told = KINDS[action.type]
    if action.nargs == 0:
        return None if isinstance(value, bool) else "true or false"
    if isinstance(action.const, int) and value is True:  # an option that may stand without a value
        return None
    if isinstance(action, argparse._AppendAction):
        return _wanted_of_several(action, value)
    if isinstance(action, OneOrTwo):
        numbers = value if isinstance(value, list) and value else [value]
        return None if all(type(n) is int for n in numbers) else "a whole number, or a list of the least and the most"
    if action.nargs == "+":
        one = argparse.Namespace(nargs=None, type=action.type, choices=action.choices, const=None)
        right = isinstance(value, list) and value and not any(_wanted(one, v) for v in value)  # type: ignore[arg-type]
        return None if right else f"a list, each of it {told}"
    if isinstance(value, bool) or not isinstance(value, kinds):
        return told
    return (
        None if action.choices is None or value in action.choices else f"one of {', '.join(map(str, action.choices))}"
    )


def _wanted_of_several(action: argparse.Action, value: Any) -> str | None:
    """Of an option that may be given several times: a list of what it takes, or a table."""
    many = action.nargs == "+"
    if isinstance(value, dict):
        right = all(isinstance(v, list | str) for v in value.values()) if many else True
    else:
        kind = list if many else str
        right = isinstance(value, list) and all(isinstance(v, kind) for v in value)
    one = "lists of text" if many else "text"
    return None if right else f"a table, or a list of {one}, as {action.option_strings[-1]} {action.metavar} takes"


def _expanded(action: argparse.Action, value: Any) -> Any:
    """The value as argparse would have it."""
    if isinstance(action, OneOrTwo):
        return as_many(value)
    if not isinstance(action, argparse._AppendAction) or not isinstance(value, dict):
        return action.const if value is True and action.nargs != 0 else value
    if action.nargs == "+":
        return [[key, *([v] if isinstance(v, str) else v)] for key, v in value.items()]
    return [f"{key}={_written(v)}" for key, v in value.items()]


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
