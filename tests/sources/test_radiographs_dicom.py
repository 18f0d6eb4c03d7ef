"""Reading DICOM radiographs: grey values against the standard, and files that are refused."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pydicom = pytest.importorskip("pydicom")

from PIL import Image  # noqa: E402
from pydicom import uid  # noqa: E402
from pydicom.dataset import Dataset  # noqa: E402
from pydicom.encaps import encapsulate  # noqa: E402
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut  # noqa: E402

from shiftbench.errors import ConfigurationError, ContentError, SourceError  # noqa: E402
from shiftbench.radiograph import Radiograph  # noqa: E402
from shiftbench.sources._dicom import decode_dicom, windowed  # noqa: E402
from shiftbench.sources.radiographs import Radiographs  # noqa: E402
from tests.dicom_files import dataset, ramp, write  # noqa: E402


@pytest.fixture(autouse=True)
def _key(tmp_path_factory, monkeypatch) -> None:
    folder = tmp_path_factory.mktemp("key")
    monkeypatch.setenv("SHIFTBENCH_KEY_FILE", str(folder / "k.key"))


def decoded(tmp_path: Path, data: Dataset, compress: str | None = None, **how) -> Radiograph:
    write(tmp_path / "in" / "a.dcm", data, compress)
    source = Radiographs(str(tmp_path / "in"), **how)
    return source.decoder()(source.scan().examples["locator"][0].as_py())


def reason(tmp_path: Path, data: Dataset | bytes, compress: str | None = None, **how) -> str:
    """Why a file is refused, seen beside one that is not."""
    write(tmp_path / "in" / "a.dcm", dataset())
    if isinstance(data, bytes):
        (tmp_path / "in" / "b.dcm").write_bytes(data)
    else:
        write(tmp_path / "in" / "b.dcm", data, compress)
    found = Radiographs(str(tmp_path / "in"), **how).scan()
    assert found.examples.num_rows == 1
    (row,) = found.rejected.to_pylist()
    assert row["input"] == "file 2 of 2"
    return row["reason"]


def written(data: Dataset) -> bytes:
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, data, enforce_file_format=True)
    return buffer.getvalue()


SYNTAXES = [
    None,
    uid.RLELossless,
    uid.JPEGLSLossless,
    uid.JPEG2000Lossless,
]


@pytest.mark.parametrize("compress", SYNTAXES)
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_lossless_pixels_are_the_written_ones(tmp_path, compress, bits) -> None:
    pixels = ramp(bits=bits)
    if bits == 8:
        pixels = pixels.astype(np.uint8)
    image = decoded(tmp_path, dataset(pixels, bits), compress)
    assert image.bits == bits
    assert not image.inverted
    np.testing.assert_array_equal(image.pixels, pixels)
    assert (image.row_mm, image.column_mm) == (0.2, 0.1)


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian])
def test_other_uncompressed_syntaxes(tmp_path, syntax) -> None:
    image = decoded(tmp_path, dataset(syntax=syntax))
    np.testing.assert_array_equal(image.pixels, ramp())


def test_big_endian(tmp_path) -> None:
    data = dataset(ramp().astype(">u2"), syntax=uid.ExplicitVRBigEndian)
    np.testing.assert_array_equal(decoded(tmp_path, data).pixels, ramp())


def test_jpeg_baseline(tmp_path) -> None:
    pixels = ramp(64, 64, 8).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    data = dataset(pixels, 8, syntax=uid.JPEGBaseline8Bit, LossyImageCompression="01")
    data.PixelData = encapsulate([buffer.getvalue()])
    data["PixelData"].is_undefined_length = True
    image = decoded(tmp_path, data)
    np.testing.assert_array_equal(image.pixels, np.asarray(Image.open(buffer)))


@pytest.mark.parametrize("compress", [None, uid.JPEGLSLossless, uid.JPEG2000Lossless])
@pytest.mark.parametrize("bits", [12, 16])
def test_signed_pixels_count_from_the_smallest(tmp_path, compress, bits) -> None:
    codes = ramp(bits=bits).astype(np.int32)
    signed = (codes - 2 ** (bits - 1)).astype(np.int16)
    data = dataset(signed, bits, PixelRepresentation=1)
    np.testing.assert_array_equal(decoded(tmp_path, data, compress).pixels, codes)


def test_overlay_bits_and_high_bit(tmp_path) -> None:
    pixels = ramp(bits=12)
    overlaid = pixels | np.uint16(0x8000) * (np.indices(pixels.shape).sum(0) % 2).astype(np.uint16)
    np.testing.assert_array_equal(decoded(tmp_path, dataset(overlaid)).pixels, pixels)
    shifted = (pixels << 2) | np.uint16(3)
    image = decoded(tmp_path, dataset(shifted, HighBit=13))
    np.testing.assert_array_equal(image.pixels, pixels)
    assert image.bits == 12


@pytest.mark.parametrize("slope", [1, 2.5, -1, -0.25])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_only_the_sign_of_a_slope_counts(tmp_path, slope, photometric) -> None:
    fields = {"PhotometricInterpretation": photometric}
    data = dataset(RescaleSlope=slope, RescaleIntercept=-1000, **fields)
    image = decoded(tmp_path, data).normalised()
    # By the definition: rescale, stretch over what can be stored, turn MONOCHROME1 round.
    x = ramp().astype(float) * slope
    ends = sorted((0.0, 4095.0 * slope))
    wanted = (x - ends[0]) / (ends[1] - ends[0])
    wanted = 1 - wanted if photometric == "MONOCHROME1" else wanted
    np.testing.assert_allclose(image, wanted, atol=1e-6)


def test_presentation_lut_shape_turns_nothing_round_again(tmp_path) -> None:
    fields = {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}
    assert decoded(tmp_path, dataset(**fields)).normalised()[0, 0] == 1


def lut(entries: int, first: int, bits: int, values: list[int] | bytes) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [entries % 65536, first, bits]
    item["LUTDescriptor"].VR = "US" if first >= 0 else "SS"
    item.LUTData = values
    item["LUTData"].VR = "OW" if isinstance(values, bytes) else "US"
    return item


@pytest.mark.parametrize("as_words", [False, True])
def test_modality_lut(tmp_path, as_words) -> None:
    rng = np.random.default_rng(0)
    table = rng.integers(0, 2**16, 4000).astype(np.uint16)
    entries = table.tobytes() if as_words else table.tolist()
    data = dataset(ModalityLUTSequence=[lut(4000, 50, 16, entries)])
    image = decoded(tmp_path, data)
    assert image.bits == 16
    np.testing.assert_array_equal(image.pixels, apply_modality_lut(ramp(), data))


def test_modality_lut_of_twelve_bits_on_signed_pixels(tmp_path) -> None:
    table = [(7 * k) % 4096 for k in range(1000)]
    signed = (ramp().astype(int) - 2048).astype(np.int16)
    data = dataset(signed, PixelRepresentation=1, ModalityLUTSequence=[lut(1000, -500, 12, table)])
    image = decoded(tmp_path, data)
    wanted = [table[min(max(v + 500, 0), 999)] for v in signed.ravel()]
    assert image.bits == 12
    assert image.pixels.ravel().tolist() == wanted


@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("slope", [1, 2, -1])
def test_window_on_request(tmp_path, function, slope) -> None:
    fields = {} if function is None else {"VOILUTFunction": function}
    fields |= {"WindowCenter": [1500 * slope, 7], "WindowWidth": [1000, 7]}
    data = dataset(RescaleSlope=slope, RescaleIntercept=slope * 100, **fields)
    plain = decoded(tmp_path, data)
    image = decoded(tmp_path, data, voi=True)
    assert plain.bits == 12
    assert image.bits == 16
    shown = apply_voi_lut(apply_modality_lut(ramp(), data), data)
    # pydicom stretches between what the smallest and the largest number stored stand for.
    low, high = 100 * slope, 4195 * slope
    np.testing.assert_allclose(image.normalised(), (shown - low) / (high - low), atol=2e-5)


def test_window_without_its_values_changes_nothing(tmp_path) -> None:
    data = dataset(RescaleSlope=-1, RescaleIntercept=0)
    np.testing.assert_array_equal(decoded(tmp_path, data, voi=True).pixels, 4095 - ramp())
    data = dataset(WindowCenter=1, WindowWidth=0)
    np.testing.assert_array_equal(decoded(tmp_path, data, voi=True).pixels, ramp())


def test_voi_lut_goes_before_a_window(tmp_path) -> None:
    table = [(3 * k) % 1024 for k in range(4096)]
    data = dataset(VOILUTSequence=[lut(4096, 0, 10, table)], WindowCenter=1, WindowWidth=2)
    image = decoded(tmp_path, data, voi=True)
    assert image.bits == 10
    np.testing.assert_array_equal(image.pixels, np.array(table)[ramp()])


@given(st.floats(-5000, 5000), st.floats(1.5, 5000), st.floats(-9000, 9000))
def test_linear_window_is_the_standards_pseudocode(c, w, x) -> None:
    if x <= c - 0.5 - (w - 1) / 2:
        wanted = 0.0
    elif x > c - 0.5 + (w - 1) / 2:
        wanted = 1.0
    else:
        wanted = (x - (c - 0.5)) / (w - 1) + 0.5
    assert windowed(np.array([x]), c, w)[0] == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"Modality": "CT"}, "modality CT; allowed: CR, DX, RG"),
        ({"Modality": "ZWEISTEIN"}, "an unregistered modality"),
        ({"Modality": None}, "no modality"),
        ({"PixelData": None}, "no pixel data"),
        ({"NumberOfFrames": 3}, "multi-frame: 3 frames"),
        ({"SamplesPerPixel": 3}, "colour: 3 samples"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colour"),
        ({"BitsStored": 0}, "bits stored"),
        ({"Rows": 0}, "there is no pixel"),
        ({"Rows": 60000, "Columns": 60000}, "more than 64 million pixels"),
        ({"Rows": 33}, "cut short: 3072 bytes of pixel data where 3168"),
        ({"Manufacturer": None}, "no manufacturer"),
        ({"Manufacturer": ""}, "no manufacturer"),
        ({"PatientID": None}, "--patient-per-image"),
        ({"PatientID": "  "}, "--patient-per-image"),
        ({"syntax": uid.MPEG4HP41}, "MPEG-4 AVC/H.264 High Profile / Level 4.1"),
    ],
)  # fmt: skip
def test_refused_with_the_reason(tmp_path, fields, words) -> None:
    if "syntax" in fields:
        data = dataset(**fields, PixelData=encapsulate([b"1234"]))
        data["PixelData"].is_undefined_length = True
    else:
        data = dataset(**fields)
    assert words in reason(tmp_path, data)


def test_private_transfer_syntax_is_not_named(tmp_path) -> None:
    data = dataset(syntax=uid.MPEG4HP41, PixelData=encapsulate([b"1234"]))
    data["PixelData"].is_undefined_length = True
    blob = written(data).replace(b"1.2.840.10008.1.2.4.102", b"1.2.40.7719203.4711.102")
    said = reason(tmp_path, blob)
    assert "a private or unregistered transfer syntax" in said
    assert "7719203" not in said


def test_other_modalities_on_request(tmp_path) -> None:
    decoded(tmp_path, dataset(Modality="MG"), modalities=("mg",))


def test_float_pixels(tmp_path) -> None:
    data = dataset(PixelData=None, FloatPixelData=ramp().astype("<f4").tobytes(), BitsAllocated=32)
    assert "pixels of type float" in reason(tmp_path, data)


def test_more_than_sixteen_bits(tmp_path) -> None:
    data = dataset(ramp().astype(np.uint32), 24)
    assert "24 bits stored" in reason(tmp_path, data)


def test_sixteen_bits_in_thirty_two(tmp_path) -> None:
    image = decoded(tmp_path, dataset(ramp(bits=16).astype(np.uint32), 16))
    np.testing.assert_array_equal(image.pixels, ramp(bits=16))


def test_no_dicom(tmp_path) -> None:
    for content in (b"", b"# A README\n", b"x" * 5000, b"\x89PNG\r\n\x1a\n" + b"\0" * 300):
        assert reason(tmp_path, content) == "no DICOM file"


def test_header_cut_short(tmp_path) -> None:
    whole = written(dataset())
    assert "no pixel data" in reason(tmp_path, whole[: -ramp().nbytes - 100])
    for length in range(1, len(whole), 97):  # wherever it ends, there is a reason
        assert reason(tmp_path, whole[:length])


def test_compressed_pixels_cut_short_are_seen_in_the_scan(tmp_path) -> None:
    data = dataset()
    data.compress(uid.RLELossless)
    whole = written(data)
    assert "do not end" in reason(tmp_path, whole[:-200])
    assert "do not end" in reason(tmp_path, whole[:-8])  # only the delimiter is missing


def test_missing_file_meta_information(tmp_path) -> None:
    bare = written(dataset(syntax=uid.ImplicitVRLittleEndian))
    data = pydicom.dcmread(io.BytesIO(bare))
    buffer = io.BytesIO()
    del data.file_meta
    data.save_as(buffer, implicit_vr=True, little_endian=True)
    assert "--assume-syntax" in reason(tmp_path, buffer.getvalue())
    (tmp_path / "in" / "a.dcm").unlink()
    source = Radiographs(str(tmp_path / "in"), assume_syntax=True)
    image = source.decoder()(source.scan().examples["locator"][0].as_py())
    np.testing.assert_array_equal(image.pixels, ramp())


def test_plug_in_that_is_not_installed_is_named(tmp_path, monkeypatch) -> None:
    from pydicom.pixels.decoders.base import JPEGLSLosslessDecoder

    monkeypatch.setattr(JPEGLSLosslessDecoder, "_available", {})
    said = reason(tmp_path, dataset(), uid.JPEGLSLossless)
    assert "JPEG-LS Lossless" in said
    assert "install pyjpegls" in said
    assert "shiftbench[dicom]" in said


def test_twelve_bit_jpeg_has_no_permissive_decoder(tmp_path) -> None:
    data = dataset(syntax=uid.JPEGExtended12Bit, PixelData=encapsulate([b"1234"]))
    data["PixelData"].is_undefined_length = True
    assert "no plug-in under a permissive licence" in reason(tmp_path, data)


@pytest.mark.parametrize("compress", [uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless])
def test_damaged_pixels_fail_when_decoded(tmp_path, compress) -> None:
    data = dataset()
    data.compress(compress)
    frame = next(pydicom.encaps.generate_frames(data.PixelData, number_of_frames=1))
    data.PixelData = encapsulate([frame[: len(frame) // 3]])
    with pytest.raises(ContentError, match="cannot be decoded"):
        decoded(tmp_path, data)


def test_file_gone_or_changed_between_scan_and_decoding(tmp_path) -> None:
    path = write(tmp_path / "in" / "a.dcm", dataset())
    source = Radiographs(str(tmp_path / "in"))
    locator = source.scan().examples["locator"][0].as_py()
    for content in (b"", b"nothing", path.read_bytes()[:-100]):
        path.write_bytes(content)
        with pytest.raises(ContentError) as caught:
            source.decoder()(locator)
        assert "a.dcm" not in str(caught.value)
    path.unlink()
    with pytest.raises(ContentError, match="cannot be read") as caught:
        source.decoder()(locator)
    assert "a.dcm" not in str(caught.value)


@pytest.mark.parametrize("value", [0, 7, 4095])
def test_constant_images(tmp_path, value) -> None:
    with pytest.raises(ContentError, match="constant: every pixel is " + ("al", "bl")[value == 0]):
        decoded(tmp_path, dataset(np.full((32, 32), value, np.uint16)))


def test_intent(tmp_path) -> None:
    processing = dataset(PresentationIntentType="FOR PROCESSING")
    assert "processing; wanted is presentation" in reason(
        tmp_path, processing, intent="presentation"
    )


def test_columns(tmp_path) -> None:
    write(
        tmp_path / "in" / "a",
        dataset(Exposure=3, ExposureInuAs=None, Grid=["FOCUSED", "FIXED"], PatientAge="093Y",
                BurnedInAnnotation="YES", LossyImageCompression="00", ExposureTime="12",
                XRayTubeCurrent="250", DistanceSourceToDetector="1800.5", FilterMaterial="COPPER"),
    )  # fmt: skip
    (row,) = Radiographs(str(tmp_path / "in")).scan().examples.to_pylist()
    said = {k: v for k, v in row.items() if k not in ("example_id", "cluster_id", "locator",
                                                      "bytes", "modified")}  # fmt: skip
    assert said == {
        "device": "SIEMENS FD-X", "manufacturer": "SIEMENS", "model": "FD-X", "modality": "DX",
        "view": "PA", "body_part": "CHEST", "presentation_intent": "presentation",
        "photometric": "MONOCHROME2", "bits_stored": 12, "rows": 32, "columns": 48, "row_mm": 0.2,
        "column_mm": 0.1, "kvp": 120.0, "exposure_uas": 3000.0, "exposure_ms": 12.0,
        "tube_current_ma": 250.0, "distance_mm": 1800.5, "grid": "FIXED+FOCUSED",
        "filter": "COPPER", "lossy": False, "burnt_in": True, "age": 90, "sex": "F",
    }  # fmt: skip


def test_malformed_values_are_nulls(tmp_path) -> None:
    data = dataset()
    blob = written(data).replace(b"FOR PRESENTATION", b"FOR ZWEISTEIN^A ")
    blob = (
        blob.replace(b"071Y", b"ZWE^")
        .replace(b"120.0 ", b"1,2.0 ")
        .replace(b"0.2\\0.1 ", b"a\\b\\c\\d ")
    )
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.dcm").write_bytes(blob)
    (row,) = Radiographs(str(tmp_path / "in")).scan().examples.to_pylist()
    assert not {"age", "kvp", "presentation_intent", "row_mm"} & row.keys()


def test_pixel_spacing_stands_in(tmp_path) -> None:
    image = decoded(tmp_path, dataset(ImagerPixelSpacing=None, PixelSpacing=[0.3, 0.4]))
    assert (image.row_mm, image.column_mm) == (0.3, 0.4)


def test_all_files_corrupt(tmp_path) -> None:
    (tmp_path / "in").mkdir()
    for k in range(3):
        (tmp_path / "in" / f"Zweistein{k}.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 40)
    write(tmp_path / "in" / "c.dcm", dataset(Modality="US"))
    with pytest.raises(SourceError, match=r"none of the 4 files .* 1 × no projection") as caught:
        Radiographs(str(tmp_path / "in")).scan()
    assert "Zweistein" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_nothing_says_whose(tmp_path) -> None:
    write(tmp_path / "in" / "a.dcm", dataset(PatientID=""))
    write(tmp_path / "in" / "b.dcm", dataset(PatientID=None))
    with pytest.raises(ConfigurationError, match="--patient-per-image"):
        Radiographs(str(tmp_path / "in")).scan()
    found = Radiographs(str(tmp_path / "in"), patient_per_image=True).scan()
    assert len(set(found.examples["cluster_id"].to_pylist())) == 2


def test_patient_per_image_leaves_known_patients_together(tmp_path) -> None:
    for name in "ab":
        write(tmp_path / "in" / name, dataset())
    found = Radiographs(str(tmp_path / "in"), patient_per_image=True).scan()
    assert len(set(found.examples["cluster_id"].to_pylist())) == 1


def test_direct_decoding_of_another_kind_of_file(tmp_path) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(written(dataset(PixelData=None)))
    with pytest.raises(ContentError, match="missing"):
        decode_dicom(str(path), voi=False)


OVERLAID = ramp(bits=12) | np.uint16(0x8000) * (np.indices((32, 48)).sum(0) % 2).astype(np.uint16)
WORDS = {
    "overlay bits": (OVERLAID, {}),
    "high bit 13": ((ramp(bits=12) << 2) | np.uint16(3), {"HighBit": 13}),
    "not extended": (
        ((ramp(bits=12).astype(int) - 2048) & 0xFFF).astype(np.uint16),
        {"PixelRepresentation": 1},
    ),
}


@pytest.mark.parametrize("case", WORDS)
@pytest.mark.parametrize("rle", [False, True])
def test_bits_that_are_not_stored_ones_are_masked_also_in_rle(tmp_path, case, rle) -> None:
    words, fields = WORDS[case]
    data = dataset(words, **fields)
    if rle:
        data.compress(uid.RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    np.testing.assert_array_equal(decoded(tmp_path, data).pixels, ramp(bits=12))


def test_damage_is_not_handed_to_a_plug_in_that_ends_the_process(tmp_path, monkeypatch) -> None:
    """On damaged JPEG-LS, JPEG 2000 and JPEG data gdcm calls abort(): no ContentError then."""
    from pydicom.pixels.decoders import gdcm

    asked = []
    monkeypatch.setattr(gdcm, "_decode_frame", lambda *a, **k: asked.append(a))
    for compress in (uid.JPEGLSLossless, uid.JPEG2000Lossless):
        data = dataset()
        data.compress(compress)
        frame = next(pydicom.encaps.generate_frames(data.PixelData, number_of_frames=1))
        data.PixelData = encapsulate([frame[:40] + b"\xff" * 60 + frame[100:]])
        with pytest.raises(ContentError, match="cannot be decoded"):
            decoded(tmp_path, data)
    assert not asked


def lossless_jpeg(tmp_path: Path, bits: int = 12, signed: bool = False) -> Dataset:
    gdcm = pytest.importorskip("gdcm")
    codes = ramp(31, 47, bits)
    values = (codes.astype(int) - 2 ** (bits - 1)).astype(np.int16) if signed else codes
    write(tmp_path / "raw.dcm", dataset(values, bits, PixelRepresentation=int(signed)))
    reader = gdcm.ImageReader()
    reader.SetFileName(str(tmp_path / "raw.dcm"))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(
        gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1)  # [Selection Value 1]
    )
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(tmp_path / "jpeg.dcm"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return pydicom.dcmread(tmp_path / "jpeg.dcm")


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_lossless_jpeg(tmp_path, bits, signed) -> None:
    image = decoded(tmp_path, lossless_jpeg(tmp_path, bits, signed))
    np.testing.assert_array_equal(image.pixels, ramp(31, 47, bits))


def test_damaged_lossless_jpeg_is_refused_before_it_is_decoded(tmp_path, monkeypatch) -> None:
    from pydicom.pixels.decoders import gdcm as plugin

    data = lossless_jpeg(tmp_path)
    frame = pydicom.encaps.get_frame(data.PixelData, 0, number_of_frames=1)
    height = frame.index(b"\xff\xc3") + 5
    damaged = {
        "cut": frame[: len(frame) // 2],
        "no beginning": b"\0" + frame[1:],
        "other rows": frame[:height] + b"\x7f" + frame[height + 1 :],
        "174 bits": frame[: height - 1] + b"\xae" + frame[height:],
        "a marker in the pixels": frame[:-40] + b"\xff\xc3" + frame[-38:],
    }
    asked = []
    monkeypatch.setattr(plugin, "_decode_frame", lambda *a, **k: asked.append(a))
    for content in damaged.values():
        data.PixelData = encapsulate([content])
        data["PixelData"].is_undefined_length = True
        with pytest.raises(ContentError, match="the JPEG data are damaged"):
            decoded(tmp_path, data)
    data.PixelData = encapsulate([frame])
    data.BitsAllocated = 32
    with pytest.raises(ContentError, match="the JPEG data are damaged"):
        decoded(tmp_path, data)
    assert not asked


@given(st.data())
def test_any_damage_to_the_file_meta_information_has_a_reason(tmp_path_factory, data) -> None:
    whole = bytearray(written(dataset()))
    for place in data.draw(st.lists(st.integers(132, 420), min_size=1, max_size=4)):
        whole[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("meta") / "a.dcm"
    path.write_bytes(whole)
    from shiftbench.sources._dicom_header import read_header

    with contextlib.suppress(ContentError), warnings.catch_warnings():
        warnings.simplefilter("error")
        read_header(str(path), ("DX",), assume_syntax=True)
        decode_dicom(str(path), voi=False)


def test_unknown_representation_in_the_file_meta_information(tmp_path) -> None:
    whole = written(dataset())
    assert reason(tmp_path, whole.replace(b"\x02\0\x02\0UI", b"\x02\0\x02\0WI"))


def test_pipes_are_not_waited_for_and_large_files_of_zeros_not_parsed(tmp_path) -> None:
    write(tmp_path / "in" / "a.dcm", dataset())
    os.mkfifo(tmp_path / "in" / "b.dcm")
    with (tmp_path / "in" / "c.img").open("wb") as file:
        file.truncate(2**33)
    found = Radiographs(str(tmp_path / "in")).scan()
    assert [r["reason"] for r in found.rejected.to_pylist()] == ["no regular file", "no DICOM file"]


def test_linked_folders_are_read_once(tmp_path) -> None:
    write(tmp_path / "elsewhere" / "a.dcm", dataset())
    write(tmp_path / "in" / "b.dcm", dataset())
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    assert Radiographs(str(tmp_path / "in")).scan().examples.num_rows == 2


NUMBERS = ("KVP", "ExposureIndex", "ExposureInuAs", "DistanceSourceToDetector", "ExposureTime",
           "XRayTubeCurrent", "NumberOfFrames")  # fmt: skip


def test_no_number_of_a_patient_leaves_as_a_measurement(tmp_path) -> None:
    for keyword in NUMBERS:
        path = tmp_path / "in" / f"{keyword}.dcm"
        write(path, dataset(PatientID="448000077", **{keyword: "448000077"}))
    found = Radiographs(str(tmp_path / "in")).scan()
    public = found.examples.drop_columns(["locator"]).to_pylist()
    assert "448000077" not in repr((public, found.rejected.to_pylist()))


@pytest.mark.parametrize(
    ("number", "model"),
    [
        ("123-45-6789", "ACME 123-45-6789"),
        ("12345", "Panel 12345"),
        ("1", "Klinikum Musterhausen 2"),
        ("1", "SN-99887766"),
        ("1", "12.03.1947"),
        ("1", "Panel 20190807"),
        ("1", "1.2.3.4.5.7719203"),
        ("1", "Dr Quacksalber"),
        ("1", "Herzschrittmacher, links"),
    ],
)
def test_a_model_that_repeats_person_or_place_does_not_leave(tmp_path, number, model) -> None:
    write(tmp_path / "in" / "a", dataset(PatientID=number, ManufacturerModelName=model))
    (row,) = Radiographs(str(tmp_path / "in")).scan().examples.to_pylist()
    assert row["device"] == "SIEMENS"


def test_one_patient_by_manifest_and_by_header(tmp_path) -> None:
    for name in "abcd":
        write(tmp_path / "in" / name, dataset(PatientID="5" if name == "d" else "7"))
    (tmp_path / "list.csv").write_text("image,patient\na,P7\nb,\nc,P7\nd,\n")
    source = Radiographs(str(tmp_path / "in"), str(tmp_path / "list.csv"))
    assert len(set(source.scan().examples["cluster_id"].to_pylist())) == 2
    (tmp_path / "list.csv").write_text("image,patient\na,P7\nb,\nc,P8\nd,\n")
    found = source.scan()  # number 7 is of two people: whose "b" is, is unknown
    assert found.examples.num_rows == 3
    assert "--patient-per-image" in found.rejected["reason"][0].as_py()
