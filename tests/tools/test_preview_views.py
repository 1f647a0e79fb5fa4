import subprocess
import sys

import numpy as np
import tensorflow as tf

from msbreg_tf.augment.draws import image_draws
from msbreg_tf.augment.multiview import MultiViewAugmentation
from msbreg_tf.augment.settings import AugmentSettings
from msbreg_tf.data.pipeline.seeds import order_seed, views_seed
from msbreg_tf.data.settings import DataSettings
from msbreg_tf.data.sources.table import open_source


def run_tool(*flags):
    command = [sys.executable, "-m", "tools.preview_views", *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_writes_a_row_per_image(tmp_path):
    """Each tile is the image, or the view that the run of these settings would see."""
    output = tmp_path / "views.png"
    done = run_tool(
        *(f"--output={output}", "--images=3", "--num_views=2", "--image_size=16", "--seed=4"),
        "--hue=0.3",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"Wrote {output}: 3 images, each with 2 views.\n")
    picture = tf.io.decode_png(output.read_bytes()).numpy()
    assert picture.shape == (3 * 18, 3 * 18, 3)
    tiles = picture.reshape(3, 18, 3, 18, 3).transpose(0, 2, 1, 3, 4)
    assert (tiles[:, :, [0, -1]] == 255).all()  # a white gap around each
    tiles = tiles[:, :, 1:-1, 1:-1]

    source = open_source(DataSettings())
    layer = MultiViewAugmentation(AugmentSettings(hue=0.3), num_views=2, image_size=16)
    for row, (index, image) in enumerate(source.ordered(order_seed(4, 0)).take(3)):
        small = tf.image.resize(tf.cast(image, tf.float32), [16, 16], antialias=True)
        # Another way of resizing may round a value that lies at a half apart.
        difference = np.abs(tiles[row, 0] - small.numpy())
        assert difference.max() <= 0.501
        draws = image_draws(views_seed(4, 0), index, 2)
        views = layer({"images": image[None], "draws": draws[None]})["images"][0].numpy()
        # One image alone takes other products than a batch; a value may round differently.
        assert np.abs(tiles[row, 1:].astype(int) - views).max() <= 1


def test_bad_output_is_one_line(tmp_path):
    done = run_tool(f"--output={tmp_path}/none/views.png")
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("error: --output=")
