"""Time and memory of the losses with their gradients, ours and plain ones."""

import json

from benchmarks import arena, report

ROWS, SIZE = 4096, 256  # N·K and D
SCALE = (1024, 4096, 16384)
PLAIN = {
    "values": "plain, `values` by tf.linalg.svd",
    "squares": "plain, `squares` by tf.linalg.svd",
    "uniformity": "uniformity, plain",
}
OURS = {
    "values": "**msbreg_tf**, `values`",
    "squares": "**msbreg_tf**, `squares`",
    "uniformity": "**msbreg_tf**, uniformity",
}


def contender(name: str, what: str, rows: int = ROWS) -> arena.Contender:
    return arena.Contender(name, "loss_terms", {"what": what, "rows": rows, "size": SIZE})


def run(folder: str, rounds: int, seconds: float) -> str:
    """Measures; nothing is written to `folder`. Returns Markdown."""
    del folder
    sections = [
        f"All terms and their gradient, N·K = {ROWS}, D = {SIZE}. Relative distance from the plain "
        f"ones: {differences()}."
    ]
    for what in OURS:
        pair = [contender(OURS[what], what), contender(PLAIN[what], f"plain_{what}")]
        turns, failed = arena.compete(pair, rounds, seconds)
        sections.append(report.table(turns, failed, "evaluations/s", "CPU ms each"))
    return "\n\n".join([*sections, scaling(rounds, seconds), memory()])


def differences() -> str:
    found = json.loads(arena.output(arena.OURS, "benchmarks.same.losses", str(ROWS), str(SIZE)))
    return "; ".join(
        f"`{what}` {d['value']:.0e}, gradient {d['gradient']:.0e}" for what, d in found.items()
    )


def scaling(rounds: int, seconds: float) -> str:
    """Milliseconds of ours over N·K."""
    forms = ("values", "squares", "uniformity")
    entered = {(what, rows): f"{what} {rows}" for what in forms for rows in SCALE}
    turns, _ = arena.compete(
        [contender(name, *key) for key, name in entered.items()], rounds, seconds
    )
    lines = ["| ms of ours at N·K = | " + " | ".join(map(str, SCALE)) + " |", "|---|---|---|---|"]
    for what in forms:
        medians = [1000 / report.median_rate(turns[entered[what, rows]]) for rows in SCALE]
        lines.append(f"| {what} | " + " | ".join(map(report.number, medians)) + " |")
    return "\n".join(lines)


def memory() -> str:
    """Peak resident MiB of uniformity above that of a small one."""
    lines = []
    for what in ("uniformity", "plain_uniformity"):
        small, large = (arena.peak_mib(contender(what, what, rows), 3) for rows in (64, 16384))
        lines.append(f"- {what} at N·K = 16384: {large - small:,.0f} MiB at the peak.")
    return "\n".join(lines)
