"""The warm-up record of an export: requests that TensorFlow Serving runs before it serves.

The first request of a signature takes seconds, because TensorFlow then plans the graph. A server
that finds <export>/assets.extra/tf_serving_warmup_requests runs what is recorded there while it
loads. A record that cannot be run makes it refuse the model: so an export is replayed before it
gets its name.
"""

import contextlib
import logging
import os
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from msbreg_tf.errors import RunFailedError, one_line
from msbreg_tf.evaluation.serving import messages

RECORD = os.path.join("assets.extra", "tf_serving_warmup_requests")
_GREY = 128


def write_warmup(folder: str, image_size: int) -> None:
    """Records one request of each signature of an export, some hundred bytes in all.

    Args:
      folder: of the SavedModel.
      image_size: side S in pixels of the grey image that is asked for.
    """
    pixels = tf.fill([image_size, image_size, 3], tf.constant(_GREY, tf.uint8))
    encoded = tf.make_tensor_proto([tf.io.encode_jpeg(pixels).numpy()])
    grey = tf.make_tensor_proto(float(_GREY), tf.float32, [1, image_size, image_size, 3])
    # One value that stands for all: S² · 3 numbers would be 600 kB at 224 pixels.
    repeated = type(grey)(dtype=grey.dtype, tensor_shape=grey.tensor_shape, float_val=[_GREY])
    os.makedirs(os.path.dirname(os.path.join(folder, RECORD)), exist_ok=True)
    with tf.io.TFRecordWriter(os.path.join(folder, RECORD)) as file:
        for signature, name, tensor in (
            ("serving_default", "image", repeated),
            ("serve_bytes", "image_bytes", encoded),
        ):
            log = messages.PredictionLog()
            request = log.predict_log.request
            # The model's name, which a server gives it, is not compared with this one.
            request.model_spec.name = "default"
            request.model_spec.signature_name = signature
            request.inputs.add(key=name, value=tensor.SerializeToString())
            file.write(log.SerializeToString())


def replay_warmup(folder: str) -> int:
    """Runs the recorded requests on the SavedModel beside them, in a session as a server does.

    Args:
      folder: of the SavedModel.

    Returns:
      How many requests were run.

    Raises:
      RunFailedError: a request fails, or its answer is not finite.
    """
    on_host = tf.compat.v1.ConfigProto(device_count={"GPU": 0})  # a run may hold all of a GPU
    try:
        logs = [
            messages.PredictionLog.FromString(record.numpy())
            for record in tf.data.TFRecordDataset(os.path.join(folder, RECORD))
        ]
        with tf.Graph().as_default(), tf.compat.v1.Session(config=on_host) as session:
            with _without_warnings():  # that this loader, the server's own, is an old one
                loaded = tf.compat.v1.saved_model.load(session, ["serve"], folder)
            for log in logs:
                _replay(session, loaded, log.predict_log.request)
    except Exception as error:  # whatever protobuf, TensorFlow or the model stumble over
        raise RunFailedError(
            f"{folder}: the export does not answer its own warm-up request ({one_line(error)}), so "
            "that TensorFlow Serving would not load it. It is not kept; checkpoints are."
        ) from error
    return len(logs)


def _replay(session: tf.compat.v1.Session, loaded, request) -> None:
    name = request.model_spec.signature_name
    signature = loaded.signature_def[name]
    feeds = {
        signature.inputs[entry.key].name: tf.make_ndarray(_tensor_proto(entry.value))
        for entry in request.inputs
    }
    outputs = {key: info.name for key, info in signature.outputs.items()}
    for key, value in session.run(outputs, feeds).items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise ValueError(f"{name} gives {key} that is not finite")


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _tensor_proto(content: bytes):
    return type(tf.make_tensor_proto(0)).FromString(content)
