"""tools/serve/, read by protobuf with the fields that TensorFlow Serving publishes."""

import pathlib

import pytest
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)

SERVE = pathlib.Path(__file__).resolve().parents[2] / "tools" / "serve"
INT64, STRING, BOOL = "TYPE_INT64", "TYPE_STRING", "TYPE_BOOL"
NUMBER = ".google.protobuf.Int64Value"
# session_bundle_config.proto, monitoring_config.proto, model_server_config.proto and
# file_system_storage_path_source.proto: {message: {field: (number, type)}}; a star: repeated.
PUBLISHED = {
    "BatchingParameters": {
        "max_batch_size": (1, NUMBER), "batch_timeout_micros": (2, NUMBER),
        "max_enqueued_batches": (3, NUMBER), "num_batch_threads": (4, NUMBER),
        "allowed_batch_sizes": (6, "*" + INT64), "pad_variable_length_inputs": (7, BOOL),
    },
    "PrometheusConfig": {"enable": (1, BOOL), "path": (2, STRING)},
    "MonitoringConfig": {"prometheus_config": (1, ".s.PrometheusConfig")},
    "Latest": {"num_versions": (1, "TYPE_UINT32")},
    "Policy": {"latest": (100, ".s.Latest")},
    "ModelConfig": {
        "name": (1, STRING), "base_path": (2, STRING), "model_platform": (4, STRING),
        "model_version_policy": (7, ".s.Policy"),
    },
    "ModelConfigList": {"config": (1, "*.s.ModelConfig")},
    "ModelServerConfig": {"model_config_list": (1, ".s.ModelConfigList")},
}  # fmt: skip


@pytest.fixture(scope="module")
def read():
    """Reads a file of tools/serve/ as a message."""
    file = descriptor_pb2.FileDescriptorProto(name="s.proto", package="s", syntax="proto3")
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    for name, fields in PUBLISHED.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            added = message.field.add(name=field, number=number)
            added.label = added.LABEL_REPEATED if kind[0] == "*" else added.LABEL_OPTIONAL
            kind = kind.lstrip("*")
            if kind[0] == ".":
                added.type, added.type_name = added.TYPE_MESSAGE, kind
            else:
                added.type = getattr(added, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)

    def parse(name, message):
        kind = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"s.{message}"))
        return text_format.Parse((SERVE / name).read_text(), kind())

    return parse


def test_a_request_of_tools_embed_fits_into_a_batch(read):
    batching = read("batching.config", "BatchingParameters")
    from msbreg_tf.evaluation.settings import BatchSettings

    assert batching.max_batch_size.value >= BatchSettings().batch_size
    assert batching.num_batch_threads.value > 0
    assert 0 < batching.batch_timeout_micros.value < 1e5
    sizes = list(batching.allowed_batch_sizes)
    assert sizes == sorted(sizes)
    assert not sizes or sizes[-1] == batching.max_batch_size.value


def test_the_model_is_called_as_the_docs_call_it(read):
    (model,) = read("models.config", "ModelServerConfig").model_config_list.config
    page = (SERVE.parents[1] / "docs" / "serving.md").read_text()
    assert f"/v1/models/{model.name}:predict" in page
    assert f":{model.base_path}:ro" in page
    assert model.model_version_policy.latest.num_versions == 1
    for file in SERVE.glob("*.config"):
        assert f"/serve/{file.name}" in page


def test_metrics_are_where_prometheus_looks(read):
    monitoring = read("monitoring.config", "MonitoringConfig").prometheus_config
    assert monitoring.enable
    assert monitoring.path in (SERVE / "monitoring.config").read_text().splitlines()[0]


def test_a_field_that_does_not_exist_is_noticed(read, tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "SERVE", tmp_path)
    (tmp_path / "batching.config").write_text("max_batch_sizes { value: 1 }")
    with pytest.raises(text_format.ParseError, match="max_batch_sizes"):
        read("batching.config", "BatchingParameters")
