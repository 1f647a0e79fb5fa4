"""Images as points in the plane: PCA at once, and t-SNE or UMAP on what PCA leaves."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from msbreg_tf.evaluation.rows import unit_rows
from msbreg_tf.report.charts import COLOURS, GREY, Chart, Table, axes, plain, short

_COLOURED = 11  # labels with a colour of their own; the others are grey
METHODS = ("tsne", "umap", "pca")
TITLES = {"tsne": "t-SNE", "umap": "UMAP", "pca": "PCA"}
_ITERATIONS = 500  # half of scikit-learn's; the layout hardly changes after that
_KEPT = 50  # principal components that neighbours are looked up in


def projections(features: np.ndarray, method: str, seed: int) -> dict[str, np.ndarray]:
    """{title: float64 [n, 2]}, PCA first.

    Args:
      features: float [n, F], not normalised.
      method: one of `METHODS` to add; 'pca' adds none.
      seed: of the projection.

    Raises:
      ValueError: the library of the method is not installed.
    """
    principal = _principal(features)
    found = {TITLES["pca"]: principal[:, :2]}
    if method == "tsne" and len(features) >= 8:
        found[TITLES[method]] = _tsne(principal, seed)
    elif method == "umap" and len(features) >= 8:
        found[TITLES[method]] = _umap(principal, seed)
    return {name: _to_unit_square(points) for name, points in found.items()}


def map_chart(
    points: dict[str, np.ndarray], labels: np.ndarray, groups: Sequence[str], kind: str
) -> Chart:
    """A scatter chart; report.js adds thumbnails, the lasso and the choice of the projection.

    Args:
      points: what `projections` returned; the last is shown first.
      labels: int [n].
      groups: the name of each label.
      kind: "class", "folder" or "cluster".
    """
    counts = np.bincount(labels, minlength=len(groups))
    present = np.flatnonzero(counts)
    own = present
    if len(present) > _COLOURED + 1:
        own = np.sort(np.argsort(-counts, kind="stable")[:_COLOURED])
    colour = {int(label): COLOURS[place] for place, label in enumerate(own)}
    shown = [
        (short(groups[label]), np.flatnonzero(labels == label), colour[label]) for label in own
    ]
    rest = np.flatnonzero(~np.isin(labels, own))
    if len(rest):
        shown.append((f"{len(present) - len(own):,} others", rest, GREY))
    first = next(reversed(points.values()))
    traces = tuple(
        {
            "type": "scattergl" if len(labels) > 20000 else "scatter",
            "mode": "markers",
            "name": plain(name),
            "x": first[rows, 0],
            "y": first[rows, 1],
            "customdata": rows,
            "hoverinfo": "none",
            "marker": {"size": 6, "color": its, "opacity": 0.8, "line": {"width": 0}},
            "meta": {title: at[rows].T for title, at in points.items()},
        }
        for name, rows, its in shown
    )
    layout = {**axes("", ""), "showlegend": True, "dragmode": "lasso", "height": 640}
    for axis in ("xaxis", "yaxis"):
        layout[axis].update(
            showticklabels=False, zeroline=False, showgrid=False, range=[-0.03, 1.03]
        )
    what = {"class": "class", "folder": "folder", "cluster": "cluster (k-means)"}[kind]
    summary = (
        f"{len(labels):,} images, each a point; near points are alike to the encoder. Coloured by "
        f"{what}. Distances between far groups mean little."
    )
    plural = {"class": "classes"}.get(kind, f"{kind}s")
    top = Counter({groups[label]: int(counts[label]) for label in present}).most_common(40)
    table = Table((plural, "images"), tuple((name, f"{count:,}") for name, count in top))
    return Chart("map-chart", "Map", summary, traces, layout, table, kind="map")


def clusters(features: np.ndarray, count: int, seed: int) -> np.ndarray:
    """k-means of unit features: int64 [n], the largest cluster is 0."""
    from sklearn.cluster import MiniBatchKMeans

    rows = unit_rows(features, np.float32)
    means = MiniBatchKMeans(min(count, len(rows)), random_state=seed, n_init=3, batch_size=4096)
    labels = means.fit_predict(rows)
    order = np.argsort(-np.bincount(labels, minlength=count), kind="stable")
    return np.argsort(order)[labels].astype(np.int64)


def check_method(method: str) -> None:
    """Refuses a method whose library is not installed, before anything slow.

    Raises:
      ValueError: says how to install it.
    """
    import importlib.util

    module = {"tsne": "sklearn", "umap": "umap"}.get(method, "numpy")
    if importlib.util.find_spec(module) is None:
        extra = "umap" if method == "umap" else "report"
        raise ValueError(
            f"--map={method}: its library is not installed. Install it by `pip install "
            f"'msbreg-tf[{extra}]'`, or choose --map=pca."
        )


def _principal(features: np.ndarray) -> np.ndarray:
    """The unit features in their first principal axes, float64 [n, ≥ 2]."""
    rows = unit_rows(features)
    centred = rows - rows.mean(axis=0)
    values, axes = np.linalg.eigh(centred.T @ centred)
    kept = axes[:, np.argsort(values)[::-1][:_KEPT]]
    points = centred @ kept
    # The sign of an axis is the solver's whim; this one repeats itself.
    points *= np.where(np.abs(points).max(axis=0) == points.max(axis=0), 1, -1)
    return np.pad(points, ((0, 0), (0, max(0, 2 - points.shape[1]))))


def _tsne(principal: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    spread = principal[:, 0].std()
    start = principal[:, :2] / (spread if spread > 0 else 1) * 1e-4
    perplexity = min(30.0, (len(principal) - 1) / 3)
    tsne = TSNE(
        perplexity=perplexity,
        init=start.astype(np.float32),
        max_iter=_ITERATIONS,
        random_state=seed,
    )
    # Its threads wait for one another by spinning: on a busy machine two take eight times as long
    # as one. 5,000 images need 10 seconds of one core.
    with threadpool_limits(1):
        return tsne.fit_transform(principal.astype(np.float32))


def _umap(principal: np.ndarray, seed: int) -> np.ndarray:
    import umap

    neighbours = min(15, len(principal) - 1)
    made = umap.UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1)
    return made.fit_transform(principal)


def _to_unit_square(points: np.ndarray) -> np.ndarray:
    low, high = points.min(axis=0), points.max(axis=0)
    return (points - low) / np.where(high > low, high - low, 1)
