"""Every evaluation of an export: load it, measure, show, record."""

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Optional

from msbreg_tf.commands.cli import Command
from msbreg_tf.commands.paths import check_export, check_images, check_new_file
from msbreg_tf.evaluation.protocols.protocol import Protocol, Subject
from msbreg_tf.evaluation.protocols.table import PROTOCOLS
from msbreg_tf.settings import Settings

if TYPE_CHECKING:
    from msbreg_tf.evaluation.features.exported import ExportedEncoder


def command(name: str) -> Command:
    """The command that measures by the protocol `name`.

    Raises:
      ValueError: there is no such protocol.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"protocol={name}: expected one of {', '.join(PROTOCOLS)}.")
    protocol = PROTOCOLS[name]
    run = functools.partial(_run, protocol)
    return Command((*protocol.shared, protocol.settings), run, protocol.defaults)


def _run(protocol: Protocol, *groups: Settings) -> None:
    *shared, own = groups
    given = {name: value for group in shared for name, value in group.values().items()}
    _check_paths(given)
    protocol.check(own)
    encoder = load_export(given["saved_model"])
    subject = Subject(encoder, side_of(encoder, given["image_size"]), given)
    report = protocol.measure(own, subject)
    print(report.text)
    for measurement in report.measurements:
        subject.record(measurement)
    print(f"Appended to {subject.results_path}")
    report.on_recorded()


def _check_paths(given: Mapping[str, Any]) -> None:
    """Refuses what can't work before anything slow begins.

    Raises:
      ValueError: no such export or images, or a result that could not be recorded.
    """
    check_export(given["saved_model"])
    if "dataset" in given:
        check_images(given["dataset"], given["data_dir"])
    from msbreg_tf.evaluation.results.log import default_results_path

    check_new_file("results", given["results"] or default_results_path(given["saved_model"]))


def load_export(saved_model: Optional[str]) -> "ExportedEncoder":
    """The encoder that `--saved_model` names.

    Raises:
      ValueError: none is named, or it can't be loaded.
    """
    check_export(saved_model)
    from msbreg_tf.evaluation.features.exported import load_encoder

    return load_encoder(saved_model)


def side_of(encoder: "ExportedEncoder", wanted: Optional[int]) -> int:
    """Side S in pixels that images are brought to: `--image_size`, else the export's.

    Raises:
      ValueError: neither is known, or they differ.
    """
    exported = encoder.image_size
    if wanted is None and exported is None:
        raise ValueError(
            f"--image_size is missing: the export {encoder.path} does not say for which size it "
            "was trained."
        )
    if wanted and exported and wanted != exported:
        raise ValueError(
            f"--image_size={wanted}: the export is for {exported} pixels and would resize again. "
            "Remove the flag."
        )
    return wanted or exported
