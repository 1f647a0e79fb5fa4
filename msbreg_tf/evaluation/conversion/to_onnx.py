"""ONNX, opset 17, by tf2onnx; run again by ONNX Runtime.

tf2onnx ends without an error when it meets an operation that it cannot translate. The file is then
refused by ONNX Runtime, and so here.
"""

import logging

import numpy as np

from msbreg_tf.evaluation.conversion.target import EXACT, Job, Run, Target, pixels_in

OPSET = 17
_AXES = ("batch", "height", "width")


def _write(job: Job, path: str) -> None:
    import tensorflow as tf
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    loaded = tf.saved_model.load(job.encoder.path)  # the variables live as long as it does
    serve = loaded.signatures["serving_default"]
    spec = serve.structured_input_signature[1]["image"]
    answer = tf.function(lambda image: {"embedding": serve(image=image)["embedding"]})
    model, _ = tf2onnx.convert.from_function(
        answer, input_signature=[tf.TensorSpec(spec.shape, spec.dtype, "image")], opset=OPSET
    )
    for value in (*model.graph.input, *model.graph.output):
        for axis, size in zip(_AXES, value.type.tensor_type.shape.dim):
            if not size.dim_value:
                size.dim_param = axis  # tf2onnx calls it unk__765
    facts = {"image": pixels_in(job)["input"], "export": job.encoder.fingerprint}
    for key, value in facts.items():
        model.metadata_props.add(key=key, value=value)
    with open(path, "wb") as file:
        file.write(model.SerializeToString())


def _load(path: str) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(images: np.ndarray) -> np.ndarray:
        return session.run(["embedding"], {"image": images})[0]

    return run


def _facts(job: Job):
    return {**pixels_in(job), "opset": OPSET}


TARGET = Target(
    what="ONNX",
    suffix=".onnx",
    runner="ONNX Runtime",
    bars=EXACT,
    packages={"tf2onnx": "tf2onnx", "onnx": "onnx", "onnxruntime": "onnxruntime"},
    extra="onnx",
    write=_write,
    load=_load,
    facts=_facts,
)
