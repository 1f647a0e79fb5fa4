"""What a report is made of, gathered from the folders of runs, their exports and their images."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from msbreg_tf.data.settings import DataSettings
from msbreg_tf.data.sources.table import open_source
from msbreg_tf.errors import note
from msbreg_tf.report.details import missing_parts
from msbreg_tf.report.features import Features, features_of
from msbreg_tf.report.gallery import Gallery, judge, make_gallery
from msbreg_tf.report.pictures import Pictures, load_pictures
from msbreg_tf.report.run_files import RunFiles
from msbreg_tf.report.views import ViewsOfImage, views_of
from msbreg_tf.report.words import Judged
from msbreg_tf.run.build import build_augmentation

_VIEWED = 6  # images whose views are shown
_NO_LABELS = (
    "The images have no labels: with a folder for each class, or a labelled data set, this would "
    "show what is mistaken for what."
)


@dataclasses.dataclass(frozen=True)
class Contents:
    """What a report is made of.

    Attributes:
      runs: the first one is the one that images are shown of.
      gallery: of its export; None with a sentence in `missing`.
      views: that its training saw; likewise.
      missing: {section: one line that says how to get it}.
      judged: what the features of each run say, by the same images for runs on the same images;
        None for a run without an export or images.
      features: of the gallery's images, by the first run's encoder.
      data_dir: where its images are.
      recipe: (name, settings) of the shipped recipe that is most like the run's; None if unknown.
      refresh: seconds after which the page loads itself again; None for never.
    """

    runs: Sequence[RunFiles]
    gallery: Optional[Gallery]
    views: Sequence[ViewsOfImage]
    missing: Mapping[str, str]
    judged: Sequence[Optional[Judged]] = ()
    features: Optional[Features] = None
    data_dir: Optional[str] = None
    recipe: Optional[tuple[str, Mapping[str, Any]]] = None
    refresh: Optional[int] = None


@dataclasses.dataclass(frozen=True)
class Looked:
    """How images are looked at.

    Attributes:
      images: at most so many; 0 for none.
      method: of the map; see `maps.projections`.
      seed: of the choice of images and of the map.
      batch_size: images embedded at once.
      cache_dir: where features are kept; None for nowhere.
    """

    images: int
    method: str
    seed: int
    batch_size: int
    cache_dir: Optional[str]


def gather(runs: Sequence[RunFiles], data_dir: Optional[str], looked: Looked) -> Contents:
    """Images, if there are any and an export; what is missing has a line that says why.

    Args:
      runs: at least one.
      data_dir: where the first run's images are now, if they were moved.
      looked: how images are looked at.
    """
    run, gallery, features = runs[0], None, None
    data = _data_of(run, data_dir)
    missing = missing_parts(runs, data.data_dir)
    views = _views(run, data, missing)
    known: dict[DataSettings, Pictures] = {}
    judged: list[Optional[Judged]] = [None] * len(runs)
    if not looked.images:
        missing["gallery"] = "No images were asked for: `--images=5000` shows some."
    elif run.exports:
        try:
            pictures = _pictures(data, looked, known)
            features = _features(run, pictures, looked)
        except ValueError as error:
            note(f"no images in the report: {error}")
            missing["gallery"] = f"The images can't be shown: {error}"
        else:
            gallery = make_gallery(pictures, features, looked.method, looked.seed)
            judged[0] = gallery.judged
            missing.update({} if pictures.labels is not None else {"classes": _NO_LABELS})
    if looked.images:
        judged[1:] = [_judged(other, run, data_dir, looked, known) for other in runs[1:]]
    return Contents(runs, gallery, views, missing, judged, features, data.data_dir)


def _data_of(run: RunFiles, data_dir: Optional[str]) -> DataSettings:
    data = run.config.data
    return dataclasses.replace(data, data_dir=data_dir or data.data_dir, data_service=None)


def _pictures(data: DataSettings, looked: Looked, known: dict[DataSettings, Pictures]) -> Pictures:
    """Loads images once for all runs on the same ones."""
    if data not in known:
        known[data] = load_pictures(data, looked.images, looked.seed)
    if len(known[data].names) < 3:
        raise ValueError("fewer than three images can be read.")
    return known[data]


def _features(run: RunFiles, pictures: Pictures, looked: Looked) -> Features:
    return features_of(
        run.exports[-1], pictures, looked.cache_dir, looked.batch_size, looked.seed, run.name
    )


def _judged(
    run: RunFiles,
    first: RunFiles,
    data_dir: Optional[str],
    looked: Looked,
    known: dict[DataSettings, Pictures],
) -> Optional[Judged]:
    """What another run's features say, so that all runs are judged by the same evidence."""
    if not run.exports:
        return None
    # --data_dir says where the first run's images are: also for those that trained on the same.
    same = run.config.data.data_dir == first.config.data.data_dir
    try:
        pictures = _pictures(_data_of(run, data_dir if same else None), looked, known)
        return judge(pictures, _features(run, pictures, looked))
    except ValueError as error:
        note(f"{run.name} is judged without images: {error}")
        return None


def _views(run: RunFiles, data: DataSettings, missing: dict[str, str]) -> list[ViewsOfImage]:
    config = run.config
    try:
        return views_of(
            open_source(data),
            build_augmentation(config),
            seed=config.run.seed,
            num_views=config.objective.num_views,
            count=_VIEWED,
        )
    except ValueError as error:
        missing["views"] = (
            f"The views can't be shown: {error} --data_dir says where the images are."
        )
        return []
