"""A folder of radiographs of people who do not exist, with everything that could name them."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

NAME = "Zwickelhuber^Notburga"
INSTITUTION = "Klinikum Sankt Kunigund"
FREE_TEXT = "Fraktur seit Umzug nach Kleinbimsdorf"
PRIVATE = "PRIVATKENNUNG-0815-GEHEIM"
BIRTH = "19370509"
STUDY_DATE = "20190417"
ACCESSION = "ACC77123654"
SERIAL = "SN-4711-0xABC"
NUMBERS = tuple(f"4480{n:03d}77" for n in range(60))
DEVICES = (("ACME Imaging", "Panel 3"), ("Röntgenwerk", "RW-100"), ("'Kodiak'", "CR 7"))


def secrets() -> list[str]:
    """Every text that may be found nowhere."""
    fixed = [*NAME.split("^"), INSTITUTION, "Kunigund", FREE_TEXT, "Kleinbimsdorf", PRIVATE,
             BIRTH, "1937-05-09", ACCESSION, SERIAL, STUDY_DATE, "1.2.826.0.1.3680043.9.9999",
             "geheimer_ordner", "aufnahme_"]  # fmt: skip
    return [*fixed, *NUMBERS]


@dataclass(frozen=True)
class Planted:
    """What was written: the folder, and the table that names the findings."""

    folder: Path
    manifest: Path


def picture(seed: int, size: int = 200) -> np.ndarray[Any, Any]:
    """A grey picture of 12 bits that no other seed gives."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    smooth = 1500 + 900 * np.sin(5 * x + seed) * np.cos(4 * y + 2 * seed)
    return np.clip(smooth + rng.normal(0, 60, (size, size)), 0, 4095).astype(np.uint16)


def plant_dicom(place: Path, n_patients: int = 60) -> Planted:
    """One radiograph a patient, three devices; identifiers in headers, file and folder names."""
    import pydicom
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

    root = place / "geheimer_ordner_Zwickelhuber"
    rows = []
    for n in range(n_patients):
        number = NUMBERS[n]
        folder = root / f"sub-{number}" / "Kunigund"
        folder.mkdir(parents=True)
        path = folder / f"aufnahme_{number}_Notburga.dcm"
        data = pydicom.Dataset()
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID = DigitalXRayImageStorageForPresentation
        data.SOPInstanceUID = f"1.2.826.0.1.3680043.9.9999.{n + 1}"
        data.StudyInstanceUID = "1.2.826.0.1.3680043.9.9999.7"
        data.SeriesInstanceUID = "1.2.826.0.1.3680043.9.9999.8"
        data.PatientName, data.PatientID, data.PatientBirthDate = NAME, number, BIRTH
        data.PatientAge = "081Y" if n % 2 else "095Y"
        data.PatientSex = "FM"[n % 2]
        data.PatientAddress = FREE_TEXT
        data.AccessionNumber, data.DeviceSerialNumber = ACCESSION, SERIAL
        data.InstitutionName, data.StationName = INSTITUTION, "Kunigund-1"
        data.StudyDate = data.ContentDate = STUDY_DATE
        data.StudyDescription = data.ImageComments = FREE_TEXT
        data.ReferringPhysicianName = data.OperatorsName = NAME
        data.BodyPartExamined = "CHEST" if n % 3 else "Notburga"
        data.ViewPosition = ("PA", "AP")[n % 2] if n % 5 else "Kunigund"
        data.Modality = "DX"
        data.Manufacturer, data.ManufacturerModelName = DEVICES[n % 3]
        data.KVP = "110"
        data.add_new(0x00091010, "LO", PRIVATE)
        data.add_new(0x00190010, "LO", f"{PRIVATE} {number}")
        data.Rows = data.Columns = 200
        data.ImagerPixelSpacing = ["0.143", "0.143"]
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
        data.SamplesPerPixel, data.PixelRepresentation = 1, 0
        data.PhotometricInterpretation = "MONOCHROME2"
        data.PixelData = picture(n).tobytes()
        data.save_as(path, enforce_file_format=True)
        rows.append({"image": path.name, "finding": ("No Finding", "Pneumonia")[n // 3 % 2]})
    # What cannot be used must not give anything away either.
    broken = root / f"sub-{NUMBERS[0]}" / f"kaputt_{NUMBERS[0]}_Notburga.dcm"
    broken.write_bytes(b"\0" * 128 + b"DICM" + f"{NAME} {NUMBERS[0]} {FREE_TEXT}".encode())
    text = root / f"Notburga_{NUMBERS[1]}.txt"
    text.write_text(f"{NAME} {NUMBERS[1]}")
    rows += [{"image": p.name, "finding": "Pneumonia"} for p in (broken, text)]
    manifest = place / "Befunde_Zwickelhuber.csv"
    with manifest.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["image", "finding"])
        writer.writeheader()
        writer.writerows([*rows, {"image": f"fehlt_{NUMBERS[2]}.dcm", "finding": "Pneumonia"}])
    return Planted(root, manifest)
