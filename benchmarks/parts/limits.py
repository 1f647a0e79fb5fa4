"""What the machine can do at most, as both libraries reach it."""

from benchmarks import arena, report


def run(folder: str, rounds: int, seconds: float) -> str:
    """Measures; nothing is written to `folder`. Returns Markdown."""
    del folder
    sections = []
    for what, text in (
        ("product", "Product of two float32 matrices of 2048 × 2048:"),
        ("convolution", "Convolution, 3 × 3, 64 → 64 channels, 64 images of 24 × 24:"),
    ):
        entered = [
            arena.Contender(name, "limits", {"library": library, "what": what}, python)
            for name, library, python in (
                ("TensorFlow", "tensorflow", arena.OURS),
                ("PyTorch", "torch", arena.PEERS),
            )
        ]
        turns, failed = arena.compete(entered, rounds, seconds)
        sections += [text, report.table(turns, failed, "GFLOP/s", "CPU ms per GFLOP")]
    return "\n\n".join(sections)
