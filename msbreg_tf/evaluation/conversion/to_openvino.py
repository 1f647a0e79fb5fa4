"""OpenVINO's intermediate representation (.xml and .bin), read from the SavedModel directly."""

import numpy as np

from msbreg_tf.evaluation.conversion.target import EXACT, Job, Run, Target, pixels_in

_NOTE = (
    "On CPUs with bfloat16 OpenVINO computes in it unless told otherwise, twice as fast and off by "
    'about 4e-3. The difference here was measured with {"INFERENCE_PRECISION_HINT": "f32"}.'
)


def _write(job: Job, path: str) -> None:
    import openvino

    model = openvino.Core().read_model(job.encoder.path)
    openvino.save_model(model, path, compress_to_fp16=False)


def _load(path: str) -> Run:
    import openvino

    model = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(images: np.ndarray) -> np.ndarray:
        return model({"image": images})["embedding"]

    return run


def _facts(job: Job):
    return {**pixels_in(job), "note": _NOTE}


TARGET = Target(
    what="OpenVINO",
    suffix=".xml",
    runner="OpenVINO",
    bars=EXACT,
    packages={"openvino": "openvino"},
    extra="openvino",
    write=_write,
    load=_load,
    facts=_facts,
)
