"""A published index of subsets: subset name to image ids, with or without the images."""

from __future__ import annotations

import io
import pickle
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shiftbench.errors import SourceError
from shiftbench.schema import CONTEXT_KINDS, Metadata
from shiftbench.sources._contexts import contexts_table
from shiftbench.sources._files import (
    FileReader,
    file_label,
    list_folder,
    need_some,
    one_of,
    outside,
    read_annotations,
)
from shiftbench.sources._json import DECODE_ERRORS, json_error, members
from shiftbench.sources._metadata import assemble
from shiftbench.sources._tables import is_text

__all__ = ["SubsetIndex", "parse_subset_name"]

Subsets = Iterator[tuple[str, Iterable[Any]]]

_ADMITTED = {
    ("collections", "defaultdict"): defaultdict,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
}


def parse_subset_name(name: str) -> tuple[str, str]:
    """The subject and the context of ``subject(context)``.

    The context is what follows the last ``(``, less the final ``)``; the subject is what stands
    before the first ``(``, as in MetaShift's published files.

    Raises
    ------
    SourceError
        The name has another form.

    Examples
    --------
    >>> parse_subset_name("cat(remote control)")
    ('cat', 'remote control')
    >>> parse_subset_name("tv (old)(on)")
    ('tv', 'on')
    """
    subject = name.partition("(")[0].strip()
    context = name.rpartition("(")[2].rstrip().removesuffix(")").strip()
    if "(" not in name or not name.rstrip().endswith(")") or not subject or not context:
        raise SourceError(f"the subset name {name!r} is not of the form 'subject(context)'")
    return subject, context


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ADMITTED:
            return _ADMITTED[module, name]
        raise SourceError(
            f"the pickle asks for {module}.{name}; only collections.defaultdict and builtins.set "
            "are admitted, because loading anything else could run code; export it as JSON "
            "({name: [ids]}) instead"
        )


@dataclass(frozen=True)
class SubsetIndex:
    """Subsets by name, as MetaShift publishes them: ``{"cat(sofa)": ["2317182", ...]}``.

    Parameters
    ----------
    index : str
        JSON (plain or gzip), a Parquet file with the columns subset and example_id (one row a
        member, or lists), or the published pickle, of which only dict, defaultdict, set, list and
        plain values are admitted.
    images : str, optional
        The folder of the images: a local path or any URL that fsspec knows. Without it there is
        no content, only the index.
    suffix : str
        An image's file name is its id and this.
    kind : {"object", "attribute", "general"}
        What the contexts of this index are.
    license : str
        Licence of the content as the Hub spells it; empty = unknown.
    redistributable : bool
        Whether the content may be published.

    Examples
    --------
    >>> SubsetIndex("attributes-candidate-subsets.pkl", kind="attribute").images is None
    True
    """

    index: str
    images: str | None = None
    suffix: str = ".jpg"
    kind: Literal["object", "attribute", "general"] = "object"
    license: str = ""
    redistributable: bool = False

    def scan(self) -> Metadata:
        """Read the index and list the images.

        Raises
        ------
        SourceError
            The file is missing, cut short, of another form or a pickle that asks for anything but
            the admitted classes; or the folder holds none of the images. Subsets that cannot be
            used are recorded as rejected.
        """
        one_of("kind", self.kind, CONTEXT_KINDS)
        data, digest = read_annotations(self.index)
        rejected: list[tuple[str, str]] = []
        members_of: dict[tuple[str, str], set[str]] = {}
        named: dict[tuple[str, str], str] = {}
        label = file_label(self.index)
        for name, ids in _subsets(self.index, data, rejected):
            try:
                _encodable(name)
                key = parse_subset_name(name)
                found = {_id(i) for i in ids}
            except (SourceError, TypeError, ValueError) as e:
                rejected.append((f"{label}: {name}", str(e)))
                continue
            if not found:
                rejected.append((f"{label}: {name}", "the subset is empty"))
                continue
            if named.setdefault(key, name) != name:
                reason = f"it names the subset of {named[key]!r} too; the two are joined"
                rejected.append((f"{label}: {name}", reason))
            members_of.setdefault(key, set()).update(found)
        return self._metadata(members_of, rejected, digest.result())

    def _metadata(
        self, members_of: dict[tuple[str, str], set[str]], rejected: list[Any], digest: str
    ) -> Metadata:
        annotated = sorted(set().union(*members_of.values()))
        files = [i + self.suffix for i in annotated]
        folder = list_folder(self.images, files) if self.images is not None else None
        ids = annotated
        counts: Counter[str] = Counter()
        if folder is not None:
            held = folder.files
            ids = [i for i in annotated if i + self.suffix in held and not outside(i)]
            counts["annotations_without_image"] = len(annotated) - len(ids)
            counts["images_without_annotation"] = folder.others(files)
            need_some(len(ids), files, folder)
        row = {key: i for i, key in enumerate(ids)}
        subjects = sorted({s for s, _ in members_of})
        contexts = sorted({c for _, c in members_of})
        number = {s: i for i, s in enumerate(subjects)}, {c: i for i, c in enumerate(contexts)}
        example, subject, context = [], [], []
        for (s, c), found in members_of.items():
            rows = [row[i] for i in found if i in row]
            example += rows
            subject += [number[0][s]] * len(rows)
            context += [number[1][c]] * len(rows)
        codes = (np.array(a, dtype=np.int64) for a in (example, subject, context))
        part = [(*codes, CONTEXT_KINDS.index(self.kind))]
        return assemble(
            ids=ids,
            names=[i + self.suffix for i in ids] if folder is not None else None,
            folder=folder,
            columns={},
            contexts=contexts_table([part], subjects, contexts),  # type: ignore[list-item]
            rejected=rejected,
            digests=[digest],
            options={"source": "subset_index", "kind": self.kind},
            license=self.license,
            redistributable=self.redistributable,
            counts=counts,
            notes={"title": f"Subset index: {file_label(self.index)}"},
        )

    def reader(self) -> FileReader:
        """A function from a locator to ``{"image": bytes}``."""
        return FileReader()


def _id(value: Any) -> str:
    if isinstance(value, str) and value.strip():
        _encodable(value)
        return value.strip()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    # Not repr of just anything: of a nested list that holds itself many times it never ends.
    said = repr(value) if isinstance(value, str | float | bool) else f"a {type(value).__name__}"
    raise TypeError(f"{said} is no image id; ids are strings or whole numbers")


def _encodable(text: str) -> None:
    """Refuse half a surrogate pair, which a pickle can hold and no file."""
    if not text.isascii():
        text.encode()


def _subsets(path: str, data: bytes, rejected: list[tuple[str, str]]) -> Subsets:
    if data[:4] == b"PAR1":
        return _from_parquet(path, data)
    if data.lstrip()[:1] in (b"{", b"[", b'"'):
        return _from_json(path, data, rejected)
    return _from_pickle(path, data)


def _from_json(path: str, data: bytes, rejected: list[tuple[str, str]]) -> Subsets:
    if data.lstrip()[:1] == b"[":
        raise SourceError(
            f"{path}: a list; expected is an object of subset names with their image ids, "
            '{"cat(sofa)": ["2317182", ...]}; a list of names alone has no members'
        )
    try:
        found, repeated = members(data)
    except DECODE_ERRORS as e:
        raise json_error(path, data, e) from e
    label = file_label(path)
    rejected += [
        (f"{label}: {name}", "the name occurs more than once; its last entry is used")
        for name in repeated
    ]
    decode = msgspec.json.Decoder(list[int | str]).decode
    for name, raw in found.items():
        try:
            yield name, decode(raw)
        except DECODE_ERRORS as e:
            rejected.append((f"{label}: {name}", f"no list of image ids: {e}"))


def _from_pickle(path: str, data: bytes) -> Subsets:
    try:
        loaded = _Unpickler(io.BytesIO(data)).load()
    except SourceError as e:
        raise SourceError(f"{path}: {e}") from None
    except Exception as e:
        # The unpickler raises nearly anything on damaged input.
        raise SourceError(
            f"{path}: neither JSON, nor Parquet, nor a pickle that can be read "
            f"({type(e).__name__}: {e})"
        ) from e
    if not isinstance(loaded, dict):
        raise SourceError(f"{path}: the pickle holds a {type(loaded).__name__}, not a dict")
    for name, ids in loaded.items():
        if not isinstance(name, str) or not isinstance(ids, set | frozenset | list | tuple):
            said = repr(name) if isinstance(name, str) else f"a {type(name).__name__}"
            raise SourceError(
                f"{path}: under {said} there is a {type(ids).__name__}; expected are subset "
                "names, each with a set or list of image ids"
            )
        yield name, ids


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _from_parquet(path: str, data: bytes) -> Subsets:
    try:
        table = pq.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as e:
        raise SourceError(f"{path}: not a Parquet file that can be read: {e}") from e
    if not {"subset", "example_id"} <= set(table.column_names):
        raise SourceError(
            f"{path}: the columns are {', '.join(table.column_names)}; expected are subset and "
            "example_id"
        )
    if not is_text(_plain(table["subset"].type)):
        raise SourceError(f"{path}: the column subset is of type {table['subset'].type}, not text")
    names, ids = table["subset"].cast(pa.string()), table["example_id"]
    if pa.types.is_list(ids.type) or pa.types.is_large_list(ids.type):
        names = names.combine_chunks().take(pc.list_parent_indices(ids).cast(pa.int64()))
        ids = pc.list_flatten(ids)
    if names.null_count or ids.null_count:
        raise SourceError(f"{path}: subset and example_id must not be null")
    grouped: dict[str, list[Any]] = {}
    for name, ident in zip(names.to_pylist(), ids.to_pylist(), strict=True):
        grouped.setdefault(name, []).append(ident)
    yield from grouped.items()
