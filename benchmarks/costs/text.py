"""The measurements of `benchmarks.costs` as Markdown, and their place in PROFILE.md."""

import math
import os

from benchmarks.costs.host import NUM_VIEWS, HostCost
from benchmarks.costs.step import PARTS
from benchmarks.report import number

BEGIN, END = "<!-- {} by benchmarks.costs -->\n", "<!-- end of {} -->\n"


def put(page: str, name: str, text: str) -> None:
    """Puts `text` into its place in the file `page`, or at its end if it has none there yet."""
    begin, end = BEGIN.format(name), END.format(name)
    content = ""
    if os.path.exists(page):
        with open(page) as file:
            content = file.read()
    before, found, rest = content.partition(begin)
    after = rest.partition(end)[2] if found else ""
    if not found:
        before = before.rstrip("\n") + "\n\n"
    with open(page, "w") as file:
        file.write(f"{before}{begin}{text}\n{end}{after}")


def step_tables(curves: dict[str, list[tuple[int, dict[str, float]]]]) -> str:
    """How CPU time grows: a table for all curves, and the exponents of their ends."""
    lines = [
        "| | networks | losses | LARS, SGD, target | augmentation | whole step, without "
        "augmentation |",
        "|---|---|---|---|---|---|",
    ]
    letters = {"num_views": "K", "batch_size": "N", "projection_size": "D", "image_size": "S"}
    for name, points in curves.items():
        for value, found in points:
            cells = [number(1e3 * found[part]) for part in (*PARTS, "whole")]
            lines.append(f"| {letters[name]} = {value} | {' | '.join(cells)} |")
        (low, first), (high, last) = points[0], points[-1]
        powers = [
            f"^{math.log(last[part] / first[part]) / math.log(high / low):.2f}"
            for part in (*PARTS, "whole")
        ]
        lines.append(f"| *grows with {letters[name]}* | {' | '.join(powers)} |")
    return "\n".join(lines)


def host_table(costs: list[HostCost]) -> str:
    """CPU time per image in both modes, and the cores that follow from it."""
    lines = [
        "| | views/s and core, host | device | CPU ms per image = cores per 1,000 images/s, host "
        "| device | taken off | GFLOP of a step per image | cores per 100 TFLOP/s, host | device |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for cost in costs:
        host, device = cost.milliseconds["host"], cost.milliseconds["device"]
        images = 100e3 / cost.gflop  # per second at 100 TFLOP/s
        cells = [
            f"{_title(cost.network)} at {cost.size} px, {cost.images.name}",
            *(number(1e3 * NUM_VIEWS / each) for each in (host, device)),
            *(f"**{number(each)}**" for each in (host, device)),
            f"{100 * (1 - device / host):.0f} %",
            number(cost.gflop),
            *(number(each * images / 1e3) for each in (host, device)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _title(network: str) -> str:
    return {"resnet18": "ResNet-18", "resnet50": "ResNet-50"}[network]
