"""What a part asks for, as plain values: all that decides its result."""

from collections.abc import Mapping
from typing import Any, Optional

from benchmarks.race.contenders import BATCH, PEERS, passes_per_image
from msbreg_tf.run.config import Config, config_from_settings

WARMUP = 1 / 12  # share of a peer's steps
_NEVER = 10**9  # steps between checkpoints: peers write none either
_SHARED = ("dataset", "data_dir", "image_size", "encoder", "encoder_width", "stem", "norm")


def passes_of(name: str, config: Config, point: Mapping[str, Any]) -> tuple[int, int]:
    """Batch, and passes that an image costs in an epoch.

    Our target network sees every view that the online network sees.
    """
    if name in PEERS:
        return BATCH, PEERS[name].passes
    settings = {**config.settings(), **point}
    views = settings["num_views"]
    return settings["batch_size"], passes_per_image(views, views)


def peer_request(
    name: str,
    config: Config,
    point: Mapping[str, Any],
    form: Mapping[str, Any],
    steps: int,
    seed: int,
    splits: tuple[str, str],
    threads: int,
    view_size: Optional[int] = None,
) -> dict[str, Any]:
    """Of a peer's training.

    Its views are drawn by the default settings (supplement, Table 1), whatever ours are.

    Args:
      name: of `PEERS`.
      config: ours, whose images and network everyone has.
      point: {"rate": …, own setting: …}.
      form: of the trial: {"fastest": …}.
      steps: of the training.
      seed: of initial weights, order and views.
      splits: what is trained on and looked up in, and what is classified.
      threads: of each process.
      view_size: side of its views in pixels, if not that of the images.
    """
    peer = PEERS[name]
    shared = _shared(name, config, point, steps, seed, splits, threads)
    return {
        **shared,
        "view_size": view_size or config.data.image_size,
        "views": {**shared["views"], "view_size": view_size},
        "module": peer.module,
        "num_views": peer.num_views,
        "optimizer": peer.optimizer,
        "weight_decay": peer.weight_decay,
        "settings": {**peer.fixed, **point},
        "warmup": WARMUP,
        "form": form.get("fastest"),
    }


def our_request(
    name: str,
    config: Config,
    point: Mapping[str, Any],
    form: Mapping[str, Any],
    steps: int,
    seed: int,
    splits: tuple[str, str],
    threads: int,
) -> dict[str, Any]:
    """Of our training; `form` also has "seconds_per_view"; the others as for `peer_request`."""
    settings = {**config.settings(), **point, "seed": seed, "split": splits[0], "workdir": None}
    settings["checkpoint_every"] = _NEVER
    precision = form.get("fastest", {}).get("precision")
    settings["mixed_precision"] = precision == "bfloat16"
    checked = config_from_settings(settings)
    request = _shared(name, config, point, steps, seed, splits, threads)
    views = {**request["views"], "view_size": settings["view_size"], **checked.augment.values()}
    return {
        **request,
        "batch": checked.optimizer.batch_size,
        "num_views": checked.objective.num_views,
        "settings": settings,
        "views": views,
        "seconds_per_view": form.get("seconds_per_view", 0.0),
    }


def untrained_request(
    config: Config, seed: int, splits: tuple[str, str], threads: int
) -> dict[str, Any]:
    """Of an evaluation of initial weights."""
    return _shared("untrained", config, {}, 0, seed, splits, threads)


def _shared(name, config: Config, point, steps, seed, splits, threads) -> dict[str, Any]:
    values = config.settings()
    shared = {setting: values[setting] for setting in _SHARED}
    batch, per_image = passes_of(name, config, point) if steps else (0, 0)
    return {
        "contender": name,
        "point": dict(point),
        "steps": steps,
        "seed": seed,
        "threads": threads,
        "batch": batch,
        "passes": steps * batch * per_image,
        "network": {k: values[k] for k in ("image_size", "encoder_width", "stem")},
        "views": {**shared, "split": splits[0]},
        "images": {
            **{k: values[k] for k in ("dataset", "data_dir", "image_size")},
            "bank": splits[0],
            "queries": splits[1],
        },
    }
