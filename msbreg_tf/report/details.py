"""What a run was told, and where and by what it was made: settings, versions, changes, gaps."""

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from msbreg_tf.errors import as_typed
from msbreg_tf.report import invocations
from msbreg_tf.report.charts import Table
from msbreg_tf.report.run_files import RunFiles
from msbreg_tf.run.config import Config

PLACES = ("workdir", "data_dir", "init_from")


def settings_table(
    run: RunFiles, recipe: Optional[tuple[str, Mapping[str, Any]]]
) -> dict[str, Table]:
    """{"changed": settings that are not the recipe's, "all": all of them}."""
    defaults = Config().settings()
    base = {**defaults, **(recipe[1] if recipe else {})}
    known = {name: value for name, value in run.settings.items() if value is not None}
    changed = [
        (f"--{name}", shown(value), shown(base.get(name)))
        for name, value in known.items()
        if shown(value) != shown(base.get(name)) and name not in PLACES
    ]
    every = [
        (f"--{name}", shown(value), shown(defaults.get(name))) for name, value in known.items()
    ]
    return {
        "changed": Table(
            ("setting", "this run", "recipe" if recipe else "default"), tuple(changed)
        ),
        "all": Table(("setting", "this run", "default"), tuple(every)),
    }


def facts_table(run: RunFiles) -> Table:
    """Versions, commit, hardware and images, as far as they are recorded."""
    versions = run.metadata.get("versions", {})
    exports = {"exports": ", ".join(run.exports)} if run.exports else {}
    measured = run.results[-1].get("versions", {}) if run.results else {}
    rows = {
        **run.facts,
        **{name: run.metadata[name] for name in ("hardware",) if name in run.metadata},
        **{f"{name}, at export": value for name, value in versions.items()},
        **{f"{name}, at evaluation": value for name, value in measured.items()},
        **exports,
        "folder": run.path,
    }
    return Table(("what", "value"), tuple((name, str(value)) for name, value in rows.items()))


def changes(run: RunFiles) -> list[tuple[str, int, str]]:
    """(run, step, words) of each time that the run was continued with other settings."""
    found = []
    for line in run.metrics:
        if changed := line.get("changed"):
            words = (f"--{name} from {old} to {new}" for name, (old, new) in changed.items())
            found.append((run.name, line["step"], ", ".join(words)))
    return found


def missing_parts(runs: Sequence[RunFiles], data_dir: Optional[str] = None) -> dict[str, str]:
    """{section: how to get it}; a section that is there does not ask for its line.

    Args:
      runs: the first is the one that commands are about.
      data_dir: where its images are, if it is known.
    """
    run = runs[0]
    geometry, knn, fine_tuning = (
        command.replace(" \\\n ", "")
        for command in (
            invocations.evaluation("geometry", run, data_dir),
            invocations.evaluation("knn_eval", run, data_dir),
            invocations.fine_tuning(run, data_dir),
        )
    )
    missing = {
        "gallery": "No export yet, so there are no features to look at: the run writes one when it "
        "is finished.",
        "results": f"Not evaluated yet: `{geometry}` needs no labels; `{knn}` does.",
    }
    if not run.exports:
        missing["spectrum"] = "The spectrum of the exported features comes with the export."
    if all(result["protocol"]["name"] != "finetune" for each in runs for result in each.results):
        missing["finetune"] = f"Not fine-tuned: `{fine_tuning}` shows what few labels give."
    return {section: as_typed(line) for section, line in missing.items()}


def shown(value: Any) -> str:
    """A value as a reader sees it."""
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
