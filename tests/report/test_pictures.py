import numpy as np
import pytest

from msbreg_tf.data.settings import DataSettings
from msbreg_tf.data.sources.sample import CLASSES, load_sample
from msbreg_tf.report import maps
from msbreg_tf.report.features import Features, pixel_features
from msbreg_tf.report.gallery import make_gallery
from msbreg_tf.report.pictures import Pictures, load_pictures
from msbreg_tf.report.sprites import sprite_of
from tests.report.fakes import fake_pictures


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(fake_pictures(tmp_path_factory.mktemp("pictures")))


def test_a_folders_subfolders_are_its_labels_and_broken_files_are_named(folder):
    data = DataSettings(dataset="folder", data_dir=folder, image_size=16)
    found = load_pictures(data, 100, seed=0)
    assert found.pixels.shape == (25, 16, 16, 3)
    assert found.classes == ("cat", "dog", "owl")
    assert found.label_kind == "folder"
    assert [found.classes[label] for label in found.labels] == [
        name.split("/")[0] for name in found.names
    ]
    assert found.broken == ("cat/broken.jpg",)
    assert found.total == 26
    few = load_pictures(data, 7, seed=1)
    assert len(few.names) + len(few.broken) == 7
    assert few.names != load_pictures(data, 7, seed=2).names


def test_a_flat_folder_has_no_labels(folder):
    data = DataSettings(dataset="folder", data_dir=f"{folder}/dog", image_size=16)
    found = load_pictures(data, 100, seed=0)
    assert found.labels is None
    assert found.classes == ()
    with pytest.raises(ValueError, match="no image in it"):
        load_pictures(DataSettings(dataset="folder", data_dir=f"{folder}/none"), 5, seed=0)


def test_the_shipped_sample_comes_with_its_classes():
    found = load_pictures(DataSettings(), 30, seed=0)
    pixels, labels = load_sample("train")
    np.testing.assert_array_equal(found.pixels, pixels[:30])
    np.testing.assert_array_equal(found.labels, labels[:30])
    assert found.classes == tuple(CLASSES)
    assert found.label_kind == "class"


def test_raw_pixels_are_compared_without_their_brightness():
    images = np.random.default_rng(0).integers(40, 120, [3, 16, 16, 3]).astype(np.uint8)
    images[1] = images[0] + 90  # the same, but brighter
    rows = pixel_features(images)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert unit[0] @ unit[1] == pytest.approx(1, abs=1e-5)
    assert unit[0] @ unit[2] < 0.5


def test_each_tile_of_a_sprite_is_found_at_its_place():
    colours = np.array([[250, 0, 0], [0, 250, 0], [0, 0, 250], [250, 250, 0], [0, 0, 0]], np.uint8)
    images = np.broadcast_to(colours[:, None, None], [5, 32, 32, 3])
    sprite = sprite_of(images, 20)
    assert (sprite.columns, sprite.rows) == (3, 2)
    assert [sprite.place(index) for index in range(5)] == [
        (0, 0), (50, 0), (100, 0), (0, 100), (50, 100),
    ]  # fmt: skip
    assert sprite.uri.startswith("data:image/webp;base64,")


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_groups_that_lie_apart_are_apart_on_the_map(method):
    rng = np.random.default_rng(0)
    centres = np.eye(3, 10)[np.arange(60) % 3]
    found = maps.projections(centres + 0.05 * rng.normal(size=[60, 10]), method, seed=0)
    assert list(found) == ["PCA", "t-SNE"][: 1 + (method == "tsne")]
    for points in found.values():
        assert points.min() == 0
        assert points.max() == 1
        means = np.stack([points[group::3].mean(axis=0) for group in range(3)])
        within = max(np.linalg.norm(points[g::3] - means[g], axis=1).mean() for g in range(3))
        between = min(np.linalg.norm(means[a] - means[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
        assert between > 3 * within


def test_clusters_are_numbered_by_their_size():
    centres = np.eye(3, 10)[np.repeat([0, 1, 2], [5, 30, 15])]
    labels = maps.clusters(centres + 0.01, 3, seed=0)
    assert np.bincount(labels).tolist() == [30, 15, 5]
    assert len(set(labels[5:35])) == 1


def test_a_map_of_features_that_are_all_the_same_is_one_point():
    for points in maps.projections(np.ones([9, 4]), "tsne", seed=0).values():
        assert np.isfinite(points).all()


def test_two_blue_skies_are_no_duplicates_but_two_copies_and_two_plain_sheets_are():
    """An encoder that finds all of them alike leaves the pixels to tell."""
    noise = np.random.default_rng(0).integers(0, 9, [7, 16, 16, 3])
    images = 4 * noise + np.array([60, 130, 220])  # skies, which one colour makes alike
    images[2] = 40 + 20 * noise[2]  # a photograph,
    images[3] = 45 + 19 * noise[2]  # and the same a little paler
    images[4:] = np.array([250, 250, 0])[:, None, None, None]  # two white sheets, one black
    names = tuple(f"{n}.png" for n in range(7))
    pictures = Pictures(images.astype(np.uint8), names, None, (), "folder", (), 7)
    rows = np.ones([7, 3], np.float32)
    features = Features(rows, None, pixel_features(pictures.pixels))
    found = make_gallery(pictures, features, "pca", 0).duplicates
    assert {pair[:2] for pair in found} == {(2, 3), (4, 5)}
