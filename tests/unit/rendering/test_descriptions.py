from dataclasses import replace

from google.protobuf.any_pb2 import Any as AnyMessage

from pellucid.api.explain.v1 import methods_pb2
from pellucid.client import Result
from pellucid.rendering.descriptions import facts, number, parameters, segmentation


def test_numbers_have_three_digits_and_a_real_minus_sign() -> None:
    assert number(-0.00012345) == "\N{MINUS SIGN}0.000123"
    assert number(0) == "0"


def test_files_are_described_in_one_line(film: Result, clip: Result) -> None:
    assert facts(film.prediction).startswith("image/png · 320 by 260 pixels")
    assert "3.40 s" in facts(clip.prediction)


def test_receipts_say_what_a_request_would(film: Result) -> None:
    assert parameters(film.get("lime").receipt).startswith("samples = 500")
    assert segmentation(film.get("lime").receipt) == "grid: rows = 8, columns = 8"
    assert segmentation(film.get("occlusion").receipt) == ""


def test_a_method_of_another_package_is_named_by_its_message(film: Result) -> None:
    packed = AnyMessage()
    packed.Pack(methods_pb2.Lime())
    receipt = replace(film.get("lime").receipt, method=packed)
    assert parameters(receipt) == "pellucid.api.explain.v1.Lime"
    assert parameters(replace(receipt, method=None)) == ""
