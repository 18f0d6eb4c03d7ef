"""DICOM files for the tests, with a patient planted into every field that could give one away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

PATIENT = {
    "PatientName": "Zweistein^Albertina",
    "PatientID": "PAT-7719203",
    "PatientBirthDate": "19470312",
    "OtherPatientIDs": "ALT-5540021",
    "PatientAddress": "Teststrasse 77, Musterhausen",
    "InstitutionName": "Klinikum Musterhausen",
    "StationName": "KELLER-ROENT-4",
    "DeviceSerialNumber": "SN-99887766",
    "AccessionNumber": "ACC445566",
    "ReferringPhysicianName": "Quacksalber^Dr",
    "StudyDescription": "Verlaufskontrolle Zweistein",
    "ImageComments": "Herzschrittmacher links",
    "StudyDate": "20190807",
}
"""Who must not be found anywhere."""


def ramp(rows: int = 32, columns: int = 48, bits: int = 12) -> np.ndarray:
    """A picture that holds the smallest and the largest value of its bits."""
    full = 2**bits - 1
    flat = np.linspace(0, full, rows * columns).round().astype(np.uint16)
    return flat.reshape(rows, columns)


def dataset(pixels: np.ndarray | None = None, bits: int = 12, **fields: Any) -> Dataset:
    """A radiograph as a data set, uncompressed; `fields` replace or, as None, remove elements."""
    pixels = ramp(bits=bits) if pixels is None else pixels
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = fields.pop("syntax", uid.ExplicitVRLittleEndian)
    data.file_meta.MediaStorageSOPClassUID = uid.DigitalXRayImageStorageForPresentation
    data.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.5.7719203"
    data.SOPClassUID = uid.DigitalXRayImageStorageForPresentation
    data.SOPInstanceUID = data.StudyInstanceUID = "1.2.3.4.5.7719203"
    for name, value in PATIENT.items():
        setattr(data, name, value)
    data.private_block(0x0011, "Zweistein private", create=True).add_new(1, "LO", "Geheimnis 42")
    data.Modality, data.Manufacturer, data.ManufacturerModelName = "DX", "SIEMENS", "FD-X"
    data.PatientSex, data.PatientAge, data.ViewPosition = "F", "071Y", "PA"
    data.PresentationIntentType = "FOR PRESENTATION"
    data.ImagerPixelSpacing = [0.2, 0.1]
    data.BodyPartExamined, data.KVP, data.ExposureInuAs = "CHEST", 120, 1500
    data.PhotometricInterpretation, data.SamplesPerPixel = "MONOCHROME2", 1
    data.Rows, data.Columns = pixels.shape[:2]
    data.BitsStored, data.HighBit, data.PixelRepresentation = bits, bits - 1, 0
    data.BitsAllocated = pixels.dtype.itemsize * 8
    data.PixelData = pixels.tobytes()
    data["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    for name, value in fields.items():
        if value is None:
            del data[name]
        else:
            setattr(data, name, value)
    return data


def write(path: Path, data: Dataset, compress: str | None = None) -> Path:
    """Write a data set, compressed with a transfer syntax where one is named."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if compress is not None:
        data.compress(compress, generate_instance_uid=False)
    pydicom.dcmwrite(path, data, enforce_file_format=True)
    return path
