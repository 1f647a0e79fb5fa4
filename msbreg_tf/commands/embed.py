"""`python -m tools.embed`: a folder of images to one file of embeddings."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Optional

from msbreg_tf.commands.cli import Command
from msbreg_tf.commands.evaluate import load_export, side_of
from msbreg_tf.data.settings import megapixels_setting
from msbreg_tf.errors import RunFailedError, note_broken
from msbreg_tf.evaluation.settings import BatchSettings, ExportSettings
from msbreg_tf.settings import Settings, setting

if TYPE_CHECKING:
    import tensorflow as tf

    from msbreg_tf.evaluation.features.blocks import BlockStore
    from msbreg_tf.evaluation.features.exported import ExportedEncoder


@dataclasses.dataclass(frozen=True)
class EmbedSettings(Settings):
    """The images and the file."""

    data_dir: Optional[str] = setting(None, "Folder of images, nested as you like.")
    output: Optional[str] = setting(
        None,
        "File to write: .npz (arrays paths and embeddings) or .parquet (columns path and "
        "embedding). Paths are relative to --data_dir. While it is unfinished, its parts lie in "
        "<output>.unfinished/.",
    )
    max_megapixels: float = megapixels_setting()


def _run(own: EmbedSettings, export: ExportSettings, batch: BatchSettings) -> None:
    folder, output = _checked_paths(own, export)

    from msbreg_tf.data.sources.folder import find_images, no_images
    from msbreg_tf.data.sources.records import states_digest
    from msbreg_tf.evaluation.features import blocks, files

    files.check_output(output)
    encoder = load_export(export.saved_model)
    size = side_of(encoder, export.image_size)
    paths = find_images(pathlib.Path(folder))
    if not paths:
        raise no_images(own.data_dir, "Give a folder of images.")
    names = [os.path.relpath(path, folder).replace(os.sep, "/") for path in paths]
    job = {
        "export": encoder.fingerprint,
        "image_size": size,
        "files": states_digest(folder, names),
        "max_megapixels": own.max_megapixels,
    }
    if os.path.exists(output):
        if files.read_about(output) == job:
            print(f"{output} is complete already: same images, same encoder.")
            return
        raise ValueError(
            f"--output={output}: it exists, with other contents. Remove it, or choose another name."
        )
    images = files.file_images(paths, size, own.max_megapixels)
    try:
        store = blocks.BlockStore(output + ".unfinished", job, called=f"--output={output}")
        with contextlib.closing(store):
            good = _embed(own, encoder, images, names, batch.batch_size, store, output, job)
    except OSError as error:  # most likely a full disk
        raise RunFailedError(
            f"--output={output}: cannot be written ({error.strerror}). Finished parts are kept; "
            "make room and start the same command again."
        ) from error
    broken = [name for name, is_good in zip(names, good) if not is_good]
    note_broken(own.data_dir, broken, len(names))
    count = len(names) - len(broken)
    print(f"Wrote {output}: {count} embeddings of {encoder.feature_size} numbers.")


def _embed(
    own: EmbedSettings,
    encoder: "ExportedEncoder",
    images: Callable[[int, int], "tf.data.Dataset"],
    names: Sequence[str],
    batch_size: int,
    store: "BlockStore",
    output: str,
    job: dict[str, Any],
) -> list[bool]:
    """Writes the output; returns which images could be decoded."""
    from msbreg_tf.evaluation.features.blocks import embed_blocks, stored_features
    from msbreg_tf.evaluation.features.files import write_embeddings

    count = len(names)
    good = embed_blocks(encoder.embed, images, count, store, batch_size=batch_size, name="embed")
    kept = [name for name, is_good in zip(names, good) if is_good]
    if not kept:
        store.delete()
        raise ValueError(
            f"--data_dir={own.data_dir}: none of its {count} image files can be decoded, the "
            f"first is {names[0]}. Give a folder of images."
        )
    features = stored_features(store, count)
    write_embeddings(output, kept, features, encoder.feature_size, job)
    store.delete()
    return good.tolist()


def _checked_paths(own: EmbedSettings, export: ExportSettings) -> tuple[str, str]:
    """The folder and the output, both given; the folder is there."""
    for name, value in (
        ("saved_model", export.saved_model),
        ("data_dir", own.data_dir),
        ("output", own.output),
    ):
        if not value:
            raise ValueError(f"--{name} is missing. See --help.")
    folder = os.path.expanduser(own.data_dir)
    if not os.path.isdir(folder):
        raise ValueError(f"--data_dir={own.data_dir}: no such folder. Give a folder of images.")
    return folder, os.path.expanduser(own.output)


COMMAND = Command((EmbedSettings, ExportSettings, BatchSettings), _run)
