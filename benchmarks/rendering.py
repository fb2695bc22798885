"""The results of `run.py` as a table and a picture."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = {"headstart": "#D55E00", "others": "#0072B2"}
MARKERS = "so^DvP*Xp<>h"
LINES = ("--", ":", "-.", (0, (1, 3)))
REFERENCE = "tutorial, frozen"  # what the others are compared with, where it was run; else with the slowest


def table(results: Sequence[dict[str, Any]]) -> str:
    """A Markdown table for each data set, the slowest contender first."""
    lines = []
    for result in results:
        ordered = sorted(result["timings"], key=lambda timing: -timing["seconds"])
        reference = next((timing for timing in ordered if timing["name"] == REFERENCE), ordered[0])
        lines += [
            f"### {result['data']}",
            "",
            f"| | seconds | each run | times as fast as: {short(reference['name'])} | accuracy, best (last) | peak memory |",
            "|---|---|---|---|---|---|",
            *(row(timing, reference["seconds"] / timing["seconds"]) for timing in ordered),
            "",
        ]
        if "import_torch_timm_seconds" in result["machine"]:
            seconds = result["machine"]["import_torch_timm_seconds"]
            lines += [f"A process that does nothing but `import torch, timm` takes {seconds:.1f} s on this machine.", ""]
    return "\n".join(lines)


def row(timing: dict[str, Any], times: float) -> str:
    """One contender: the median of its runs, each run's seconds if there were several, and what it reached."""
    seconds, accuracy = f"{timing['seconds']:.1f}", f"{timing['accuracy_best']:.3f} ({timing['accuracy_last']:.3f})"
    if timing["extrapolated"]:
        seconds, accuracy = f"{seconds} (extrapolated)", "not run to its end"
    runs = timing.get("runs_seconds", ())  # results of before have none
    each = ", ".join(f"{seconds:.1f}" for seconds in runs) if len(runs) > 1 else ""
    cells = (
        timing["name"],
        seconds,
        each,
        f"{times:.{0 if times >= 9.95 else 1}f}",
        accuracy,
        f"{timing['peak_rss_mb']:.0f} MB",
    )
    return f"| {' | '.join(cells)} |"


def picture(results: Sequence[dict[str, Any]]) -> Figure:
    """Accuracy against seconds, one panel a data set; what was extrapolated has no accuracy and is a vertical line.

    Points lie too close together for labels beside them, so each contender has a sign of its own in one legend.
    """
    figure = Figure(figsize=(5.2 * len(results) + 3.4, 4.4), layout="constrained")
    panels = figure.subplots(1, len(results), squeeze=False)[0]
    named = signs([timing for result in results for timing in result["timings"]])
    for axes, result in zip(panels, results, strict=True):
        for timing in result["timings"]:
            draw(axes, timing, named[timing["name"]])
        axes.set(xscale="log", xlabel="seconds, whole process", ylabel="val accuracy", title=result["data"])
        axes.xaxis.set_major_formatter("{x:g}")
        axes.margins(x=0.1, y=0.15)
        axes.grid(alpha=0.25)
    shown = {artist.get_label(): artist for axes in panels for artist in axes.lines}
    labels = [label for label in dict.fromkeys(short(name) for name in named) if label in shown]
    figure.legend([shown[label] for label in labels], labels, loc="outside right upper", fontsize=9, frameon=False)
    return figure


def signs(timings: Sequence[dict[str, Any]]) -> dict[str, tuple[str, Any, Any]]:
    """Colour, marker and line style of each contender's name: no two of headstart's, and no two of the others', are alike."""
    families: dict[str, list[str]] = {"headstart": [], "others": []}
    for timing in timings:
        members = families["headstart" if timing["name"].startswith("headstart") else "others"]
        if timing["name"] not in members:
            members.append(timing["name"])
    return {
        name: (COLOURS[family], MARKERS[number % len(MARKERS)], LINES[number % len(LINES)])
        for family, members in families.items()
        for number, name in enumerate(members)
    }


def draw(axes: Axes, timing: dict[str, Any], sign: tuple[str, Any, Any]) -> None:
    """A point, with a bar over the seconds of all its runs; or a line where the accuracy is not known."""
    colour, marker, line = sign
    if timing["extrapolated"]:
        axes.axvline(timing["seconds"], color=colour, linestyle=line, label=short(timing["name"]))
        return
    at = (timing["seconds"], timing["accuracy_best"])
    axes.plot(*at, marker, color=colour, markersize=8, markeredgecolor="white", label=short(timing["name"]), zorder=3)
    runs = timing.get("runs_seconds") or [timing["seconds"]]
    axes.hlines(timing["accuracy_best"], min(runs), max(runs), color=colour, linewidth=1.5)


def short(name: str) -> str:
    """A contender's name without what stands in brackets."""
    return name.partition(" (")[0]
