"""A folder of images to one file of embeddings, by whatever engine makes the rows."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Optional

from msbreg_tf.data.images.decoding import is_decoded_in_graph
from msbreg_tf.data.sources.image_files import find_images, no_images
from msbreg_tf.data.sources.records import states_digest
from msbreg_tf.errors import RunFailedError, note, note_broken
from msbreg_tf.evaluation.features import blocks, files
from msbreg_tf.evaluation.features.merging import about_shard
from msbreg_tf.evaluation.features.shards import Shard


@dataclasses.dataclass(frozen=True)
class Job:
    """Images to embed and what decides their rows.

    Attributes:
      folder: of the images.
      names: all images below it, in order.
      identity: JSON values; rows of two jobs with the same identity are the same.
      shard: the part that is embedded here; None for all.
    """

    folder: str
    names: Sequence[str]
    identity: dict[str, Any]
    shard: Optional[Shard] = None

    @property
    def own(self) -> Sequence[str]:
        """The names that are embedded here."""
        start, stop = self.shard.part(len(self.names)) if self.shard else (0, len(self.names))
        return self.names[start:stop]

    @property
    def paths(self) -> list[str]:
        """The files of `own`."""
        return [os.path.join(self.folder, name) for name in self.own]


def find_job(data_dir: str, identity: dict[str, Any], shard: Optional[Shard]) -> Job:
    """The job of embedding all images below a folder.

    Args:
      data_dir: as the user wrote it.
      identity: of the encoder and its settings; that of the files is added.
      shard: see `Job`.

    Raises:
      ValueError: there is no image.
    """
    folder = os.path.expanduser(data_dir)
    names = [
        os.path.relpath(path, folder).replace(os.sep, "/")
        for path in find_images(pathlib.Path(folder))
    ]
    if not names:
        raise no_images(data_dir, "Give a folder of images.")
    return Job(folder, names, identity | {"files": states_digest(folder, names)}, shard)


def is_complete(output: str, job: Job) -> bool:
    """Whether the file is there, with the very rows of the job.

    Raises:
      ValueError: it is there with others.
    """
    if not os.path.exists(output):
        return False
    about = files.read_about(output) or {}
    if job.shard is None and about == job.identity:
        return True
    if job.shard and about.get("job") == job.identity and about["shard"] == list(job.shard):
        return True
    raise ValueError(
        f"--output={output}: it exists, with other contents. Remove it, or choose another name."
    )


def embed_job(
    job: Job,
    output: str,
    fill: Callable[[blocks.BlockStore], Any],
    *,
    data_dir: str,
) -> tuple[int, int]:
    """Fills a store of finished blocks beside `output`, then writes `output` of them.

    Args:
      job: what to embed.
      output: the file, as `write_embeddings` takes it; not there yet.
      fill: puts the rows of `job.own` into a store, and returns bool [n], which are good.
      data_dir: as the user wrote it, for messages.

    Returns:
      How many rows it has, and F.

    Raises:
      ValueError: not one of the images can be decoded, and the job has no other shards.
      RunFailedError: it can't be written.
    """
    identity = job.identity | ({"shard": list(job.shard)} if job.shard else {})
    try:
        store = blocks.BlockStore(output + ".unfinished", identity, called=f"--output={output}")
        with contextlib.closing(store):
            good = fill(store)
            kept, broken = _parted(job.own, good)
            if not kept and not job.shard:
                store.delete()
                raise none_good(data_dir, job)
            size = _feature_size(store, len(job.own))
            about = about_shard(job.identity, job.shard, broken, size) if job.shard else identity
            features = blocks.stored_features(store, len(job.own))
            files.write_embeddings(output, kept, features, size, about)
            store.delete()
    except OSError as error:  # most likely a full disk
        raise RunFailedError(
            f"--output={output}: cannot be written ({error.strerror}). Finished parts are kept; "
            "make room and start the same command again."
        ) from error
    tell_broken(data_dir, output, broken, len(job.own))
    return len(kept), size


def tell_broken(data_dir: str, output: str, broken: Sequence[str], total: int) -> None:
    """Names the images without a row, the first of many here and all of them in a file."""
    note_broken(data_dir, broken, total)
    if path := files.write_broken(output, broken):
        note(f"{path} lists them.")


def none_good(data_dir: str, job: Job) -> ValueError:
    """The error of a folder in which no image can be decoded."""
    return ValueError(
        f"--data_dir={data_dir}: none of its {len(job.names)} image files can be decoded, the "
        f"first is {job.names[0]}. Give a folder of images."
    )


def encoded_batches(
    paths: Sequence[str], batch_size: int, megapixels: float, limit: int = 1 << 24
) -> Iterator[list[bytes]]:
    """Files as a server's `serve_bytes` takes them, in batches.

    What no graph can decode (WebP, TIFF, …) is decoded here and sent as PNG, which loses nothing. A
    file that can't be read or is too large is sent as no bytes at all: its place is kept.

    Args:
      paths: image files.
      batch_size: images in a batch, or fewer where they are large.
      megapixels: larger images count as broken.
      limit: bytes from which on a batch is closed.
    """
    batch, size = [], 0
    for path in paths:
        content = _encoded(path, megapixels)
        if batch and (len(batch) == batch_size or size + len(content) > limit):
            yield batch
            batch, size = [], 0
        batch.append(content)
        size += len(content)
    if batch:
        yield batch


def _encoded(path: str, megapixels: float) -> bytes:
    import tensorflow as tf
    from PIL import Image

    from msbreg_tf.data.images.decoding import decode_any

    try:
        content = pathlib.Path(path).read_bytes()
    except OSError:
        return b""
    if not is_decoded_in_graph(content):
        try:
            return tf.io.encode_png(decode_any(tf.constant(content), megapixels)).numpy()
        except tf.errors.OpError:
            return b""
    # Whatever Pillow stumbles over here, the server decides about it.
    with contextlib.suppress(Exception), Image.open(path) as image:
        if image.width * image.height > megapixels * 1e6:
            return b""
    return content


def _parted(names: Sequence[str], good: Sequence[bool]) -> tuple[list[str], list[str]]:
    kept = [name for name, is_good in zip(names, good) if is_good]
    return kept, [name for name, is_good in zip(names, good) if not is_good]


def _feature_size(store: blocks.BlockStore, count: int) -> int:
    """F, as the rows have it; 0 of a shard without an image."""
    first = next(blocks.stored_features(store, count), None)
    return 0 if first is None else first.shape[1]
