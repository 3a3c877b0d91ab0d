"""The benchmark's tables and plot."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from metaner_core.engine.bench.measure import Row
from metaner_core.engine.bench.rows import GROUPS, REFERENCE


def table(shape: str, rows: Sequence[Row]) -> Table:
    """Of rows of which the first is plain tagging. shape: what they are of."""
    loop = {row.unit: row for row in rows if REFERENCE in row.name}
    made = Table(title=f"{shape}: {machine()}", title_justify="left")
    for column in ("", "a second", "ms each", "times the loop", "times plain tagging's cost", "MiB"):
        made.add_column(column, justify="left" if not column else "right")
    for row in rows:
        cost = _spread(row.times(rows[0])) if row.unit == "sentence" else ""
        gain = _spread(loop[row.unit].times(row)) if row.unit in loop else ""
        facts = (f"{row.rate:,.2f}", f"{row.seconds * 1e3:,.2f}", gain, cost)
        made.add_row(row.name, *facts, f"{row.memory:,.0f}")
    return made


def _spread(ratios: Sequence[float]) -> str:
    """The median, and from the least to the greatest."""
    least, most = (f"{ratio:.3g}" for ratio in (min(ratios), max(ratios)))
    return f"{statistics.median(ratios):.3g}" + (f" ({least}-{most})" if least != most else "")


def machine() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    model = next((x for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith("model name")), ": CPU")
    return f"{model.split(': ')[1]}, {torch.get_num_threads()} thread(s), torch {torch.__version__}"


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Throughput against group size and against tokens a wave, for every shape."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for shape, found in results.items():
        rate = {row.name: row.rate for row in found["rows"]}
        groups = [rate[name] for name in rate if name.startswith("batched, ") and "nearest" not in name]
        (line,) = left.plot(GROUPS, groups, marker="o", label=f"{shape}, adapted")
        left.axhline(rate["plain tagging"], color=line.get_color(), ls=":", label=f"{shape}, plain")
        left.axhline(rate[REFERENCE], color=line.get_color(), ls="--", label=f"{shape}, loop")
        budgets = list(map(int, found["waves"]))
        right.plot(budgets, list(found["waves"].values()), marker="o", color=line.get_color())
    left.set(xlabel="sentences a support set")
    right.set(xlabel="tokens a wave (nearest neighbours)")
    for axes in (left, right):
        axes.set(ylabel="sentences a second", xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            axis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.3)
    left.set_xticks(GROUPS, [str(g) for g in GROUPS])
    right.set_xticks(budgets, [f"{b:,}" for b in budgets])
    figure.legend(loc="outside lower center", ncols=len(results), fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
