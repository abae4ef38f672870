"""Every parameter of the contracts says what it is, and what the client offers follows from it."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from pellucid.api.explain.v1 import methods_pb2
from pellucid.client.methods import METHODS, SEGMENTATIONS
from pellucid.parameters import Parameter, parameters_of

GROUPS = [
    (methods_pb2.Method.DESCRIPTOR, METHODS),
    (methods_pb2.Segmentation.DESCRIPTOR, SEGMENTATIONS),
]
KINDS = {"integer": int, "number": float, "boolean": bool, "string": str}


def choices(group: Descriptor) -> Iterator[FieldDescriptor]:
    return (field for field in group.fields if field.name != "extension")


def messages(descriptor: Descriptor) -> Iterator[Descriptor]:
    yield descriptor
    for field in descriptor.fields:
        if field.message_type is not None:
            yield from messages(field.message_type)


PARAMETERS = [
    pytest.param(parameter, id=f"{message.name}.{parameter.name}")
    for group, _ in GROUPS
    for choice in choices(group)
    for message in messages(choice.message_type)
    for parameter in parameters_of(message)
]


def test_there_are_parameters_of_every_type() -> None:
    assert {param.values[0].type for param in PARAMETERS} == set(KINDS)  # type: ignore[union-attr]


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_every_parameter_is_described(parameter: Parameter) -> None:
    assert parameter.description.endswith(".")


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_every_number_has_a_range(parameter: Parameter) -> None:
    is_number = parameter.type in ("integer", "number")
    assert (parameter.minimum is not None) == (parameter.maximum is not None) == is_number
    if is_number:
        assert parameter.minimum < parameter.maximum  # type: ignore[operator]


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_every_default_is_of_its_type_and_in_range(parameter: Parameter) -> None:
    if parameter.default is not None:
        assert type(parameter.default) is KINDS[parameter.type]
        assert parameter.accepts(parameter.default)


@pytest.mark.parametrize(("group", "classes"), GROUPS, ids=["methods", "segmentations"])
def test_the_client_has_a_class_for_each_with_the_same_fields(
    group: Descriptor, classes: dict[str, Any]
) -> None:
    contract = {one.name: [f.name for f in one.message_type.fields] for one in choices(group)}
    assert {name: [f.name for f in fields(kind)] for name, kind in classes.items()} == contract
