"""`python -m tools.neighbours`: images that are alike, and near-duplicates, in a folder."""

import contextlib
import csv
import dataclasses
import io
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Optional

from msbreg_tf.commands.cli import Command
from msbreg_tf.commands.evaluate import load_export, side_of
from msbreg_tf.commands.paths import check_export, check_new_file
from msbreg_tf.data.settings import megapixels_setting
from msbreg_tf.errors import RunFailedError, note_broken
from msbreg_tf.evaluation.settings import BatchSettings, CacheSettings, ExportSettings
from msbreg_tf.settings import Settings, setting

if TYPE_CHECKING:
    import numpy as np

    from msbreg_tf.evaluation.features.exported import ExportedEncoder

_SHEETS = (".png", ".html")
_LOOKED_AT = 50  # nearest others of each image, among which near-duplicates are looked for


@dataclasses.dataclass(frozen=True)
class NeighboursSettings(Settings):
    """What is looked for, and where."""

    data_dir: Optional[str] = setting(None, "Folder of images, nested as you like.")
    query: tuple[str, ...] = setting(
        (), "Image files to find the like of, joined by commas; they may lie anywhere."
    )
    count: int = setting(10, "How many like images are found for each query.", low=1)
    duplicates: Optional[float] = setting(
        None,
        "Lists the pairs of images of at least this cosine similarity, in place of --query. 0.95 "
        "is a good start; what counts as a duplicate depends on the encoder.",
        above=-1,
        high=1,
    )
    output: Optional[str] = setting(
        None,
        "File to write: a sheet of images, .png or .html, for --query; a list, .csv, for "
        "--duplicates. Without it, lines are printed.",
    )
    max_megapixels: float = megapixels_setting()


@dataclasses.dataclass(frozen=True)
class _Folder:
    """Images of the folder that can be read: names relative to it, and features [n, F]."""

    path: str
    names: Sequence[str]
    features: "np.ndarray"


def _run(
    own: NeighboursSettings, export: ExportSettings, batch: BatchSettings, cache: CacheSettings
) -> None:
    _check(own, export)
    encoder = load_export(export.saved_model)
    size = side_of(encoder, export.image_size)
    folder = _embed_folder(own, encoder, size, batch.batch_size, cache.cache_dir)
    if own.duplicates is not None:
        _duplicates(own, folder)
    else:
        _query(own, folder, encoder, size)


def _check(own: NeighboursSettings, export: ExportSettings) -> None:
    """Refuses what can't work, before TensorFlow is imported.

    Raises:
      ValueError: names the flag and the remedy.
    """
    check_export(export.saved_model)
    if not own.data_dir:
        raise ValueError("--data_dir is missing. See --help.")
    if not os.path.isdir(os.path.expanduser(own.data_dir)):
        raise ValueError(f"--data_dir={own.data_dir}: no such folder. Give a folder of images.")
    if bool(own.query) == (own.duplicates is not None):
        raise ValueError("--query is missing: give --query=IMAGE, or --duplicates=0.95, not both.")
    for query in own.query:
        if not os.path.isfile(os.path.expanduser(query)):
            raise ValueError(f"--query={query}: no such file. Give an image.")
    if own.output:
        endings = (".csv",) if own.duplicates is not None else _SHEETS
        if not own.output.lower().endswith(endings):
            raise ValueError(
                f"--output={own.output}: expected a name ending in {' or '.join(endings)}."
            )
        check_new_file("output", own.output)


def _embed_folder(
    own: NeighboursSettings,
    encoder: "ExportedEncoder",
    size: int,
    batch_size: int,
    cache_dir: str,
) -> _Folder:
    """Features of all images, from the cache if they are there; an interruption loses a block."""
    import numpy as np

    from msbreg_tf.data.sources.image_files import find_images, no_images
    from msbreg_tf.data.sources.records import states_digest
    from msbreg_tf.evaluation.features import blocks, files
    from msbreg_tf.files.whole import fingerprint_of_json

    root = os.path.expanduser(own.data_dir)
    paths = find_images(pathlib.Path(root))
    if not paths:
        raise no_images(own.data_dir, "Give a folder of images.")
    names = [os.path.relpath(path, root).replace(os.sep, "/") for path in paths]
    job = {
        "export": encoder.fingerprint,
        "image_size": size,
        "files": states_digest(root, names),
        "max_megapixels": own.max_megapixels,
    }
    kept = None
    if cache_dir:
        kept = os.path.join(os.path.expanduser(cache_dir), f"folder-{fingerprint_of_json(job)}")
    images = files.file_images(paths, size, own.max_megapixels)
    store = blocks.BlockStore(kept, job, called=f"--cache_dir={cache_dir}", optional=True)
    with contextlib.closing(store):
        good = blocks.embed_blocks(
            encoder.embed, images, len(paths), store, batch_size=batch_size, name="embed"
        )
        features = np.concatenate(list(blocks.stored_features(store, len(paths))))
    note_broken(own.data_dir, [n for n, is_good in zip(names, good) if not is_good], len(names))
    if len(features) < 2:
        raise ValueError(f"--data_dir={own.data_dir}: fewer than two images can be read.")
    return _Folder(root, [name for name, is_good in zip(names, good) if is_good], features)


def _duplicates(own: NeighboursSettings, folder: _Folder) -> None:
    from msbreg_tf.evaluation.similar import near_duplicates, nearest_others

    similarity, rows = nearest_others(folder.features, _LOOKED_AT)
    pairs = near_duplicates(similarity, rows, own.duplicates)
    lines = [("similarity", "first", "second")]
    lines += [(f"{p.similarity:.4f}", folder.names[p.first], folder.names[p.second]) for p in pairs]
    text = io.StringIO(newline="")
    csv.writer(text).writerows(lines)
    found = f"{len(pairs):,} pair{'s' * (len(pairs) != 1)} of at least {own.duplicates:g}"
    if not own.output:
        print(text.getvalue().replace("\r\n", "\n"), end="")
        return
    _write(own.output, text.getvalue().encode("utf-8", "backslashreplace"))
    print(f"Wrote {own.output}: {found} among {len(folder.names):,} images.")


def _query(own: NeighboursSettings, folder: _Folder, encoder: "ExportedEncoder", size: int) -> None:
    import numpy as np

    from msbreg_tf.evaluation.features.files import file_images
    from msbreg_tf.evaluation.similar import index_of

    queries = [os.path.expanduser(query) for query in own.query]
    read = file_images(queries, size, own.max_megapixels)(0, len(queries))
    pixels, good = (np.stack(column) for column in zip(*read.as_numpy_iterator()))
    if not good.all():
        broken = own.query[int(np.argmin(good))]
        raise ValueError(f"--query={broken}: it can't be read as an image. Give another one.")
    found = index_of(folder.features).nearest(encoder.embed(pixels), own.count)
    hits = [
        [(float(s), os.path.join(folder.path, folder.names[row])) for s, row in zip(*of_query)]
        for of_query in zip(*found)
    ]
    for query, of_query in zip(own.query, hits):
        print(f"Like {query}")
        for similarity, path in of_query:
            print(f"  {similarity:.4f}  {max(0.0, 1 - similarity):.4f}  {path}")
    if own.output:
        from msbreg_tf.report.sheets import sheet_html, sheet_png

        make = sheet_png if own.output.lower().endswith(".png") else sheet_html
        _write(own.output, make(list(zip(queries, hits)), own.max_megapixels))
        print(f"Wrote {own.output}.")


def _write(output: str, content: bytes) -> None:
    from msbreg_tf.files.whole import write_whole

    path = os.path.abspath(os.path.expanduser(output))
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_whole(path, lambda file: file.write(content))
    except OSError as error:
        raise RunFailedError(f"--output={output}: can't be written ({error.strerror}).") from error


COMMAND = Command((NeighboursSettings, ExportSettings, BatchSettings, CacheSettings), _run)
