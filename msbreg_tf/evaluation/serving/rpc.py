"""TensorFlow Serving's gRPC interface, by grpcio, which comes with TensorFlow."""

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from msbreg_tf.errors import one_line
from msbreg_tf.evaluation.serving import messages
from msbreg_tf.evaluation.serving.address import Address
from msbreg_tf.evaluation.serving.answers import (
    IMAGES,
    SIGNATURE,
    Description,
    NotServedError,
    RefusedError,
    ServerAwayError,
)

_SERVICE = "/tensorflow.serving.PredictionService"
_AWAY = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
)
_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # By default it waits for up to two minutes before it connects to a server that is up again.
    ("grpc.max_reconnect_backoff_ms", 5000),
]


class RpcConnection:
    """A `Connection` over one gRPC channel, without encryption."""

    def __init__(self, address: Address, timeout: float):
        """Connects at the first question.

        Args:
          address: of scheme grpc.
          timeout: seconds.
        """
        self._address = address
        self._timeout = timeout
        self._channel = grpc.insecure_channel(f"{address.host}:{address.port}", _OPTIONS)

    def describe(self) -> Description:
        """See `Connection`."""
        question = messages.GetModelMetadataRequest(metadata_field=["signature_def"])
        self._fill(question.model_spec, self._address.version)
        answer = self._ask("GetModelMetadata", question, messages.GetModelMetadataResponse)
        signatures = {}
        for entry in answer.metadata:
            for pair in messages.SignatureDefMap.FromString(entry.value.value).signature_def:
                if not pair.key.startswith("__"):
                    definition = meta_graph_pb2.SignatureDef.FromString(pair.value)
                    signatures[pair.key] = (sorted(definition.inputs), sorted(definition.outputs))
        return Description(answer.model_spec.version.value, signatures)

    def predict(self, images: list[bytes], version: int) -> dict[str, np.ndarray]:
        """See `Connection`."""
        question = messages.PredictRequest()
        self._fill(question.model_spec, version)
        question.model_spec.signature_name = SIGNATURE
        tensor = tf.make_tensor_proto(images, tf.string, [len(images)])
        question.inputs.add(key=IMAGES, value=tensor.SerializeToString())
        answer = self._ask("Predict", question, messages.PredictResponse)
        return {
            entry.key: tf.make_ndarray(tensor_pb2.TensorProto.FromString(entry.value))
            for entry in answer.outputs
        }

    def close(self) -> None:
        """See `Connection`."""
        self._channel.close()

    def _fill(self, spec, version) -> None:
        spec.name = self._address.model
        if version is not None:
            spec.version.value = version

    def _ask(self, method: str, question, answer: type):
        call = self._channel.unary_unary(
            f"{_SERVICE}/{method}",
            request_serializer=type(question).SerializeToString,
            response_deserializer=answer.FromString,
        )
        try:
            return call(question, timeout=self._timeout)
        except grpc.RpcError as error:
            reason = one_line(ValueError(error.details() or error.code().name))
            if error.code() in _AWAY:
                raise ServerAwayError(reason) from error
            is_missing = error.code() == grpc.StatusCode.NOT_FOUND
            raise (NotServedError if is_missing else RefusedError)(reason) from error
