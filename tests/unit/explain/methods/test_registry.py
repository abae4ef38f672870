"""Which methods there are, how a request names them, and that each has one home."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from explain_service.methods import METHODS, MethodRegistry
from explain_service.methods.lime import Lime
from explain_service.methods.registry import encode_method
from pellucid.api.explain.v1 import methods_pb2 as pb
from pellucid.errors import InvalidArgument
from pellucid.parameters import parameters_of
from tests.support.toy_methods import (
    Field,
    ScriptedMethod,
    maps_of,
    options,
    packed,
    parameters_message,
)

ROOT = Path(__file__).parents[4]
NAN = float("nan")
every = pytest.mark.parametrize("method", list(METHODS), ids=lambda method: method.name)


def decode(*messages: pb.Method, registry: MethodRegistry = METHODS) -> Any:
    return registry.decode(messages, "methods")


def scripted(name: str) -> ScriptedMethod:
    return ScriptedMethod(name, maps_of(1.0))


def test_the_methods_are_those_of_the_contract_in_its_order() -> None:
    fields = [
        field
        for field in pb.Method.DESCRIPTOR.oneofs_by_name["method"].fields
        if field.name != "extension"
    ]
    assert [method.name for method in METHODS] == [field.name for field in fields]
    messages = [method.message.DESCRIPTOR for method in METHODS]
    assert messages == [field.message_type for field in fields]


@every
def test_every_method_says_what_it_is_and_where_it_was_published(method: Any) -> None:
    assert method.title
    assert method.description.endswith(".")
    assert method.paper.startswith("arXiv:")
    assert method.measures or method.name == "grad_cam"


@every
def test_every_parameter_is_described_and_every_number_has_a_range(method: Any) -> None:
    described = parameters_of(method.message.DESCRIPTOR)
    assert described
    for parameter in described:
        assert parameter.description
        if parameter.type in ("integer", "number"):
            assert parameter.minimum is not None
            assert parameter.maximum is not None
            assert parameter.default is not None
            assert parameter.accepts(parameter.default)


def test_what_is_not_set_takes_its_default_and_is_in_the_receipt() -> None:
    ((method, parameters, field),) = decode(pb.Method(lime=pb.Lime(samples=100)))
    assert field == "methods[0].lime"
    resolved = pb.Method(lime=pb.Lime(samples=100, kernel_width=0.25, ridge=1))
    assert encode_method(method, parameters) == resolved


@pytest.mark.parametrize(
    ("method", "field"),
    [
        (pb.Method(lime=pb.Lime(samples=9)), "methods[0].lime.samples"),
        (pb.Method(lime=pb.Lime(kernel_width=NAN)), "methods[0].lime.kernel_width"),
        (pb.Method(lime=pb.Lime(ridge=float("inf"))), "methods[0].lime.ridge"),
        (pb.Method(occlusion=pb.Occlusion(stride=0)), "methods[0].occlusion.stride"),
        (pb.Method(kernel_shap=pb.KernelShap(samples=1 << 31)), "methods[0].kernel_shap.samples"),
        (pb.Method(), "methods[0]"),
    ],
)
def test_a_value_that_is_out_of_range_is_named(method: pb.Method, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        decode(method)
    assert caught.value.field == field
    assert caught.value.remedy


def test_a_request_has_sixteen_methods_at_most() -> None:
    many = [scripted(f"method{number}") for number in range(17)]
    registry = MethodRegistry(many)
    assert len(decode(*(one.asked for one in many[:16]), registry=registry)) == 16
    with pytest.raises(InvalidArgument) as caught:
        decode(*(one.asked for one in many), registry=registry)
    assert caught.value.field == "methods"


def test_a_method_that_is_asked_for_twice_is_refused() -> None:
    lime, again = pb.Method(lime=pb.Lime()), pb.Method(lime=pb.Lime(samples=100))
    with pytest.raises(InvalidArgument) as caught:
        decode(lime, pb.Method(occlusion=pb.Occlusion()), again)
    assert caught.value.field == "methods[2]"
    assert caught.value.metadata["method"] == "lime"


def test_a_method_that_the_contract_does_not_know_is_named_by_its_message() -> None:
    method = scripted("scripted")
    registry = MethodRegistry((Lime(), method))
    ((found, parameters, field),) = decode(method.asked, registry=registry)
    assert found is method
    assert field == "methods[0].extension"
    assert encode_method(found, parameters) == method.asked


def test_a_known_method_may_come_as_its_message_alone() -> None:
    ((method, parameters, _),) = decode(packed(pb.Lime(samples=100)))
    assert (method.name, parameters.samples) == ("lime", 100)


def test_a_method_that_this_server_does_not_have_is_refused_with_the_choices() -> None:
    with pytest.raises(InvalidArgument) as caught:
        decode(scripted("scripted").asked)
    assert caught.value.field == "methods[0].extension"
    assert "lime" in caught.value.remedy
    with pytest.raises(InvalidArgument):
        decode(pb.Method(occlusion=pb.Occlusion()), registry=MethodRegistry([Lime()]))


def test_parameters_that_cannot_be_read_are_refused() -> None:
    damaged = scripted("scripted").asked
    damaged.extension.value = b"\xff\xff\xff"
    with pytest.raises(InvalidArgument) as caught:
        decode(damaged, registry=MethodRegistry([scripted("scripted")]))
    assert caught.value.field == "methods[0].extension"


@pytest.mark.parametrize(
    "field",
    [Field("integer"), Field("number", None), Field("string")],
    ids=lambda field: field.type,
)
def test_a_field_that_is_not_described_keeps_its_method_out_of_the_registry(field: Field) -> None:
    method = scripted("scripted")
    described = Field("boolean", options(default="true"))
    message = parameters_message(f"Undescribed{field.type.title()}", good=described, bad=field)
    method.message = message  # type: ignore[misc]
    with pytest.raises(TypeError, match="bad is not described"):
        MethodRegistry((Lime(), method))


def test_two_methods_of_one_name_or_one_message_are_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        MethodRegistry((Lime(), Lime()))
    other = scripted("other")
    other.message = pb.Lime  # type: ignore[misc]
    with pytest.raises(ValueError, match="same message"):
        MethodRegistry((Lime(), other))


GENERATED = ROOT / "pellucid" / "client" / "methods.py"
"""Written from the contracts."""
CLASSES = {type(method).__name__ for method in METHODS}
FIELDS = {method.name for method in METHODS}


def sources(*packages: str) -> Iterator[tuple[Path, ast.Module]]:
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            at_home = path.parent == ROOT / "explain_service" / "methods"
            if not at_home and path != GENERATED:
                yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))


def mentions(node: ast.AST) -> bool:
    """Whether a node is about one method: its class, its message, its field or its name."""
    match node:
        case ast.Name(id=name):
            return name in CLASSES
        case ast.Attribute(attr=name):
            return name in CLASSES | FIELDS
        case ast.Constant(value=str() as text):
            return text in FIELDS
    return False


def test_no_module_but_a_methods_own_knows_it() -> None:
    packages = ("explain_service", "gateway", "pellucid/client", "pellucid/rendering")
    knowing = {
        f"{path}:{node.lineno}"  # type: ignore[attr-defined]
        for path, tree in sources(*packages)
        for node in ast.walk(tree)
        if mentions(node)
    }
    assert not knowing


def test_the_registry_alone_lists_the_methods() -> None:
    listed = (ROOT / "explain_service" / "methods" / "__init__.py").read_text(encoding="utf-8")
    names = [node.id for node in ast.walk(ast.parse(listed)) if isinstance(node, ast.Name)]
    assert set(names) >= CLASSES
    for path in (ROOT / "explain_service" / "methods").glob("*.py"):
        if path.name == "__init__.py":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        known = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)} & CLASSES
        others = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & CLASSES
        assert others <= known
        assert len(known) <= 1
