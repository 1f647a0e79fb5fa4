"""`msbreg`: all tools as one command, from any folder."""

import difflib
import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple, Optional

import msbreg_tf
from msbreg_tf.commands import cli
from msbreg_tf.errors import EXIT_BAD_INPUT, as_typed


class Subcommand(NamedTuple):
    """A row of `SUBCOMMANDS`.

    Attributes:
      tool: name of its module in tools/, whose docstring --help shows; for "train", the package's.
      module: where its command is.
      what: what it does, for the list.
      protocol: of an evaluation.
    """

    tool: str
    module: str
    what: str
    protocol: Optional[str] = None


_EVALUATE = "msbreg_tf.commands.evaluate"
# In the order of use.
SUBCOMMANDS = {
    "quickstart": Subcommand(
        "quickstart", "msbreg_tf.commands.quickstart", "train on the shipped images, compare"
    ),
    "doctor": Subcommand(
        "doctor", "msbreg_tf.commands.doctor", "can this machine train, how fast, what is amiss"
    ),
    "views": Subcommand(
        "preview_views", "msbreg_tf.commands.preview_views", "draw the views of your images"
    ),
    "train": Subcommand("train", "msbreg_tf.train", "train an encoder on images without labels"),
    "geometry": Subcommand("geometry", _EVALUATE, "did it learn? without labels", "geometry"),
    "knn": Subcommand("knn_eval", _EVALUATE, "k-NN accuracy of an encoder", "knn"),
    "linear": Subcommand("linear_eval", _EVALUATE, "a linear classifier on its features", "linear"),
    "finetune": Subcommand("finetune", _EVALUATE, "a classifier from few labels", "finetune"),
    "svm": Subcommand("svm_eval", _EVALUATE, "VOC07's linear SVMs", "svm"),
    "sweep": Subcommand("sweep", "msbreg_tf.commands.sweep", "a grid of runs, and their table"),
    "detect": Subcommand(
        "detect", "msbreg_tf.commands.detect", "detection on VOC or COCO from its weights"
    ),
    "compare": Subcommand("compare", "msbreg_tf.commands.compare", "several runs side by side"),
    "embed": Subcommand("embed", "msbreg_tf.commands.embed", "a folder of images to embeddings"),
    "report": Subcommand("report", "msbreg_tf.commands.report", "a run as one page to look at"),
    "neighbours": Subcommand(
        "neighbours", "msbreg_tf.commands.neighbours", "images that are alike, near-duplicates"
    ),
    "convert": Subcommand(
        "convert", "msbreg_tf.commands.convert", "an encoder for torchvision, ONNX, TFLite, …"
    ),
    "parity": Subcommand("parity", "msbreg_tf.commands.parity", "do your devices train as one?"),
    "data-service": Subcommand(
        "data_service", "msbreg_tf.commands.data_service", "make views on other machines"
    ),
}


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Runs `msbreg <subcommand> <flags>`; without a subcommand it lists them."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        print(overview())
        return
    if arguments[0] == "--version":
        print(f"msbreg_tf {msbreg_tf.__version__}")
        return
    name, rest = arguments[0], arguments[1:]
    if name not in SUBCOMMANDS:
        close = difflib.get_close_matches(name, SUBCOMMANDS, n=2) or SUBCOMMANDS
        print(f"error: msbreg {name}: expected one of {', '.join(close)}.", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    cli.run(command_of(name), doc_of(name), [f"msbreg {name}", *rest])


def overview() -> str:
    """The list of subcommands."""
    rows = [f"  msbreg {name:<13} {sub.what}" for name, sub in SUBCOMMANDS.items()]
    return "\n".join(
        [
            f"msbreg_tf {msbreg_tf.__version__}: image encoders from images without labels.",
            "",
            *rows,
            "",
            "`msbreg train --recipe=stl10 --workdir=runs/stl10` trains by a shipped recipe; each",
            "subcommand has --help.",
        ]
    )


def command_of(name: str) -> cli.Command:
    """The command behind a subcommand."""
    sub = SUBCOMMANDS[name]
    module = importlib.import_module(sub.module)
    return module.COMMAND if sub.protocol is None else module.command(sub.protocol)


def doc_of(name: str) -> str:
    """The tool's docstring, with the commands that it shows spelled as `msbreg` takes them."""
    return as_typed(_tool(SUBCOMMANDS[name]).__doc__ or "", installed=True)


def _tool(sub: Subcommand):
    if sub.tool == "train":
        return importlib.import_module(sub.module)
    try:  # installed
        return importlib.import_module(f"msbreg_tf.tools.{sub.tool}")
    except ModuleNotFoundError:  # in a checkout
        return importlib.import_module(f"tools.{sub.tool}")


if __name__ == "__main__":  # how a sweep starts tools wherever the package is
    main()
