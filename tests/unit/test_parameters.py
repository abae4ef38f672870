"""Parameters as their messages describe them."""

from typing import Any

import pytest

from pellucid.api.explain.v1 import methods_pb2 as pb
from pellucid.errors import InvalidArgument
from pellucid.parameters import parameters_of, resolve
from tests.support.toy_methods import Field, options, parameters_message

MIXED = parameters_message(
    "Mixed",
    count=Field("integer", options(default="3", minimum=1, maximum=9, unit="times")),
    share=Field("number", options(default="0.5", minimum=0, maximum=1)),
    loud=Field("boolean", options(default="true")),
    layer=Field("string", options()),
)


def test_every_field_is_described_by_its_options() -> None:
    count, share, loud, layer = parameters_of(MIXED.DESCRIPTOR)
    assert (count.name, count.type, count.default) == ("count", "integer", 3)
    assert (count.minimum, count.maximum, count.range) == (1, 9, "1 to 9 times")
    assert (share.type, share.default, share.unit) == ("number", 0.5, "")
    assert (loud.type, loud.default, loud.minimum) == ("boolean", True, None)
    assert (layer.type, layer.default) == ("string", None)
    assert count.description


def test_what_is_not_set_has_its_default_and_what_is_set_stays() -> None:
    found: Any = resolve(MIXED(count=7, loud=False), "mixed")  # type: ignore[call-arg]
    assert (found.count, found.share, found.loud) == (7, 0.5, False)
    assert not found.HasField("layer")


def test_the_message_that_came_stays_as_it_was() -> None:
    message = MIXED()
    resolve(message, "mixed")
    assert message == MIXED()


@pytest.mark.parametrize(
    ("field", "value"), [("count", 0), ("count", 10), ("share", 1.5), ("share", float("nan"))]
)
def test_a_value_that_is_out_of_range_is_named_with_the_range(field: str, value: float) -> None:
    with pytest.raises(InvalidArgument) as caught:
        resolve(MIXED(**{field: value}), "methods[0].mixed")
    assert caught.value.field == f"methods[0].mixed.{field}"
    assert caught.value.metadata["parameter"] == field
    assert caught.value.remedy.startswith("choose ")


@pytest.mark.parametrize(("field", "value"), [("count", 1), ("count", 9), ("share", 0.0)])
def test_the_ends_of_a_range_belong_to_it(field: str, value: float) -> None:
    assert getattr(resolve(MIXED(**{field: value}), "mixed"), field) == value


def test_a_field_without_options_is_no_parameter() -> None:
    bare = parameters_message("Bare", bare=Field("integer"))
    with pytest.raises(TypeError, match="bare is not described"):
        parameters_of(bare.DESCRIPTOR)


def test_a_message_within_a_message_is_no_parameter() -> None:
    with pytest.raises(TypeError):
        parameters_of(pb.Method.DESCRIPTOR)
