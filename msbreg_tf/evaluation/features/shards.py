"""Which images a shard of an embedding job has, and what its file is called. No TensorFlow."""

import os
import pathlib
import re
from collections.abc import Mapping
from typing import NamedTuple


class Shard(NamedTuple):
    """One of several equal parts of a job, each a run of images that stand next to each other.

    Attributes:
      number: from 1.
      count: how many parts there are.
    """

    number: int
    count: int

    def part(self, images: int) -> tuple[int, int]:
        """The images that are its own, from the first up to the second number."""
        return (
            images * (self.number - 1) // self.count,
            images * self.number // self.count,
        )

    def path(self, output: str) -> str:
        """Its file, beside the whole one: pictures.npz → pictures.shard-03-of-16.npz."""
        stem, suffix = os.path.splitext(output)
        return f"{stem}.shard-{self.number:0{len(str(self.count))}}-of-{self.count}{suffix}"


def parse_shard(text: str) -> Shard:
    """Reads the value of --shard.

    Raises:
      ValueError: it is not I/K with 1 ≤ I ≤ K.
    """
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(
            f"--shard={text}: expected I/K with I from 1 to K, such as 3/16. Where jobs are "
            "numbered from 0, add 1."
        )
    return Shard(int(match[1]), int(match[2]))


def find_shards(output: str) -> Mapping[Shard, str]:
    """{shard: path} of all shards' files that lie beside `output`, none of them missing.

    Raises:
      ValueError: there are none, or of different counts, or some are missing; names them.
    """
    found = _beside(output)
    if not found:
        raise ValueError(
            f"--output={output}: no shards of it, such as {Shard(1, 2).path(output)}. Run the same "
            "command with --shard=1/K up to K/K in place of --merge before."
        )
    counts = sorted({shard.count for shard in found})
    if len(counts) > 1:
        one = [min(path for shard, path in found.items() if shard.count == k) for k in counts]
        raise ValueError(
            f"--output={output}: shards of {' and of '.join(map(str, counts))} parts lie beside "
            f"it, such as {' and '.join(one)}. Move those that do not belong to it away."
        )
    every = [Shard(number, counts[0]) for number in range(1, counts[0] + 1)]
    missing = [shard for shard in every if shard not in found]
    if missing:
        names = [shard.path(output) for shard in missing[:8]]
        more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
        first = missing[0]
        raise ValueError(
            f"--output={output}: {len(missing)} of {counts[0]} shards are missing: "
            f"{', '.join(names)}{more}. Run --shard={first.number}/{first.count} and so on first."
        )
    return {shard: found[shard] for shard in every}


def _beside(output: str) -> dict[Shard, str]:
    path = pathlib.Path(output)
    pattern = re.compile(rf"{re.escape(path.stem)}\.shard-(\d+)-of-(\d+){re.escape(path.suffix)}")
    found = {}
    for name in sorted(os.listdir(path.parent)):
        if match := pattern.fullmatch(name):
            shard = Shard(int(match[1]), int(match[2]))
            if shard.path(output) == str(path.with_name(name)):
                found[shard] = shard.path(output)
    return found
