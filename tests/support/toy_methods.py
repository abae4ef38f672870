"""Methods that no contract knows: their parameters are messages that are made when a test runs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from explain_service.attribution import Attribution, ExplainInput
from explain_service.methods.base import Method, Workload
from explain_service.run_control import RunControl
from pellucid.api.common.v1 import parameter_pb2
from pellucid.api.explain.v1 import explain_pb2, methods_pb2

_TYPES: Final = {
    "integer": descriptor_pb2.FieldDescriptorProto.TYPE_UINT32,
    "number": descriptor_pb2.FieldDescriptorProto.TYPE_DOUBLE,
    "boolean": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
    "string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
}
PACKAGE: Final = "pellucid.tests"


@dataclass(frozen=True)
class Field:
    """One field; without options it is no parameter."""

    type: str
    options: parameter_pb2.ParameterOptions | None = None


def parameters_message(name: str, **fields: Field) -> type[Message]:
    """A message `pellucid.tests.<name>`; equal fields give the same message."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"pellucid/tests/{name}.proto",
        package=PACKAGE,
        syntax="proto3",
        dependency=[parameter_pb2.DESCRIPTOR.name],
    )
    message = file.message_type.add(name=name)
    for number, (key, field) in enumerate(fields.items(), start=1):
        made = message.field.add(
            name=key,
            number=number,
            type=_TYPES[field.type],
            label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
            proto3_optional=True,
            oneof_index=number - 1,
        )
        message.oneof_decl.add(name=f"_{key}")
        if field.options is not None:
            made.options.Extensions[parameter_pb2.parameter].CopyFrom(field.options)
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))


def packed(parameters: Message) -> methods_pb2.Method:
    """A method of a request, by the message of its parameters."""
    method = methods_pb2.Method()
    method.extension.Pack(parameters)
    return method


Act = Callable[[ExplainInput, RunControl], list[Attribution]]


def maps_of(value: float, count: int | None = None) -> Act:
    """Gives maps of one value, to all targets or to the first `count`."""

    def act(inputs: ExplainInput, control: RunControl) -> list[Attribution]:
        control.advance(1)
        made = Attribution(map=np.full(inputs.plane, value, np.float32))
        return [made for _ in inputs.targets][:count]

    return act


def failing(error: Exception) -> Act:
    """Raises."""

    def act(inputs: ExplainInput, control: RunControl) -> list[Attribution]:
        raise error

    return act


class ScriptedMethod(Method[Any]):
    """Does what a test says; it has no parameters and asks no model."""

    title = "Scripted"
    description = "Does what a test says."
    paper = ""
    runtime = explain_pb2.RUNTIME_LOCAL_COPY

    def __init__(self, name: str, act: Act) -> None:
        self.name = name  # type: ignore[misc]  # of each object here, for several in one registry
        self.message = parameters_message(name.title())  # type: ignore[misc]
        self._act = act

    @property
    def asked(self) -> methods_pb2.Method:
        """As a request names it."""
        return packed(self.message())

    def unavailable(self, model: Any, backends: Any) -> str:
        return ""

    def calls(self, parameters: Any, workload: Workload) -> int:
        return 1

    def explain(
        self, parameters: Any, inputs: ExplainInput, backends: Any, control: RunControl
    ) -> list[Attribution]:
        return self._act(inputs, control)

    def precision(self, inputs: ExplainInput) -> str:
        return "float32"

    def libraries(self, inputs: ExplainInput) -> tuple[str, ...]:
        return ()


def options(**said: Any) -> parameter_pb2.ParameterOptions:
    """Of a field that is a parameter."""
    return parameter_pb2.ParameterOptions(**{"description": "A parameter."} | said)
