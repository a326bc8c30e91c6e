"""The three configuration files of the server, and the protobuf messages that the server reads them with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from tensorflow_serving.config import model_server_config_pb2

from tests.tools.serving.files import SERVING

_FIELD = descriptor_pb2.FieldDescriptorProto
_INT64, _BOOL, _STRING = ".google.protobuf.Int64Value", ".google.protobuf.BoolValue", ".google.protobuf.StringValue"

# tensorflow-serving-api does not have these two messages. Names and types are those of session_bundle_config.proto and
# monitoring_config.proto in TensorFlow Serving. The text form has no field numbers, so that 8 and 9 are arbitrary.
_MESSAGES: dict[str, dict[str, tuple[int, int, str]]] = {
    "BatchingParameters": {
        "max_batch_size": (1, _FIELD.TYPE_MESSAGE, _INT64),
        "batch_timeout_micros": (2, _FIELD.TYPE_MESSAGE, _INT64),
        "max_enqueued_batches": (3, _FIELD.TYPE_MESSAGE, _INT64),
        "num_batch_threads": (4, _FIELD.TYPE_MESSAGE, _INT64),
        "thread_pool_name": (5, _FIELD.TYPE_MESSAGE, _STRING),
        "allowed_batch_sizes": (6, _FIELD.TYPE_INT64, ""),
        "pad_variable_length_inputs": (7, _FIELD.TYPE_BOOL, ""),
        "enable_large_batch_splitting": (8, _FIELD.TYPE_MESSAGE, _BOOL),
        "max_execution_batch_size": (9, _FIELD.TYPE_MESSAGE, _INT64),
    },
    "PrometheusConfig": {"enable": (1, _FIELD.TYPE_BOOL, ""), "path": (2, _FIELD.TYPE_STRING, "")},
    "MonitoringConfig": {"prometheus_config": (1, _FIELD.TYPE_MESSAGE, ".tensorflow.serving.PrometheusConfig")},
}


def create_message_class(name: str) -> Callable[[], Any]:
    """Return the class of a message that tensorflow-serving-api does not have."""
    file = descriptor_pb2.FileDescriptorProto(
        name="not_in_the_api.proto", package="tensorflow.serving", syntax="proto3", dependency=["wrappers.proto"]
    )
    for message_name, fields in _MESSAGES.items():
        message = file.message_type.add(name=message_name)
        for field_name, (number, kind, type_name) in fields.items():
            label = _FIELD.LABEL_REPEATED if field_name == "allowed_batch_sizes" else _FIELD.LABEL_OPTIONAL
            field = message.field.add(name=field_name, number=number, type=kind, label=label)
            if type_name:
                field.type_name = type_name
    wrappers = descriptor_pb2.FileDescriptorProto.FromString(wrappers_pb2.DESCRIPTOR.serialized_pb)
    wrappers.name = "wrappers.proto"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(wrappers)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tensorflow.serving.{name}"))


FILES: dict[str, Callable[[], Any]] = {
    "models.config": model_server_config_pb2.ModelServerConfig,
    "batching_parameters.txt": create_message_class("BatchingParameters"),
    "monitoring.config": create_message_class("MonitoringConfig"),
}


def read_configuration(name: str) -> Any:
    return text_format.Parse((SERVING / name).read_text(encoding="utf-8"), FILES[name]())
