"""The files of all shards of an embedding job to the one file that a single process would write."""

import collections
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from msbreg_tf.evaluation.features import files
from msbreg_tf.evaluation.features.shards import Shard, find_shards


def about_shard(
    job: Mapping[str, Any], shard: Shard, broken: Sequence[str], feature_size: int
) -> dict[str, Any]:
    """What a shard's file says of itself, in place of the job.

    Args:
      job: of the whole.
      shard: which part it is.
      broken: names of its images that could not be read.
      feature_size: F; of no meaning in a shard without a row.
    """
    own = {"shard": list(shard), "broken": list(broken), "feature_size": feature_size}
    return own | {"job": dict(job)}


def merge_shards(output: str) -> tuple[int, int, list[str]]:
    """Writes `output` from its shards, which stay; a shard is in memory at a time.

    Returns:
      How many rows it has, F, and the names of the images that could not be read.

    Raises:
      ValueError: shards are missing, damaged, or of other images or another encoder; names them.
    """
    shards = find_shards(output)
    abouts = _abouts(shards)
    job = next(iter(abouts.values()))["job"]
    if os.path.exists(output) and files.read_about(output) != job:
        raise ValueError(
            f"--output={output}: it exists, with other contents. Remove it, or choose another name."
        )
    names, sizes = [], set()
    for shard, path in shards.items():
        if own := files.read_names(path):
            names += own
            sizes.add(abouts[shard]["feature_size"])
    broken = [name for about in abouts.values() for name in about["broken"]]
    if len(sizes) != 1:
        raise ValueError(
            f"--output={output}: its shards have embeddings of {sorted(sizes) or 'no'} numbers. "
            "Embed images with one encoder."
        )
    features = (block for path in shards.values() for block in files.read_features(path))
    size = sizes.pop()
    files.write_embeddings(output, names, features, size, job)
    return len(names), size, broken


def _abouts(shards: Mapping[Shard, str]) -> dict[Shard, dict[str, Any]]:
    """What the shards say of themselves; all say the same of the job."""
    abouts = {shard: files.read_about(path) or {} for shard, path in shards.items()}
    jobs = {shard: json.dumps(about.get("job"), sort_keys=True) for shard, about in abouts.items()}
    usual = collections.Counter(jobs.values()).most_common(1)[0][0]
    for shard, path in shards.items():
        if abouts[shard].get("shard") != list(shard) or not abouts[shard].get("job"):
            raise ValueError(
                f"{path}: not shard {shard.number}/{shard.count} of embeddings, or damaged. Remove "
                f"it and run --shard={shard.number}/{shard.count} again."
            )
        if jobs[shard] != usual:
            raise ValueError(
                f"{path}: it was made of other images, by another encoder or with other settings "
                f"than the other shards. Remove it and run --shard={shard.number}/{shard.count} "
                "again."
            )
    return abouts
