"""Training steps of PyTorch's BYOL.

`views` is "lightly" or "albumentations", the loader that makes them, or "cached": each step gets
the same batch of views, made before. `mixed` is for bfloat16 where autocast has it.
"""

from benchmarks.contenders import albumentations_views, lightly_views, torch_byol


def run(settings, tick):
    byol = torch_byol.BYOL(settings.get("mixed", False))
    makers = {"lightly": lightly_views, "albumentations": albumentations_views}
    batches = makers.get(settings["views"], lightly_views).batches(settings)
    if settings["views"] == "cached":
        views = next(iter(batches))
        del batches
        while True:
            byol.step(views)
            tick(len(views))
    for views in batches:
        if views.shape[-1] == 3:  # [N, K, S, S, 3]
            views = views.permute(0, 1, 4, 2, 3)
        byol.step(views)
        tick(len(views))
