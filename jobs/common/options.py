"""Options that jobs share."""

import argparse

from jobs.common.room import WAIT_MINUTES, Room
from metaner_core.engine.config import KINDS, PRECISIONS


def add_ray_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Ray")
    group.add_argument("--address", help="a running Ray; default: RAY_ADDRESS, else a Ray of its own on this machine")
    group.add_argument("--gpu", action="store_true", help="one GPU for each worker or actor")
    waited = f"for room on a running Ray, then end; 0: not at all (default: {WAIT_MINUTES:g})"
    group.add_argument("--wait-minutes", type=float, default=WAIT_MINUTES, help=waited)


def room(options: argparse.Namespace, kind: str) -> Room:
    """What the options want of a cluster. kind: `workers` or `actors`. Raises ValueError for a time that cannot be."""
    if not 0 <= options.wait_minutes < float("inf"):
        raise ValueError(f"options:\n  --wait-minutes is {options.wait_minutes}; least is 0")
    many = getattr(options, kind)
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
    """Raises ValueError listing every option that has a smaller value."""
    given = ((name, value, n) for name, n in least.items() if (value := getattr(options, name)) is not None)
    bad = [f"--{name.replace('_', '-')} is {value}; least is {n}" for name, value, n in given if value < n]
    if bad:
        raise ValueError("\n  ".join(["options:", *bad]))
