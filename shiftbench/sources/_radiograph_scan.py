"""Reading all headers of a folder: which files are radiographs, whose, and why the others not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from shiftbench.errors import ConfigurationError, ContentError, SourceError
from shiftbench.progress import bar, shown
from shiftbench.sources._bimcv import Headers, is_bimcv_image, one_name_a_person, subject_folder
from shiftbench.sources._dicom_header import import_pydicom, read_header
from shiftbench.sources._grey_image import IMAGE_SUFFIXES, image_size
from shiftbench.sources._radiograph_files import Listing, Located
from shiftbench.sources._radiograph_header import Header, header_of
from shiftbench.sources._radiograph_join import join
from shiftbench.sources._radiograph_manifest import Manifest, Row

__all__ = ["Found", "Scanned", "Wanted", "collect", "layout_of"]

_NO_PATIENT = (
    "whose radiograph it is is not said; --patient-per-image takes such images as of a patient each"
)
_NO_DEVICE = (
    "no manufacturer, so the device is unknown; a manifest can name it, with --device-column"
)


@dataclass(frozen=True)
class Wanted:
    """What is read, see the options of `Radiographs`."""

    layout: str
    modalities: Sequence[str]
    intent: str
    assume_syntax: bool
    patient_per_image: bool
    needs_device: bool


@dataclass(frozen=True)
class Found:
    """One usable radiograph; `patient` is a kind of name and the name, and stays inside.

    `of_header` is the patient's number in the header, where the manifest named the patient.
    """

    position: int
    patient: tuple[str, str] | None
    columns: Mapping[str, Any]
    located: Located
    digest: str
    kept: Mapping[str, str] = field(default_factory=dict)
    of_header: str | None = None


@dataclass(frozen=True)
class Scanned:
    """What one look at all headers has found."""

    found: Sequence[Found]
    rejected: Sequence[tuple[str, str]]
    counts: Mapping[str, int]


def layout_of(listing: Listing, with_manifest: bool) -> str:
    """The layout that a folder has, by the names of its files."""
    if any(is_bimcv_image(file.name) for file in listing.files):
        return "bimcv"
    pictures = any(f.name.lower().endswith(IMAGE_SUFFIXES) for f in listing.files)
    return "manifest" if with_manifest and pictures else "dicom"


def collect(listing: Listing, manifest: Manifest | None, wanted: Wanted) -> Scanned:
    """Read all headers.

    Raises
    ------
    SourceError
        No file can be used, or the manifest is of other files.
    ConfigurationError
        Nothing says whose the radiographs are.
    """
    if manifest is not None and wanted.layout == "manifest" and not manifest.has_patients:
        _need_patients(wanted)
    if wanted.layout == "dicom":
        import_pydicom()
    rejected: dict[int, str] = {}
    of_rows = list(manifest.rejected) if manifest is not None else []
    counts: Counter[str] = Counter()
    rows = None
    if manifest is not None:
        rows, twice, unclear, counts["rows_without_file"] = join(
            manifest.rows, [f.name for f in listing.files]
        )
        if manifest.rows and not rows and not twice and not unclear:
            raise _other_files(listing, manifest)
        rejected.update(twice)
        of_rows += [(f"row {k} of the manifest", reason) for k, reason in unclear.items()]
    candidates = {p for p in range(len(listing.files)) if _candidate(listing, p, wanted.layout)}
    if rows is not None:
        counts["files_without_row"] = len(candidates - rows.keys() - rejected.keys())
        candidates = set(rows) & candidates if wanted.layout == "bimcv" else set(rows)
    elif wanted.layout == "bimcv":
        json_headers = sum(f.name.lower().endswith(".json") for f in listing.files)
        counts["files_passed_over"] = len(listing.files) - len(candidates) - json_headers
    found = list(_usable(listing, sorted(candidates), wanted, rows, rejected))
    found = _whose(listing, found, manifest, wanted, rejected)
    if not found:
        raise _nothing(listing, [*rejected.values(), *(reason for _, reason in of_rows)])
    of_files = [(listing.label(p), rejected[p]) for p in sorted(rejected)]
    return Scanned(found, [*of_files, *of_rows], counts)


def _candidate(listing: Listing, position: int, layout: str) -> bool:
    name = listing.files[position].name
    if layout == "bimcv":
        return is_bimcv_image(name)
    return layout == "dicom" or name.lower().endswith(IMAGE_SUFFIXES)


def _usable(
    listing: Listing,
    candidates: Sequence[int],
    wanted: Wanted,
    rows: Mapping[int, Row] | None,
    rejected: dict[int, str],
) -> Iterator[Found]:
    headers = Headers(listing) if wanted.layout == "bimcv" else None
    with bar("reading headers", len(candidates), "file", show=shown()) as counted:
        for position in candidates:
            try:
                row = rows[position] if rows is not None else None
                yield _one(listing, position, wanted, headers, row)
            except ContentError as error:
                rejected[position] = str(error)
            counted.update()


def _one(
    listing: Listing, position: int, wanted: Wanted, headers: Headers | None, row: Row | None
) -> Found:
    path = listing.path(position)
    if not listing.files[position].regular:
        raise ContentError("no regular file")
    if headers is not None:
        header, digest, located = headers.of(position, wanted.modalities)
    elif wanted.layout == "dicom":
        read = read_header(path, wanted.modalities, wanted.assume_syntax)
        header, digest, located = header_of(read.values), read.digest, Located(path, "dicom")
    else:
        header, digest, located = Header(None, {}), "", Located(path, "image")
    columns = dict(header.columns)
    if located.kind == "image":
        height, width, depth = image_size(path)
        stated = (row.bits if row is not None else None) or located.bits or depth
        columns.update(rows=height, columns=width, bits_stored=min(stated, depth))
        located = replace(located, bits=min(stated, depth))
    if wanted.intent != "any" and columns.get("presentation_intent") != wanted.intent:
        raise ContentError(
            f"presentation intent: {columns.get('presentation_intent') or 'not said'}; wanted is "
            f"{wanted.intent}"
        )
    if row is not None:
        columns.update({name: v for name, v in row.columns.items() if v is not None})
    if wanted.needs_device and columns.get("device") is None:
        raise ContentError(_NO_DEVICE)
    located = replace(located, row_mm=columns.get("row_mm"), column_mm=columns.get("column_mm"))
    said = row.patient if row is not None and row.patient else None
    patient = said or header.patient
    return Found(
        position,
        ("patient", patient) if patient else None,
        columns,
        located,
        digest,
        row.kept if row is not None else {},
        header.patient if said else None,
    )


def _whose(
    listing: Listing,
    found: Sequence[Found],
    manifest: Manifest | None,
    wanted: Wanted,
    rejected: dict[int, str],
) -> list[Found]:
    """Settle whose each radiograph is; those of which it is not known are put into `rejected`."""
    if wanted.layout == "bimcv" and not (manifest is not None and manifest.has_patients):
        names = one_name_a_person(
            (f.patient[1] if f.patient else None, subject_folder(listing.files[f.position].name))
            for f in found
        )
        found = [replace(f, patient=name) for f, name in zip(found, names, strict=True)]
    found = _as_the_manifest_says(found)
    settled = []
    for radiograph in found:
        if radiograph.patient is not None:
            settled.append(radiograph)
        elif wanted.patient_per_image:
            name = listing.files[radiograph.position].name
            settled.append(replace(radiograph, patient=("patient of an image", name)))
        else:
            rejected[radiograph.position] = _NO_PATIENT
    if found and not settled:
        _need_patients(wanted)
    return settled


def _as_the_manifest_says(found: Sequence[Found]) -> list[Found]:
    """Where the manifest names the patient of some files alone: the others of one number with them.

    A number that the manifest gives to several people says nothing of whose the others are.
    """
    named: dict[str, set[tuple[str, str]]] = {}
    for f in found:
        if f.of_header is not None and f.patient is not None:
            named.setdefault(f.of_header, set()).add(f.patient)

    def settled(f: Found) -> Found:
        people = named.get(f.patient[1]) if f.patient and f.of_header is None else None
        if not people or f.patient in people:
            return f
        return replace(f, patient=next(iter(people)) if len(people) == 1 else None)

    return [settled(f) for f in found]


def _need_patients(wanted: Wanted) -> None:
    if not wanted.patient_per_image:
        raise ConfigurationError(
            "radiographs: nothing says whose they are, so images of one patient could be in "
            "several splits; name the manifest's column with --patient-column, or say with "
            "--patient-per-image that each image counts as a patient of its own"
        )


def _other_files(listing: Listing, manifest: Manifest) -> SourceError:
    return SourceError(
        f"radiographs: none of the {len(manifest.rows)} files that the manifest names is among the "
        f"{len(listing.files)} in the folder; point --folder to the one that holds them, or name "
        "the column of file names with --file-column"
    )


def _nothing(listing: Listing, reasons: Sequence[str]) -> SourceError:
    most = Counter(reasons).most_common(5)
    said = "; ".join(f"{n} × {reason}" for reason, n in most)
    rest = len(reasons) - sum(n for _, n in most)
    return SourceError(
        f"radiographs: none of the {len(listing.files)} files in the folder can be used: {said}"
        + (f"; {rest} for other reasons" if rest else "")
    )
