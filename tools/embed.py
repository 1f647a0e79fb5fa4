r"""Embeds a folder of images: one file with their paths and embeddings.

    python -m tools.embed --saved_model=runs/mine/export/STEP --data_dir=~/pictures \
        --output=pictures.npz

The folder may be nested; JPEG, PNG, BMP and GIF images of any size. Broken files are left out and
named at the end. Start the same command again after an interruption, and it continues. To read it:

    arrays = np.load("pictures.npz"); arrays["paths"], arrays["embeddings"]
    table = pyarrow.parquet.read_table("pictures.parquet")  # columns path and embedding
"""

import os
import pathlib

from absl import flags

from msbreg_tf.commands import cli
from msbreg_tf.errors import RunFailedError
from tools import _eval_flags

FLAGS = flags.FLAGS
_SHARED = ("saved_model", "image_size", "batch_size")
_OWN = ("data_dir", "output")


def define_flags() -> None:
    """Defines some shared evaluation flags, and --data_dir and --output."""
    _eval_flags.define(_SHARED)
    flags.DEFINE_string("data_dir", None, "Folder of images, nested as you like.")
    flags.DEFINE_string(
        "output",
        None,
        "File to write: .npz (arrays paths and embeddings) or .parquet (columns path and "
        "embedding). Paths are relative to --data_dir. While it is unfinished, its parts lie in "
        "<output>.unfinished/.",
    )


def main(argv: list[str]) -> None:
    del argv
    folder, output = _checked_paths()

    # Late, so that --help and wrong flags do not wait for TensorFlow.
    from msbreg_tf.data.sources.folder import EXTENSIONS, find_images
    from msbreg_tf.evaluation.features import blocks
    from msbreg_tf.evaluation.features import files as embedding

    embedding.check_output(output)
    encoder = _eval_flags.load_encoder()
    size = _eval_flags.image_size(encoder)
    paths = find_images(pathlib.Path(folder))
    if not paths:
        raise ValueError(
            f"--data_dir={FLAGS.data_dir}: no file below it ends in {', '.join(EXTENSIONS)}. "
            "Give a folder of images."
        )
    names = [os.path.relpath(path, folder).replace(os.sep, "/") for path in paths]
    job = {
        "export": encoder.fingerprint,
        "image_size": size,
        "files": embedding.files_digest(folder, names),
    }
    if os.path.exists(output):
        if embedding.read_about(output) == job:
            print(f"{output} is complete already: same images, same encoder.")
            return
        raise ValueError(
            f"--output={output}: it exists, with other contents. Remove it, or choose another name."
        )
    store = blocks.BlockStore(output + ".unfinished", job)
    try:
        good = _embed(encoder, embedding.file_images(paths, size), names, store, output, job)
    except OSError as error:  # most likely a full disk
        raise RunFailedError(
            f"--output={output}: cannot be written ({error.strerror}). Finished parts are kept; "
            "start the same command again."
        ) from error
    if broken := [name for name, is_good in zip(names, good) if not is_good]:
        print("\n  ".join([f"Broken and left out: {len(broken)}", *broken]))
    count = len(names) - len(broken)
    print(f"Wrote {output}: {count} embeddings of {encoder.feature_size} numbers.")


def _embed(encoder, images, names: list[str], store, output: str, job: dict) -> list[bool]:
    """Writes the output; returns which images could be decoded."""
    from msbreg_tf.evaluation.features.blocks import embed_blocks, stored_features
    from msbreg_tf.evaluation.features.files import write_embeddings

    count = len(names)
    good = embed_blocks(
        encoder.embed, images, count, store, batch_size=FLAGS.batch_size, name="embed"
    )
    kept = [name for name, is_good in zip(names, good) if is_good]
    if not kept:
        store.delete()
        raise ValueError(
            f"--data_dir={FLAGS.data_dir}: none of its {count} image files can be decoded, the "
            f"first is {names[0]}. Give a folder of images."
        )
    features = stored_features(store, count)
    write_embeddings(output, kept, features, encoder.feature_size, job)
    store.delete()
    return good.tolist()


def _checked_paths() -> tuple[str, str]:
    for name in ("saved_model", *_OWN):
        if not FLAGS[name].value:
            raise ValueError(f"--{name} is missing. See --help.")
    folder = os.path.expanduser(FLAGS.data_dir)
    if not os.path.isdir(folder):
        raise ValueError(f"--data_dir={FLAGS.data_dir}: no such folder. Give a folder of images.")
    return folder, os.path.expanduser(FLAGS.output)


if __name__ == "__main__":
    define_flags()
    cli.run(main, own_flags=(*_OWN, *_SHARED), training_flags=False)
