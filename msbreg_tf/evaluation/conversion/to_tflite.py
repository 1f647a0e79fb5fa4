"""TFLite (LiteRT), of builtin operations only; run again by TensorFlow's own interpreter.

float32 and float16 hold the export's signature: images of any size. int8 holds the encoder alone,
for images of the training size: resizing in 8 bits would lose the pixels' places.
"""

import os
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

from msbreg_tf.evaluation.conversion.target import EXACT, Bar, Job, Run, Target, pixels_in

if TYPE_CHECKING:
    from msbreg_tf.evaluation.features.exported import ExportedEncoder

_BARS = {**EXACT, "float16": Bar(5e-3, 0.9999), "int8": Bar(0.1, 0.99)}


def _check(encoder: "ExportedEncoder", precision: str) -> None:
    if precision == "int8" and not (encoder.weights() and encoder.image_size):
        raise ValueError(
            "--precision=int8: the export is not one of this package, which have the encoder apart "
            "from its preprocessing. Use float32 or float16."
        )


def _write(job: Job, path: str) -> None:
    if job.precision == "int8":
        with tempfile.TemporaryDirectory(dir=os.path.dirname(path)) as folder:
            _save_encoder_alone(job, folder)
            content = _converted(job, folder)
    else:
        content = _converted(job, job.encoder.path)
    with open(path, "wb") as file:
        file.write(content)


def _converted(job: Job, folder: str) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["serving_default"])
    if job.precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if job.precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if job.precision == "int8":
        squares = job.samples.calibration.astype(np.float32)
        converter.representative_dataset = lambda: ({"image": image[None]} for image in squares)
    return converter.convert()


def _save_encoder_alone(job: Job, folder: str) -> None:
    """A SavedModel of the export's encoder without what is before it."""
    import tensorflow as tf

    size = job.encoder.image_size
    alone = tf.Module()
    alone.loaded = tf.saved_model.load(job.encoder.path)
    spec = tf.TensorSpec([None, size, size, 3], tf.float32, "image")
    serve = tf.function(
        lambda image: {"embedding": alone.loaded.encoder(image, training=False)},
        input_signature=[spec],
    )
    tf.saved_model.save(alone, folder, signatures={"serving_default": serve})


def _load(path: str) -> Run:
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(model_path=path)
    (image,), (embedding,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(images: np.ndarray) -> np.ndarray:
        interpreter.resize_tensor_input(image["index"], images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(image["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(embedding["index"])

    return run


def _facts(job: Job) -> dict[str, Any]:
    facts = pixels_in(job)
    if job.precision == "int8":
        size = job.encoder.image_size
        facts["input"] = f"image: float32 [batch, {size}, {size}, 3], RGB in 0–255"
        facts["preprocessing"] = (
            f"To be done before: shorter side to {size} pixels (bilinear, antialiased), central "
            f"square of {size}. Normalisation is inside."
        )
        facts["calibration"] = f"{len(job.samples.calibration)} images of {job.samples.name}"
    return facts


TARGET = Target(
    what="TFLite",
    suffix=".tflite",
    runner="TensorFlow's TFLite interpreter",
    bars=_BARS,
    packages={},
    extra="",
    write=_write,
    load=_load,
    facts=_facts,
    check=_check,
    any_size=lambda precision: precision != "int8",
    measures_knn=lambda precision: precision == "int8",
)
