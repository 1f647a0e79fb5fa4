"""A report as one HTML file: Jinja2's templates, which escape, and Plotly, which is put into it."""

import base64
import datetime
import functools
import gzip
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Optional

import msbreg_tf
from msbreg_tf.report.advice import Facts, advise
from msbreg_tf.report.charts import Chart, Table, line_style
from msbreg_tf.report.contents import Contents
from msbreg_tf.report.curves import curve_charts, spectrum_of_features, spectrum_over_time
from msbreg_tf.report.details import PLACES, changes, facts_table, settings_table, shown
from msbreg_tf.report.gallery import Gallery
from msbreg_tf.report.results import (
    confusion,
    confusion_charts,
    fine_tuning_chart,
    mistakes,
    per_class,
    results_tables,
)
from msbreg_tf.report.series import interruptions, series_of
from msbreg_tf.report.words import findings, newest_same_picture, what_was_trained
from msbreg_tf.run.callbacks.monitors import duration
from msbreg_tf.run.config import Config

_UNLIKE = 6  # settings shown in which several runs differ
_REMEDY = "Install it by `pip install 'msbreg-tf[report]'`."


def check_installed() -> None:
    """Refuses to begin without the libraries that make the page.

    Raises:
      ValueError: says what to install.
    """
    import importlib.util

    for name in ("jinja2", "plotly", "sklearn"):
        if importlib.util.find_spec(name) is None:
            raise ValueError(f"a report needs {name}, which is not installed. {_REMEDY}")


def render(contents: Contents) -> str:
    """The page as text."""
    charts = _charts(contents)
    drawn = [chart for group in charts.values() for chart in group]
    broken = _broken(contents)
    return environment().get_template("report.html.j2").render(
        **_words(contents),
        charts=charts,
        specs={chart.key: chart.spec for chart in drawn},
        gallery=contents.gallery,
        page=contents.gallery.for_page() if contents.gallery else None,
        tables=_class_tables(contents.gallery),
        lists=_lists(contents, broken),
        broken=broken,
        style=line_style,
        views=contents.views,
        missing=defaultdict(str, contents.missing),
        runs=contents.runs,
        results=results_tables(contents.runs, list(Config().result_settings())),
        settings=[settings_table(run, contents.recipe) for run in contents.runs],
        recipe=contents.recipe[0] if contents.recipe else None,
        facts=[facts_table(run) for run in contents.runs],
        pauses=[(run.name, pause) for run in contents.runs for pause in interruptions(run)],
        changes=[change for run in contents.runs for change in changes(run)],
        duration=duration,
        refresh=contents.refresh,
        plotly=plotly_compressed(),
        made=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        version=msbreg_tf.__version__,
    )  # fmt: skip


def environment():
    """Jinja2 with the templates of this room; everything that they are given is escaped."""
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.PackageLoader("msbreg_tf.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["json"] = made.filters["tojson"]
    made.filters["told"] = told
    return made


def told(text: str):
    """A sentence as markup: what is between backticks as code, and no line ends in a flag.

    Args:
      text: anything; it is escaped.
    """
    import markupsafe

    made = markupsafe.Markup()
    for place, part in enumerate(str(text).split("`")):
        pieces = re.split(r"(--\w+=?)", part)
        inside = markupsafe.Markup().join(
            markupsafe.Markup('<span class="flag">{}</span>').format(piece) if at % 2 else piece
            for at, piece in enumerate(pieces)
        )
        made += markupsafe.Markup("<code>{}</code>").format(inside) if place % 2 else inside
    return made


@functools.cache
def plotly_compressed() -> str:
    """Plotly's JavaScript, compressed by gzip, in base64: 2 MB instead of 5."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()


def _words(contents: Contents) -> dict[str, Any]:
    run, gallery = contents.runs[0], contents.gallery
    series = series_of(run)
    judged = gallery.judged if gallery else None
    facts = Facts(
        run=run,
        series=series,
        collapse=judged.collapse if judged else None,
        rank_share=judged.rank_share if judged else None,
        same_picture=newest_same_picture(run, series),
        duplicates=gallery.duplicate_share if gallery else None,
        has_labels=bool(judged and judged.votes and judged.label_kind == "class"),
        finished=bool(run.exports),
        data_dir=contents.data_dir,
    )
    return {
        "trained": [(each.name, what_was_trained(each)) for each in contents.runs],
        "findings": findings(run, series, judged),
        "compared": _compared(contents),
        "advice": advise(facts),
    }


def _compared(contents: Contents) -> Optional[Table]:
    """What is found of each of several runs, side by side; the first one's is that of its cards."""
    runs = contents.runs
    if len(runs) < 2:
        return None
    judged = contents.judged or [None] * len(runs)
    told = [findings(run, series_of(run), its) for run, its in zip(runs, judged)]
    # Answers by unlike evidence are no comparison, so each then names its own.
    mixed = [len({finding.by for finding in column}) > 1 for column in zip(*told)]
    unlike = [
        name
        for name in dict.fromkeys(name for run in runs for name in run.settings)
        if len({shown(run.settings.get(name)) for run in runs}) > 1 and name not in PLACES
    ]
    columns = ("run", "steps", *(finding.question for finding in told[0]))
    columns += tuple(f"--{name}" for name in unlike[:_UNLIKE])
    rows = []
    for run, of_run in zip(runs, told):
        values = (shown(run.settings.get(name)) for name in unlike[:_UNLIKE])
        answers = (
            f"{finding.answer} ({finding.by})" if is_mixed and finding.by else finding.answer
            for finding, is_mixed in zip(of_run, mixed)
        )
        rows.append((run.name, f"{run.last_step:,}", *answers, *values))
    return Table(columns, tuple(rows))


def _charts(contents: Contents) -> dict[str, list[Chart]]:
    gallery = contents.gallery
    spectrum = spectrum_over_time(contents.runs[0])
    confused = []
    if gallery:
        spectrum.append(spectrum_of_features(gallery.spectra))
        if gallery.voted is not None:
            confused = confusion_charts(gallery.labels, gallery.voted, gallery.groups)
    return {
        "curves": curve_charts(contents.runs),
        "spectrum": spectrum,
        "map": list(gallery.charts) if gallery else [],
        "confusion": confused,
        "finetune": fine_tuning_chart(contents.runs),
    }


def _broken(contents: Contents) -> list[str]:
    """Files that the first run or this report could not read."""
    met = contents.gallery.pictures.broken if contents.gallery else ()
    return sorted({*contents.runs[0].broken, *met})


def _lists(contents: Contents, broken: Sequence[str]) -> dict[str, list[list[str]]]:
    lists = contents.gallery.lists() if contents.gallery else {}
    return {**lists, "broken": [["file"], *([name] for name in broken)]}


def _class_tables(gallery: Optional[Gallery]) -> dict[str, Table]:
    if gallery is None or gallery.voted is None:
        return {}
    counts = confusion(gallery.labels, gallery.voted, gallery.groups)
    return {
        "accuracy": per_class(counts, gallery.groups),
        "mistakes": mistakes(counts, gallery.groups),
    }
