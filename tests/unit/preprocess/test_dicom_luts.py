from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.sequence import Sequence

from tests.unit.preprocess.files import dataset, dicom, image_contract, pixels, read

DEEP = pixels(dtype=np.uint16) >> 4


def grey(picture: Dataset) -> NDArray[np.float32]:
    return read(dicom(picture), image_contract()).windows[0].tensor[0]


def test_eight_bits_without_a_window_are_shown_as_they_are():
    values = pixels()
    np.testing.assert_allclose(grey(dataset(values)), values / 255, atol=1e-6)


def test_deep_values_without_a_window_are_shown_from_least_to_greatest():
    expected = (DEEP - float(DEEP.min())) / float(DEEP.max() - DEEP.min())
    np.testing.assert_allclose(grey(dataset(DEEP, BitsStored=12)), expected, atol=1e-6)


def test_a_constant_picture_is_finite():
    assert (grey(dataset(np.full((24, 32), 9, np.uint16))) == 0).all()


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (2, -1024), (0.25, 10)])
def test_windows_agree_with_pydicom(function: str, slope: float, intercept: float):
    picture = dataset(
        DEEP,
        BitsStored=12,
        RescaleSlope=slope,
        RescaleIntercept=intercept,
        WindowCenter=[slope * 1500 + intercept, 7],
        WindowWidth=[slope * 900, 9],
        VOILUTFunction=function,
    )
    shown = apply_voi_lut(apply_modality_lut(DEEP, picture), picture)
    low, high = intercept, 4095 * slope + intercept
    np.testing.assert_allclose(grey(picture), (shown - low) / (high - low), atol=2e-6)


def test_signed_values_are_read():
    values = (DEEP.astype(np.int32) - 2048).astype(np.int16)
    picture = dataset(values, BitsStored=12, WindowCenter=0, WindowWidth=4096)
    np.testing.assert_allclose(grey(picture), DEEP / 4095, atol=1e-3)


def test_monochrome1_is_inverted():
    plain = dataset(DEEP, BitsStored=12, WindowCenter=2000, WindowWidth=900)
    inverted = dataset(
        DEEP,
        BitsStored=12,
        WindowCenter=2000,
        WindowWidth=900,
        PhotometricInterpretation="MONOCHROME1",
    )
    np.testing.assert_allclose(grey(inverted), 1 - grey(plain), atol=1e-6)


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian])
def test_a_table_of_values_of_interest_goes_before_a_window(syntax: uid.UID):
    entries = (np.arange(4096) ** 2 // 4096).astype(np.uint16)
    picture = dataset(DEEP, BitsStored=12, WindowCenter=10, WindowWidth=20)
    picture.VOILUTSequence = table(entries, 0, 12)
    picture.file_meta.TransferSyntaxUID = syntax
    np.testing.assert_allclose(grey(picture), entries[DEEP] / 4095, atol=1e-6)


def test_a_modality_table_is_applied():
    entries = (4095 - np.arange(4096)).astype(np.uint16)
    picture = dataset(DEEP, BitsStored=12, WindowCenter=2048, WindowWidth=4096)
    picture.ModalityLUTSequence = table(entries, 0, 16)
    picture.ModalityLUTSequence[0].ModalityLUTType = "US"
    np.testing.assert_allclose(grey(picture), entries[DEEP] / 4095, atol=1e-3)


def table(entries: NDArray[Any], first: int, bits: int) -> Sequence:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    item.add_new("LUTData", "US", entries.tolist())
    return Sequence([item])
