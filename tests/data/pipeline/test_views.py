import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.augment.multiview import MultiViewAugmentation
from msbreg_tf.augment.settings import AugmentSettings
from msbreg_tf.data.pipeline.views import ViewPlan, steps_per_epoch, view_batches
from msbreg_tf.data.sources.folder import FolderSource
from tests.data.conftest import (
    crop_by_draws,
    memory_source,
    number_only,
    numbers_of,
    stream_source,
)

N, K, IMAGES = 4, 3, 15  # three steps in an epoch, three images left out of each
STEPS = IMAGES // N


@pytest.fixture(scope="module")
def folder(tmp_path_factory, jpegs) -> FolderSource:
    """15 files, two of them broken, of different sizes."""
    root = tmp_path_factory.mktemp("folder")
    for number in range(IMAGES):
        content = b"no image" if number in (0, 7) else jpegs[number % len(jpegs)]
        if number == 3:
            content = tf.io.encode_png(np.full((20, 30, 3), 99, np.uint8)).numpy()
        (root / f"{number:02}.jpg").write_bytes(content)
    return FolderSource("folder", root, [str(path) for path in sorted(root.iterdir())])


@pytest.fixture(scope="module", params=["memory", "stream", "folder"])
def source(request):
    if request.param == "folder":
        return request.getfixturevalue("folder")
    return {"memory": memory_source, "stream": stream_source}[request.param](IMAGES)


def batches(source, augment=crop_by_draws, start_step=0, num_steps=8, **options):
    options = {"seed": 5, "batch_size": N, "num_views": K, **options}
    views = view_batches(ViewPlan(source, augment, **options), start_step, num_steps)
    return list(views.as_numpy_iterator())


def test_shape_is_static_and_length_is_as_asked(source):
    dataset = view_batches(ViewPlan(source, crop_by_draws, 5, N, K), num_steps=5)
    assert dataset.element_spec == tf.TensorSpec([N, K, 8, 8, 3], tf.uint8)
    assert len(list(dataset)) == 5
    assert int(dataset.cardinality()) == 5  # or Keras's fit begins a step too many


def test_any_start_gives_the_tail_of_the_uninterrupted_run(source):
    whole = batches(source)
    for start in (2, STEPS, 2 * STEPS + 1):  # inside an epoch, at its start, inside a later one
        tail = batches(source, start_step=start)
        np.testing.assert_array_equal(np.stack(tail), np.stack(whole[start:]), f"from {start}")
    assert batches(source, start_step=8) == []


def test_global_seed_threads_and_chunks_do_not_matter(source, monkeypatch):
    whole = np.stack(batches(source))
    tf.random.set_seed(1234)
    monkeypatch.setattr("msbreg_tf.data.pipeline.views._CHUNK_BYTES", 2 * K * 12 * 12 * 3 * 4)
    dataset = view_batches(ViewPlan(source, crop_by_draws, 5, N, K), num_steps=8)
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.autotune.enabled = False
    alone = list(dataset.with_options(options).as_numpy_iterator())
    np.testing.assert_array_equal(np.stack(alone), whole)


def test_seed_decides(source):
    assert (np.stack(batches(source, seed=6)) != np.stack(batches(source))).any()


@pytest.mark.parametrize("open_numbers", [memory_source, stream_source])
def test_an_epoch_shows_no_image_twice_and_each_epoch_leaves_out_others(open_numbers):
    shown = numbers_of(batches(open_numbers(IMAGES), number_only, num_steps=12 * STEPS))
    epochs = np.reshape(shown, [12, STEPS * N])
    for epoch in epochs:
        assert len(set(epoch)) == STEPS * N
        assert set(epoch) <= set(range(IMAGES))
    assert len({tuple(epoch) for epoch in epochs}) == 12
    assert set(epochs.ravel()) == set(range(IMAGES))


def test_more_images_than_a_byte_counts_keep_their_numbers():
    shown = numbers_of(batches(memory_source(600), number_only, batch_size=100, num_steps=6))
    assert sorted(shown) == list(range(600))


def test_draws_depend_on_epoch_image_and_view():
    def first_draws(inputs):  # 24 bits of the first draw, as the three colours of a pixel
        bits = tf.cast(inputs["draws"][..., 0] * 2**24, tf.int64)
        parts = tf.stack([bits // 65536, bits // 256 % 256, bits % 256], axis=-1)
        return {"images": tf.cast(parts, tf.uint8)[:, :, tf.newaxis, tf.newaxis]}

    seen = np.stack(batches(memory_source(N), first_draws, num_steps=4)).reshape(-1, 3)
    assert len(np.unique(seen, axis=0)) == 4 * N * K


def test_draws_belong_to_the_image_and_not_to_its_place():
    """Two sources of the same images in different orders make the same views of each."""

    def number_and_draws(inputs):
        draw = tf.cast(inputs["draws"][..., :1] * 255, tf.uint8)[..., tf.newaxis, tf.newaxis]
        number = number_only(inputs)["images"]
        return {"images": tf.concat([number[..., :1], tf.repeat(draw, 2, axis=-1)], axis=-1)}

    def by_number(source):
        [found] = batches(source, number_and_draws, batch_size=12, num_steps=1)
        return {item[0, 0, 0, 0]: item.tolist() for item in found}

    memory, stream = by_number(memory_source(12)), by_number(stream_source(12))
    assert list(memory) != list(stream)
    assert memory == stream


@pytest.fixture
def counted(tmp_path):
    """A source in memory, and a function that says how many images it has decoded."""
    source = memory_source(IMAGES)
    log = tmp_path / "decoded"

    def decode(pixels):
        with tf.control_dependencies([tf.print("x", output_stream=f"file://{log}")]):
            return tf.identity(pixels)

    source._decode = decode
    return source, lambda: len(log.read_text().split())


def test_skipped_images_are_not_decoded(counted):
    source, num_decoded = counted
    assert len(batches(source, start_step=7 * STEPS + 1, num_steps=7 * STEPS + 2)) == 1
    assert num_decoded() == N


def test_images_of_other_workers_are_not_decoded(counted):
    source, num_decoded = counted
    [part] = batches(source, num_steps=1, rows=(1, 3))
    assert len(part) == num_decoded() == 2


def test_the_rows_of_all_workers_are_the_batch(source):
    """From inside a later epoch; the folder's images differ in size."""
    whole = np.stack(batches(source, start_step=STEPS + 1))
    parts = [
        np.stack(batches(source, start_step=STEPS + 1, rows=rows)) for rows in ((0, 2), (2, 4))
    ]
    assert {part.shape for part in parts} == {(7 - STEPS, 2, *whole.shape[2:])}
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_what_is_left_to_the_device_becomes_the_same_views(source):
    layer = MultiViewAugmentation(AugmentSettings(blur_probability=0.0), num_views=K, image_size=8)
    on_host = np.stack(batches(source, layer, num_steps=2)).astype(int)
    left = view_batches(ViewPlan(source, layer, 5, N, K, on_device=True), num_steps=2)
    on_device = np.stack([layer.finish_views(batch) for batch in left])
    tolerance = 1.0 if source.image_shape is None else 0.01  # lines are rounded once more
    assert np.abs(on_device - on_host).mean() < tolerance


@pytest.fixture(scope="module")
def large_files(tmp_path_factory):
    """Five JPEG files of 400 × 300 pixels with a photograph's spectrum, and one that is broken."""
    root = tmp_path_factory.mktemp("large")
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(300)[:, None], np.fft.rfftfreq(400))
    frequency[0, 0] = 1
    for number in range(5):
        spectrum = np.fft.rfft2(rng.normal(size=[3, 300, 400])) / frequency**1.2
        picture = np.moveaxis(np.fft.irfft2(spectrum, s=[300, 400]), 0, -1)
        picture = (120 + 50 * (picture - picture.mean()) / picture.std()).clip(0, 255)
        contents = tf.io.encode_jpeg(picture.astype(np.uint8), quality=90).numpy()
        (root / f"{number}.jpg").write_bytes(contents)
    (root / "5.jpg").write_bytes(b"no image")
    return FolderSource("folder", root, [str(path) for path in sorted(root.iterdir())])


@pytest.mark.parametrize("on_device", [False, True])
def test_large_jpegs_are_decoded_smaller_and_give_the_same_views(large_files, on_device):
    layer = MultiViewAugmentation(AugmentSettings(crop_area_min=0.3), num_views=K, image_size=24)

    def made(reduction, first=0):
        plan = ViewPlan(large_files, layer, 5, 2, K, reduction=reduction, on_device=on_device)
        found = view_batches(plan, first, num_steps=6)
        return np.stack([layer.finish_views(views) if on_device else views for views in found])

    whole, small = made(None).astype(float), made(layer.reduction)
    assert 0.01 < np.abs(small - whole).mean() < 2
    assert small.std() == pytest.approx(whole.std(), rel=0.01)
    np.testing.assert_array_equal(made(layer.reduction, first=4), small[4:])


def test_runs_on_a_worker_of_the_data_service(folder):
    dispatcher = tf.data.experimental.service.DispatchServer()
    address = dispatcher.target.split("://")[1]
    worker = tf.data.experimental.service.WorkerServer(
        tf.data.experimental.service.WorkerConfig(dispatcher_address=address)
    )
    dataset = view_batches(ViewPlan(folder, crop_by_draws, 5, N, K), num_steps=4)
    remote = dataset.apply(
        tf.data.experimental.service.distribute("parallel_epochs", dispatcher.target)
    )
    np.testing.assert_array_equal(
        np.stack(list(remote.as_numpy_iterator())), np.stack(batches(folder, num_steps=4))
    )
    del worker


def test_too_few_images_name_both_flags():
    with pytest.raises(ValueError, match=r"--batch_size=16.*--dataset.*15"):
        view_batches(ViewPlan(memory_source(IMAGES), crop_by_draws, batch_size=16))
    assert steps_per_epoch(15, 15) == 1
