import numpy as np

from msbreg_tf.data.images.grid import view_grid
from msbreg_tf.data.pipeline.probe import probe_views
from msbreg_tf.data.pipeline.views import ViewPlan, view_batches
from tests.data.conftest import crop_by_draws, memory_source, stream_source


def test_grid_puts_each_image_left_of_its_views():
    images = np.array([10, 20], np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    views = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)[..., None, None, None]
    views = views * np.ones((1, 1, 4, 4, 3), np.uint8)
    grid = view_grid(images, views)
    assert grid.shape == (2 * 6, 4 * 6, 3)
    np.testing.assert_array_equal(grid[3::6, 3::6, 0], [[10, 1, 2, 3], [20, 4, 5, 6]])
    np.testing.assert_array_equal(grid[0], 255)
    assert np.count_nonzero(grid == 255) == grid.size - 8 * 16 * 3


def test_probe_shows_the_views_of_the_first_step():
    for source in (memory_source(10), stream_source(10)):
        [batch] = view_batches(ViewPlan(source, crop_by_draws, 3, 6, 2), num_steps=1)
        images, views = probe_views(source, crop_by_draws, seed=3, num_views=2, count=6)
        np.testing.assert_array_equal(views, batch)
        assert images.shape == (6, 8, 8, 3)
