"""Options that jobs share."""

import argparse
from typing import Any

from jobs.common.room import WAIT_MINUTES, Room
from metaner_core.engine.config import KINDS, PRECISIONS

Many = int | tuple[int, int]  # processes: so many; or the least to begin with and the most as machines come


class OneOrTwo(argparse.Action):
    """Of an option that takes how many there should be, as `Many`. More numbers than two are left for `wrong`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "nargs": "+", "type": int, "metavar": ("MIN", "MAX")})

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        setattr(namespace, self.dest, as_many(values))


def as_many(values: int | list[int]) -> Any:
    """One number as itself, several as a tuple."""
    if isinstance(values, int):
        return values
    return values[0] if len(values) == 1 else tuple(values)


def fewest(many: Many) -> int:
    return many if isinstance(many, int) else many[0]


def greatest(many: Many) -> int:
    return many if isinstance(many, int) else many[1]


def in_words(many: Many) -> str:
    return str(many) if isinstance(many, int) else f"{many[0]} to {many[1]}"


def wrong(name: str, many: Many, least: int = 1) -> str | None:
    """What is wrong with a number, or with how many there should be. name: what it is called."""
    numbers: tuple[int, ...] = (many,) if isinstance(many, int) else many  # of a command line, any number of them
    told = f"{name} is {' '.join(map(str, numbers))}"
    if not 1 <= len(numbers) <= 2:
        return f"{told}; give one number, or the least and the most"
    if min(numbers) < least:
        return f"{told}; least is {least}"
    return f"{told}; the least comes first: {numbers[1]} {numbers[0]}" if numbers[0] > numbers[-1] else None


def add_ray_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Ray")
    group.add_argument("--address", help="a running Ray; default: RAY_ADDRESS, else a Ray of its own on this machine")
    group.add_argument("--gpu", action="store_true", help="one GPU for each worker or actor")
    waited = f"for room on a running Ray, then end; 0: not at all (default: {WAIT_MINUTES:g})"
    group.add_argument("--wait-minutes", type=float, default=WAIT_MINUTES, help=waited)


def room(options: argparse.Namespace, kind: str) -> Room:
    """What the options want of a cluster to begin. kind: `workers` or `actors`. Raises ValueError for a time that
    cannot be."""
    if not 0 <= options.wait_minutes < float("inf"):
        raise ValueError(f"options:\n  --wait-minutes is {options.wait_minutes}; least is 0")
    many = fewest(getattr(options, kind))
    gpus = many if options.gpu else 0
    return Room(f"{many} {kind[:-1]}(s)", many, gpus, f"--{kind}", options.wait_minutes)


def add_engine_option(parser: argparse.ArgumentParser, *, precision: bool = True) -> None:
    parser.add_argument(
        "--engine",
        default="batched",
        choices=KINDS,
        help="reference: one sentence or task at a time, for checking (default: batched)",
    )
    if precision:
        parser.add_argument(
            "--precision",
            default="fp32",
            choices=PRECISIONS,
            help="of the matrix products; what bf16 changes: docs/findings/engine.md (default: fp32)",
        )


def require_at_least(options: argparse.Namespace, **least: int) -> None:
    """Raises ValueError listing every option that has a smaller value, or two in the wrong order."""
    given = ((name, value, n) for name, n in least.items() if (value := getattr(options, name)) is not None)
    bad = [problem for name, value, n in given if (problem := wrong(f"--{name.replace('_', '-')}", value, n))]
    if bad:
        raise ValueError("\n  ".join(["options:", *bad]))
