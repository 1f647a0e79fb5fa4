"""Every entry point and its command."""

from msbreg_tf.commands import (
    compare,
    convert,
    data_service,
    detect,
    doctor,
    embed,
    evaluate,
    neighbours,
    parity,
    preview_views,
    quickstart,
    report,
    sweep,
)
from msbreg_tf.train import COMMAND

COMMANDS = {
    "msbreg_tf.train": COMMAND,
    "tools.compare": compare.COMMAND,
    "tools.convert": convert.COMMAND,
    "tools.data_service": data_service.COMMAND,
    "tools.detect": detect.COMMAND,
    "tools.doctor": doctor.COMMAND,
    "tools.embed": embed.COMMAND,
    "tools.finetune": evaluate.command("finetune"),
    "tools.geometry": evaluate.command("geometry"),
    "tools.knn_eval": evaluate.command("knn"),
    "tools.linear_eval": evaluate.command("linear"),
    "tools.neighbours": neighbours.COMMAND,
    "tools.parity": parity.COMMAND,
    "tools.preview_views": preview_views.COMMAND,
    "tools.quickstart": quickstart.COMMAND,
    "tools.report": report.COMMAND,
    "tools.sweep": sweep.COMMAND,
    "tools.svm_eval": evaluate.command("svm"),
}
