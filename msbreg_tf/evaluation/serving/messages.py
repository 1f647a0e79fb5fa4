"""The few messages of TensorFlow Serving that we write and read, as protobuf classes.

Their fields have the names, numbers and types of TensorFlow Serving's published .proto files
(tensorflow_serving/apis: model, predict, get_model_metadata, prediction_log), so that both sides
write the same bytes. A tensor or signature within them is `bytes` here, which an embedded message
is on the wire: TensorFlow's own TensorProto and SignatureDef read it. So neither client nor export
needs the package tensorflow-serving-api, which pins TensorFlow and protobuf.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "msbreg_tf.serving"
_STRING, _BYTES, _INT64 = "string", "bytes", "int64"
_ENTRY = [("key", 1, _STRING), ("value", 2, _BYTES)]  # of a map whose values are messages
# A star stands before what may be repeated.
_MESSAGES = {
    "Int64Value": [("value", 1, _INT64)],
    "ModelSpec": [
        ("name", 1, _STRING),
        ("version", 2, "Int64Value"),
        ("signature_name", 3, _STRING),
    ],
    "Tensor": _ENTRY,
    "PredictRequest": [("model_spec", 1, "ModelSpec"), ("inputs", 2, "*Tensor")],
    "PredictResponse": [("outputs", 1, "*Tensor"), ("model_spec", 2, "ModelSpec")],
    "PredictLog": [("request", 1, "PredictRequest")],
    "PredictionLog": [("predict_log", 6, "PredictLog")],
    "GetModelMetadataRequest": [("model_spec", 1, "ModelSpec"), ("metadata_field", 2, "*string")],
    "Any": [("type_url", 1, _STRING), ("value", 2, _BYTES)],
    "Metadata": [("key", 1, _STRING), ("value", 2, "Any")],
    "GetModelMetadataResponse": [("model_spec", 1, "ModelSpec"), ("metadata", 2, "*Metadata")],
    "Signature": _ENTRY,
    "SignatureDefMap": [("signature_def", 1, "*Signature")],
}


def _classes() -> dict[str, type]:
    file = descriptor_pb2.FileDescriptorProto(
        name="msbreg_tf/serving.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            kind, is_repeated = kind.lstrip("*"), kind.startswith("*")
            added = message.field.add(name=field, number=number)
            added.label = added.LABEL_REPEATED if is_repeated else added.LABEL_OPTIONAL
            if kind in _MESSAGES:
                added.type, added.type_name = added.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                added.type = getattr(added, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _MESSAGES
    }


_CLASSES = _classes()
ModelSpec = _CLASSES["ModelSpec"]
PredictRequest = _CLASSES["PredictRequest"]
PredictResponse = _CLASSES["PredictResponse"]
PredictionLog = _CLASSES["PredictionLog"]
GetModelMetadataRequest = _CLASSES["GetModelMetadataRequest"]
GetModelMetadataResponse = _CLASSES["GetModelMetadataResponse"]
SignatureDefMap = _CLASSES["SignatureDefMap"]
