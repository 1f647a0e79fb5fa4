"""`python -m tools.embed`: a folder of images to one file of embeddings."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Optional

from msbreg_tf.commands.cli import Command
from msbreg_tf.commands.evaluate import load_export, side_of
from msbreg_tf.data.settings import megapixels_setting
from msbreg_tf.evaluation.features.shards import parse_shard
from msbreg_tf.evaluation.serving.address import parse_address
from msbreg_tf.evaluation.serving.settings import ServerSettings
from msbreg_tf.evaluation.settings import BatchSettings, ExportSettings
from msbreg_tf.settings import Settings, setting

if TYPE_CHECKING:
    from msbreg_tf.evaluation.features.embedding import Job

# fill a store with the rows of a job; see `embed_job`
Fill = Callable[["Job", Any], Any]


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


@dataclasses.dataclass(frozen=True)
class PartSettings(Settings):
    """More images than one machine can embed; all machines see the same folders."""

    shard: Optional[str] = setting(
        None,
        "Embed one of K equal parts, as I/K with I from 1 to K, into "
        "<output without ending>.shard-I-of-K. Each part may run on another machine.",
    )
    merge: bool = setting(
        False, "Write --output from the files of all its shards, which stay; nothing is embedded."
    )
    engine: str = setting(
        "process",
        "What embeds: this process, or Apache Beam's RunInference (`pip install "
        "'msbreg-tf[beam]'`), with the same rows.",
        choices=("process", "beam"),
        changes_result=False,
    )
    beam_args: str = setting(
        "",
        "Flags for Apache Beam in one text, such as '--runner=FlinkRunner "
        "--flink_master=HOST:8081'; by default it runs on this machine.",
        changes_result=False,
    )


def _run(
    own: EmbedSettings,
    part: PartSettings,
    export: ExportSettings,
    server: ServerSettings,
    batch: BatchSettings,
) -> None:
    _check_together(own, part, export, server)
    output = os.path.expanduser(own.output)
    if part.merge:
        _merge(output)
        return
    shard = parse_shard(part.shard) if part.shard else None
    if shard:
        output = shard.path(output)

    from msbreg_tf.evaluation.features import embedding, files

    files.check_output(output)
    served = _served_rows(own, server, batch)
    rows = served if server.server else _computed_rows(own, part, export, batch)
    with rows as (identity, fill):
        identity = identity | {"max_megapixels": own.max_megapixels}
        job = embedding.find_job(own.data_dir, identity, shard)
        if embedding.is_complete(output, job):
            print(f"{output} is complete already: same images, same encoder.")
            return
        count, size = embedding.embed_job(
            job, output, lambda store: fill(job, store), data_dir=own.data_dir
        )
    print(f"Wrote {output}: {count} embeddings of {size} numbers.")


def _merge(output: str) -> None:
    from msbreg_tf.evaluation.features import embedding, files, merging

    files.check_output(output)
    count, size, broken = merging.merge_shards(output)
    embedding.tell_broken(output, output, broken, count + len(broken))
    print(f"Wrote {output}: {count} embeddings of {size} numbers.")


@contextlib.contextmanager
def _served_rows(
    own: EmbedSettings, server: ServerSettings, batch: BatchSettings
) -> Iterator[tuple[dict[str, Any], Fill]]:
    """What identifies the served encoder, and what fills a store with its rows."""
    from msbreg_tf.evaluation.features import blocks, embedding
    from msbreg_tf.evaluation.serving.client import ServedEncoder

    with contextlib.closing(ServedEncoder(parse_address(server.server), server)) as served:

        def fill(job: "Job", store: Any) -> Any:
            def batches(start, stop):
                paths = job.paths[start:stop]
                return served.embed(
                    embedding.encoded_batches(paths, batch.batch_size, own.max_megapixels)
                )

            return blocks.fill_blocks(batches, len(job.own), store, name="embed")

        yield served.identity, fill


@contextlib.contextmanager
def _computed_rows(
    own: EmbedSettings, part: PartSettings, export: ExportSettings, batch: BatchSettings
) -> Iterator[tuple[dict[str, Any], Fill]]:
    """What identifies the export, and what fills a store with its rows."""
    from msbreg_tf.evaluation.features import blocks, files

    encoder = load_export(export.saved_model)
    size = side_of(encoder, export.image_size)
    batch_size = batch.batch_size

    def fill(job: "Job", store: Any) -> Any:
        images = files.file_images(job.paths, size, own.max_megapixels)
        return blocks.embed_blocks(
            encoder.embed, images, len(job.own), store, batch_size=batch_size, name="embed"
        )

    def fill_by_beam(job: "Job", store: Any) -> Any:
        from msbreg_tf.evaluation.features import beam

        handler = beam.ExportHandler(encoder.path, size, own.max_megapixels, batch_size)
        return beam.fill_by_beam(handler, job.paths, store, part.beam_args, encoder.feature_size)

    identity = {"export": encoder.fingerprint, "image_size": size}
    yield identity, fill_by_beam if part.engine == "beam" else fill


def _check_together(
    own: EmbedSettings, part: PartSettings, export: ExportSettings, server: ServerSettings
) -> None:
    """Refuses settings that do not go together, before anything slow begins."""
    if part.merge:
        _check_merge(own, part)
        return
    if server.server:
        parse_address(server.server)
        for name, value in export.values().items():
            if value is not None:
                raise ValueError(
                    f"--{name}={value}: not together with --server, whose export is used. Give one "
                    "of the two."
                )
    given = {"data_dir": own.data_dir, "output": own.output}
    if not server.server:
        given = {"saved_model": export.saved_model, **given}
    for name, value in given.items():
        if not value:
            raise ValueError(f"--{name} is missing. See --help.")
    if not os.path.isdir(os.path.expanduser(own.data_dir)):
        raise ValueError(f"--data_dir={own.data_dir}: no such folder. Give a folder of images.")
    if part.shard:
        parse_shard(part.shard)
    if part.engine == "beam":
        _check_beam(server)
    elif part.beam_args:
        raise ValueError(f"--beam_args={part.beam_args}: only together with --engine=beam.")


def _check_merge(own: EmbedSettings, part: PartSettings) -> None:
    if part.shard:
        raise ValueError(f"--shard={part.shard}: not together with --merge. Merge afterwards.")
    if not own.output:
        raise ValueError("--output is missing: give the file whose shards are to be merged.")
    from msbreg_tf.evaluation.features.shards import find_shards

    find_shards(os.path.expanduser(own.output))


def _check_beam(server: ServerSettings) -> None:
    import importlib.util

    if server.server:
        raise ValueError(
            "--engine=beam: not together with --server, which embeds by itself. Give --saved_model."
        )
    if importlib.util.find_spec("apache_beam") is None:
        raise ValueError(
            "--engine=beam: Apache Beam is missing. Install it by `pip install 'msbreg-tf[beam]'`."
        )


COMMAND = Command(
    (EmbedSettings, PartSettings, ExportSettings, ServerSettings, BatchSettings), _run
)
