"""What a report shows of images: nearest neighbours, a map, odd ones; and what they say."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from msbreg_tf.evaluation.rows import unit_rows
from msbreg_tf.evaluation.similar import (
    Pair,
    left_out_votes,
    most_unlike,
    near_duplicates,
    nearest_others,
)
from msbreg_tf.evaluation.spectrum import effective_rank, judge_collapse, singular_values
from msbreg_tf.report import maps
from msbreg_tf.report.charts import Chart
from msbreg_tf.report.features import Features
from msbreg_tf.report.pictures import Pictures
from msbreg_tf.report.sprites import Sprite, sprite_of
from msbreg_tf.report.words import Judged

NEIGHBOURS = 8  # shown beside each image
_VOTERS = 20
_ROWS = 24
_ODD = 24
_CLUSTERS = 10
_SMALL, _LARGE = 44, 104  # pixels of a thumbnail in the map, and on the sheets
_DUPLICATE = 0.95
_SAME_LEVELS = 8  # of 255, between pixels of two copies


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Everything about the images that the page needs.

    Attributes:
      pictures: the images.
      labels: int64 [n], of class, folder or cluster.
      groups: the name of each label.
      group_kind: "class", "folder" or "cluster".
      rows: images that differ from one another; each is shown with its neighbours.
      near: rows of the nearest others by the encoder, int64 [n, 8].
      near_beside: the same by what it is compared with, which `beside` names.
      similarity: float32 [n, 8], of `near`.
      beside: "the untrained encoder" or "raw pixels".
      duplicates: pairs that are nearly the same.
      farthest: (row, mean similarity to its nearest), the least similar first.
      charts: the map.
      spectra: {encoder: centred singular values}.
      voted: label that the neighbours vote for, int64 [n]; None without labels.
      judged: what the features say.
      small: all images as one picture.
      large: images on sheets and lists as one picture, larger.
      large_rows: which these are.
    """

    pictures: Pictures
    labels: np.ndarray
    groups: tuple[str, ...]
    group_kind: str
    rows: np.ndarray
    near: np.ndarray
    near_beside: np.ndarray
    similarity: np.ndarray
    beside: str
    duplicates: Sequence[Pair]
    farthest: Sequence[tuple[int, float]]
    charts: Sequence[Chart]
    spectra: dict[str, np.ndarray]
    voted: Optional[np.ndarray]
    judged: Judged
    small: Sprite
    large: Sprite
    large_rows: np.ndarray

    @property
    def duplicate_share(self) -> float:
        """Share of the images that have a near-duplicate."""
        return len({row for pair in self.duplicates for row in pair[:2]}) / len(self.labels)

    def large_place(self, row: int) -> Optional[int]:
        """Where an image is in `large`; None if it is only in `small`."""
        place = int(np.searchsorted(self.large_rows, row))
        is_there = place < len(self.large_rows) and self.large_rows[place] == row
        return place if is_there else None

    def lists(self) -> dict[str, list[list[str]]]:
        """What can be saved as CSV: {name: rows}, the first of which has the columns' names."""
        names = self.pictures.names
        pairs = [[names[p.first], names[p.second], f"{p.similarity:.4f}"] for p in self.duplicates]
        odd = [[names[row], f"{likeness:.4f}"] for row, likeness in self.farthest]
        return {
            "duplicates": [["first", "second", "similarity"], *pairs],
            "farthest": [["file", "mean similarity to the ten nearest"], *odd],
        }

    def label_of(self, row: int) -> str:
        """The name of an image's class or folder; empty for a mere cluster."""
        return "" if self.group_kind == "cluster" else self.groups[self.labels[row]]

    def for_page(self) -> dict[str, Any]:
        """What report.js needs, as plain JSON values."""
        places = {int(row): place for place, row in enumerate(self.large_rows)}
        return {
            "names": list(self.pictures.names),
            "labels": self.labels.tolist(),
            "groups": list(self.groups),
            "groupKind": self.group_kind,
            "near": self.near.tolist(),
            "nearBeside": self.near_beside.tolist(),
            "beside": self.beside,
            "small": [self.small.columns, self.small.rows],
            "large": [self.large.columns, self.large.rows],
            "largePlaces": places,
        }


def make_gallery(pictures: Pictures, features: Features, method: str, seed: int) -> Gallery:
    """Looks at the images by their features.

    Args:
      pictures: n ≥ 3 images.
      features: theirs.
      method: of the map; see `maps.projections`.
      seed: of clusters and map.
    """
    similarity, near = nearest_others(features.trained, _VOTERS)
    beside, others = features.beside
    _, near_beside = nearest_others(others, NEIGHBOURS)
    rows = most_unlike(features.trained, _ROWS)
    likeness = similarity[:, :10].mean(axis=1)
    farthest = [(int(row), float(likeness[row])) for row in np.argsort(likeness)[:_ODD]]
    duplicates = _duplicates(pictures, features, similarity, near)
    labels, groups, kind = _groups(pictures, features, seed)
    shown = np.unique(
        np.concatenate(
            [
                rows,
                near[rows, :NEIGHBOURS].ravel(),
                near_beside[rows].ravel(),
                np.array([row for row, _ in farthest], np.int64),
                np.array([r for pair in duplicates[:_ODD] for r in pair[:2]], np.int64),
            ]
        )
    )
    voted = None if pictures.labels is None else left_out_votes(similarity, near, pictures.labels)
    points = maps.projections(features.trained, method, seed)
    return Gallery(
        pictures=pictures,
        labels=labels,
        groups=groups,
        group_kind=kind,
        rows=rows,
        near=near[:, :NEIGHBOURS],
        near_beside=near_beside,
        similarity=similarity[:, :NEIGHBOURS],
        beside=beside,
        duplicates=duplicates,
        farthest=farthest,
        charts=[maps.map_chart(points, labels, groups, kind)],
        spectra=_spectra(features),
        voted=voted,
        judged=judge(pictures, features, voted),
        small=sprite_of(pictures.pixels, _SMALL),
        large=sprite_of(pictures.pixels[shown], _LARGE, quality=80),
        large_rows=shown,
    )


def _duplicates(
    pictures: Pictures, features: Features, similarity: np.ndarray, near: np.ndarray
) -> list[Pair]:
    """Pairs that are alike to the encoder and in their pixels, too: one alone says too little.

    An encoder that looks at meaning finds two photographs of one kind alike, and a correlation of
    pixels two blue skies, unless each colour has its mean taken off. That leaves nothing of two
    plain sheets, which are compared as they are.
    """
    colours = features.pixels.reshape(len(features.pixels), -1, 3)
    rows = unit_rows((colours - colours.mean(axis=1, keepdims=True)).reshape(len(colours), -1))

    def same_pixels(pair: Pair) -> bool:
        first, second = (pictures.pixels[row].astype(np.int16) for row in pair[:2])
        return np.abs(first - second).max() <= _SAME_LEVELS

    return [
        pair
        for pair in near_duplicates(similarity, near, _DUPLICATE)
        if rows[pair.first] @ rows[pair.second] >= _DUPLICATE or same_pixels(pair)
    ]


def _groups(
    pictures: Pictures, features: Features, seed: int
) -> tuple[np.ndarray, tuple[str, ...], str]:
    if pictures.labels is not None:
        return pictures.labels, pictures.classes, pictures.label_kind
    labels = maps.clusters(features.trained, _CLUSTERS, seed)
    return labels, tuple(f"cluster {n + 1}" for n in range(labels.max() + 1)), "cluster"


def _spectra(features: Features) -> dict[str, np.ndarray]:
    named = {"trained": features.trained, "untrained": features.untrained}
    return {name: _centred_spectrum(rows) for name, rows in named.items() if rows is not None}


def _centred_spectrum(features: np.ndarray) -> np.ndarray:
    rows = unit_rows(features)
    return singular_values(rows - rows.mean(axis=0))


def judge(pictures: Pictures, features: Features, voted: Optional[np.ndarray] = None) -> Judged:
    """What the features of the images say.

    Args:
      pictures: the images.
      features: theirs.
      voted: label that the neighbours of each vote for, int64 [n], if it is known already.
    """
    values = _centred_spectrum(features.trained)
    directions = min(len(features.trained) - 1, features.trained.shape[1])
    rank = effective_rank(values)
    collapse, reason = judge_collapse(float(np.sum(values**2)), rank, directions)
    votes, chance = {}, None
    if (labels := pictures.labels) is not None:
        if voted is None:
            voted = left_out_votes(*nearest_others(features.trained, _VOTERS), labels)
        votes["the trained encoder"] = float(np.mean(voted == labels))
        named = {"the untrained encoder": features.untrained, "raw pixels": features.pixels}
        for name, rows in named.items():
            if rows is not None:
                theirs = left_out_votes(*nearest_others(rows, _VOTERS), labels)
                votes[name] = float(np.mean(theirs == labels))
        chance = float(np.bincount(labels).max() / len(labels))
    return Judged(
        images=len(features.trained),
        collapse=collapse,
        reason=reason,
        rank_share=rank / max(directions, 1),
        votes=votes,
        chance=chance,
        label_kind=pictures.label_kind,
    )
