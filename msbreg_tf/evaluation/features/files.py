"""A folder of images as one file of embeddings."""

import json
import os
import pathlib
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Optional

import numpy as np
import tensorflow as tf

from msbreg_tf.data.images.decoding import read_and_decode
from msbreg_tf.data.images.squares import square_or_black
from msbreg_tf.data.pipeline.parallel import parallel_map
from msbreg_tf.data.settings import MEGAPIXELS
from msbreg_tf.files.whole import write_whole

SUFFIXES = (".npz", ".parquet")
_ABOUT = "msbreg_tf"  # key of the description in both file formats


def file_images(
    paths: Sequence[str], image_size: int, megapixels: float = MEGAPIXELS
) -> Callable[[int, int], tf.data.Dataset]:
    """Image files for `embed_blocks`; one that cannot be decoded is black and marked.

    Args:
      paths: image files.
      image_size: side S; the shorter side is resized to it, then the centre is cut out.
      megapixels: larger images count as broken.
    """
    load = square_or_black(lambda path: read_and_decode(path, megapixels), image_size)

    def images(start, stop):
        encoded = np.array([os.fsencode(path) for path in paths[start:stop]], dtype=object)
        files = tf.data.Dataset.from_tensor_slices(tf.constant(encoded, tf.string))
        return parallel_map(files, load)

    return images


def write_embeddings(
    output: str,
    names: Sequence[str],
    features: Iterator[np.ndarray],
    feature_size: int,
    about: Mapping[str, Any],
) -> None:
    """Writes one file with names and features, whole or not at all, a block in memory at a time.

    Args:
      output: ends in .npz (arrays paths, str [n], and embeddings, float32 [n, F]) or .parquet
        (columns path, string, and embedding, a list of F float32).
      names: n.
      features: blocks [b, F], n rows in all.
      feature_size: F.
      about: JSON values, kept in the file; see `read_about`.
    """
    text = json.dumps(dict(about), sort_keys=True)
    write = _write_npz if output.lower().endswith(".npz") else _write_parquet
    write_whole(output, lambda f: write(f, names, features, feature_size, text))


def read_about(output: str) -> Optional[dict[str, Any]]:
    """The `about` of a file that `write_embeddings` wrote; None of any other file."""
    try:
        if output.lower().endswith(".npz"):
            with np.load(output) as arrays:
                return json.loads(str(arrays[_ABOUT]))
        import pyarrow.parquet as pq

        return json.loads(pq.read_schema(output).metadata[_ABOUT.encode()])
    except Exception:  # pyarrow has its own errors, and so have zip, NumPy and JSON
        return None


def read_names(output: str) -> list[str]:
    """The names in a file that `write_embeddings` wrote."""
    if output.lower().endswith(".npz"):
        with np.load(output) as arrays:
            return arrays["paths"].tolist()
    import pyarrow.parquet as pq

    return pq.read_table(output, columns=["path"])["path"].to_pylist()


def read_features(output: str) -> Iterator[np.ndarray]:
    """The rows of a file that `write_embeddings` wrote, in blocks [b, F]."""
    if output.lower().endswith(".npz"):
        with np.load(output) as arrays:
            yield arrays["embeddings"]
        return
    import pyarrow.parquet as pq

    file = pq.ParquetFile(output)
    width = file.schema_arrow.field("embedding").type.list_size
    for batch in file.iter_batches(columns=["embedding"]):
        yield batch.column(0).flatten().to_numpy().reshape(-1, width)


def write_broken(output: str, names: Sequence[str]) -> Optional[str]:
    """Lists the images that could not be read in <output>.broken.txt, a line each.

    Returns:
      The file; None where there is nothing to list and so no file.
    """
    path = pathlib.Path(f"{output}.broken.txt")
    if not names:
        path.unlink(missing_ok=True)
        return None
    content = b"".join(os.fsencode(name) + b"\n" for name in names)
    write_whole(path, lambda file: file.write(content))
    return str(path)


def check_output(output: str) -> None:
    """Checks that --output can be written at all, before hours of work.

    Raises:
      ValueError: another extension, no such folder, or .parquet without pyarrow.
    """
    path = pathlib.Path(output)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"--output={output}: expected a name ending in {' or '.join(SUFFIXES)}.")
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise ValueError(f"--output={output}: expected a file in a folder that exists.")
    if path.suffix.lower() == ".parquet":
        try:
            import pyarrow.parquet  # noqa: F401 - 26 and later need NumPy 2, TensorFlow 2.15 NumPy 1
        except ImportError as error:
            raise ValueError(
                f"--output={output}: Parquet needs pyarrow below 26 ({error}). Install it by "
                "`pip install 'pyarrow<26'`, or choose an .npz file."
            ) from error


def _write_npz(file, names, features, feature_size: int, about: str) -> None:
    # By hand, as np.savez wants all of it in memory. Without clock times: same input, same bytes.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in (("paths", np.array(names, dtype=np.str_)), (_ABOUT, np.array(about))):
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
        header = {
            "descr": "<f4",
            "fortran_order": False,
            "shape": (len(names), feature_size),
        }
        with archive.open(zipfile.ZipInfo("embeddings.npy"), "w", force_zip64=True) as entry:
            np.lib.format.write_array_header_1_0(entry, header)
            for block in features:
                entry.write(np.ascontiguousarray(block, "<f4").tobytes())


def _write_parquet(file, names, features, feature_size: int, about: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = [("path", pa.string()), ("embedding", pa.list_(pa.float32(), feature_size))]
    schema = pa.schema(columns, metadata={_ABOUT: about})
    done = 0
    with pq.ParquetWriter(file, schema) as writer:
        for block in features:
            # Names in another encoding than UTF-8 have no string in Parquet.
            readable = [
                os.fsencode(name).decode("utf-8", "replace")
                for name in names[done : done + len(block)]
            ]
            flat = pa.array(np.ascontiguousarray(block, np.float32).reshape(-1))
            vectors = pa.FixedSizeListArray.from_arrays(flat, feature_size)
            writer.write_table(pa.table([pa.array(readable, pa.string()), vectors], schema=schema))
            done += len(block)
