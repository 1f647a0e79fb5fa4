"""A stand-in for TensorFlow Serving, made of its published protos: no server of it can be had here.

    python -m tests.evaluation.serving.stand_in export --name=encoder --rest_port=8501 --port=8500

It loads the highest numeric version below the base path in graph mode, as the C++ loader does,
replays the warm-up record, and answers REST (:predict in rows and columns, versions, status,
metadata) and gRPC (Predict, GetModelMetadata). It proves names, dtypes, loadability and wire
format; it does not prove how TensorFlow Serving itself behaves: it does not batch, and has no
policy of versions but the highest. Port 0 takes a free one; a line on stdout says which.
"""

import argparse
import base64
import concurrent.futures
import http.server
import json
import pathlib
import re
import threading

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

RECORD = "assets.extra/tf_serving_warmup_requests"


class ServableError(Exception):
    """No such model, version or signature: status 404, NOT_FOUND."""


class Servable:
    """The newest version of one model, in a session."""

    def __init__(self, name: str, base: pathlib.Path):
        """Loads it, and runs its warm-up record: what fails there, fails here."""
        self.name = name
        self.version = max(int(each.name) for each in base.iterdir() if each.name.isdigit())
        folder = base / str(self.version)
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            loaded = tf.compat.v1.saved_model.load(self._session, ["serve"], str(folder))
        self.signatures = {
            key: value for key, value in loaded.signature_def.items() if not key.startswith("__")
        }
        self.warmed_up = 0
        if (folder / RECORD).exists():
            for record in tf.data.TFRecordDataset(str(folder / RECORD)):
                log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
                request = log.predict_log.request
                tensors = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
                self.run(request.model_spec.signature_name, tensors)
                self.warmed_up += 1

    def find(self, name: str, version) -> None:
        """Raises ServableError if another model or version is asked for."""
        if name != self.name:
            raise ServableError(f"Servable not found for request: Latest({name})")
        if version is not None and version != self.version:
            raise ServableError(f"Servable not found for request: Specific({name}, {version})")

    def signature(self, name: str):
        """Its definition; `serving_default` of no name."""
        name = name or "serving_default"
        if name not in self.signatures:
            raise ServableError(f'Serving signature name: "{name}" not found in signature def')
        return self.signatures[name]

    def run(self, signature: str, tensors) -> dict[str, np.ndarray]:
        """The outputs for {input: array}."""
        definition = self.signature(signature)
        if tensors.keys() != set(definition.inputs):
            raise ValueError(f"input keys {sorted(tensors)}, expected {sorted(definition.inputs)}")
        for key, value in tensors.items():
            wanted = tf.as_dtype(definition.inputs[key].dtype).as_numpy_dtype
            if value.dtype != np.dtype(wanted):
                raise ValueError(f"{key} is {value.dtype}, expected {np.dtype(wanted)}")
        feeds = {definition.inputs[key].name: value for key, value in tensors.items()}
        fetches = {key: info.name for key, info in definition.outputs.items()}
        return self._session.run(fetches, feeds)


def answer_json(servable: Servable, question) -> dict:
    """The answer to a :predict request, in rows or columns."""
    definition = servable.signature(question.get("signature_name", ""))
    dtypes = {key: tf.as_dtype(i.dtype).as_numpy_dtype for key, i in definition.inputs.items()}
    if "instances" in question:
        rows = question["instances"]
        is_named = isinstance(rows[0], dict) and rows[0].keys() != {"b64"}
        columns = {k: [row[k] if is_named else row for row in rows] for k in dtypes}
    else:
        columns = question["inputs"]
        if not (isinstance(columns, dict) and columns.keys() == dtypes.keys()):
            columns = {next(iter(dtypes)): columns}
    tensors = {key: np.array(_decoded(columns[key]), dtypes[key]) for key in columns}
    outputs = servable.run(question.get("signature_name", ""), tensors)
    outputs = {key: value.tolist() for key, value in outputs.items()}
    (only,) = outputs.values() if len(outputs) == 1 else (None,)
    if "inputs" in question:
        return {"outputs": outputs if only is None else only}
    rows = [dict(zip(outputs, row)) for row in zip(*outputs.values())]
    return {"predictions": rows if only is None else only}


def _decoded(value):
    if isinstance(value, dict):
        return base64.b64decode(value["b64"], validate=True)
    return [_decoded(each) for each in value] if isinstance(value, list) else value


def metadata_of(servable: Servable) -> get_model_metadata_pb2.SignatureDefMap:
    """Its signatures."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for key, value in servable.signatures.items():
        signatures.signature_def[key].CopyFrom(value)
    return signatures


def handler_of(servable: Servable) -> type:
    """The REST interface."""
    path = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+))?(/metadata|:predict)?")

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_):
            pass

        def do_GET(self):
            self._answer(None)

        def do_POST(self):
            self._answer(self.rfile.read(int(self.headers["Content-Length"])))

        def _answer(self, body):
            try:
                status, answer = 200, self._content(body)
            except ServableError as error:
                status, answer = 404, {"error": str(error)}
            except (ValueError, KeyError, tf.errors.InvalidArgumentError) as error:
                status, answer = 400, {"error": str(error)}
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _content(self, body):
            match = path.fullmatch(self.path)
            if not match:
                raise ValueError(f"Malformed request: {self.command} {self.path}")
            version = None if match[2] is None else int(match[2])
            servable.find(match[1], version)
            if match[3] == ":predict":
                return answer_json(servable, json.loads(body))
            if match[3] == "/metadata":
                signatures = json_format.MessageToDict(
                    metadata_of(servable), preserving_proto_field_name=True
                )
                spec = {"name": servable.name, "version": str(servable.version)}
                return {"model_spec": spec, "metadata": {"signature_def": signatures}}
            status = {"error_code": "OK", "error_message": ""}
            state = {"version": str(servable.version), "state": "AVAILABLE", "status": status}
            return {"model_version_status": [state]}

    return Handler


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """The gRPC interface."""

    def __init__(self, servable: Servable):
        self._servable = servable

    def Predict(self, request, context):  # noqa: N802
        self._find(request.model_spec, context)
        tensors = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
        try:
            outputs = self._servable.run(request.model_spec.signature_name, tensors)
        except ServableError as error:
            context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        except (ValueError, tf.errors.InvalidArgumentError) as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        response = predict_pb2.PredictResponse()
        self._fill(response.model_spec)
        for key, value in outputs.items():
            response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
        return response

    def GetModelMetadata(self, request, context):  # noqa: N802
        self._find(request.model_spec, context)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        self._fill(response.model_spec)
        response.metadata["signature_def"].Pack(metadata_of(self._servable))
        return response

    def _find(self, spec, context):
        version = spec.version.value if spec.HasField("version") else None
        try:
            self._servable.find(spec.name, version)
        except ServableError as error:
            context.abort(grpc.StatusCode.NOT_FOUND, str(error))

    def _fill(self, spec):
        spec.name = self._servable.name
        spec.version.value = self._servable.version


def main() -> None:
    """Serves until it is killed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", type=pathlib.Path)
    parser.add_argument("--name", default="encoder")
    parser.add_argument("--rest_port", type=int, default=0)
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    servable = Servable(given.name, given.base)
    pool = concurrent.futures.ThreadPoolExecutor(8)
    options = [("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)]
    rpc = grpc.server(pool, options=options)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(servable), rpc
    )
    port = rpc.add_insecure_port(f"127.0.0.1:{given.port}")
    rpc.start()
    rest = http.server.ThreadingHTTPServer(("127.0.0.1", given.rest_port), handler_of(servable))
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    print(
        json.dumps(
            {"rest": rest.server_port, "grpc": port, "version": servable.version}
            | {"warmed_up": servable.warmed_up}
        ),
        flush=True,
    )
    rpc.wait_for_termination()


if __name__ == "__main__":
    main()
