import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from msbreg_tf.data.labelled.multilabel import open_multilabel
from tests.data.labelled.tiny_voc import TinyVoc, expected_targets
from tests.data.sources.test_tfds import NumberedPictures


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    root = str(tmp_path_factory.mktemp("tfds"))
    TinyVoc(config="2007", data_dir=root).download_and_prepare()
    NumberedPictures(data_dir=root).download_and_prepare()
    return root


def numbers_of(data_dir, split):
    """The numbers of a split's images in the order of the files."""
    builder = tfds.builder("tiny_voc/2007", data_dir=data_dir)
    in_turn = tfds.ReadConfig(interleave_cycle_length=1)
    examples = builder.as_dataset(split=split, shuffle_files=False, read_config=in_turn)
    return [int(example["image/filename"].numpy()[:-4]) for example in examples]


@pytest.mark.parametrize("split", ["train+validation", "test", "train[:25%]"])
def test_targets_belong_to_their_images(data_dir, split):
    data = open_multilabel("tiny_voc/2007", split, data_dir)
    numbers = numbers_of(data_dir, split)
    np.testing.assert_array_equal(data.targets, expected_targets(numbers))
    assert data.targets.dtype == np.int8
    assert set(np.unique(data.targets)) == {-1, 0, 1}
    assert data.names[:3] == ("aeroplane", "bicycle", "bird")
    heights = [tf.io.decode_image(record).shape[0] for record in data.records]
    assert heights == [20 + number % 9 for number in numbers]


def test_images_are_squares_of_the_asked_range(data_dir):
    data = open_multilabel("tiny_voc/2007", "train", data_dir)
    pixels, good = zip(*data.images(16)(3, 8).as_numpy_iterator())
    assert np.stack(pixels).shape == (5, 16, 16, 3)
    assert all(good)
    # The middle pixel shows the first three classes, as bright or dark channels.
    shown = np.stack(pixels)[:, 8, 8] > 100
    np.testing.assert_array_equal(shown, data.targets[3:8, :3] == 1)


def test_fingerprints_tell_splits_apart_and_repeat(data_dir):
    splits = ("train", "validation", "train+validation", "test", "train")
    found = [open_multilabel("tiny_voc/2007", s, data_dir).fingerprint for s in splits]
    assert found[0] == found[-1]
    assert len(set(found)) == 4


def test_mocked_voc_and_no_object_at_all():
    """The name that the recipe uses, with TFDS's own features; the second image is empty."""
    png = tf.io.encode_png(tf.zeros([9, 9, 3], tf.uint8))

    def as_dataset(self, *args, **kwargs):
        labels, difficult = [[14, 11, 11], [], [11]], [[False, True, False], [], [True]]
        examples = [
            {"image": png, "objects": {"label": tf.constant(k, tf.int64), "is_difficult": d}}
            for k, d in zip(labels, difficult)
        ]
        signature = {
            "image": tf.TensorSpec([], tf.string),
            "objects": {
                "label": tf.TensorSpec([None], tf.int64),
                "is_difficult": tf.TensorSpec([None], tf.bool),
            },
        }
        return tf.data.Dataset.from_generator(lambda: examples, output_signature=signature)

    with tfds.testing.mock_data(as_dataset_fn=as_dataset):
        data = open_multilabel("voc/2007", "train+validation", None)
        [image, *_] = data.images(8)(0, 3).as_numpy_iterator()
    dog, person = data.names.index("dog"), data.names.index("person")
    assert len(data.names) == 20
    np.testing.assert_array_equal(data.targets[:, dog], [1, -1, 0])
    np.testing.assert_array_equal(data.targets[:, person], [1, -1, -1])
    assert np.sum(data.targets >= 0) == 3
    assert image[0].shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("dataset", "split", "message"),
    [
        ("numbered_pictures", "train", "no objects with labels.*voc/2007"),
        ("tiny_voc/2007", "trainval", r"--split=trainval: .*splits train, validation, test"),
        ("tiny_voc/2007", "train[:0]", r"--split=train\[:0\]: .*no data"),
    ],
)
def test_bad_data_sets_are_refused(data_dir, dataset, split, message):
    with pytest.raises(ValueError, match=message):
        open_multilabel(dataset, split, data_dir)
