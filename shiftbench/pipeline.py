"""Plan, materialise, measure, seal: from a builder to a benchmark directory."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, fields, replace
from functools import partial
from importlib import metadata as installed
from pathlib import Path, PurePath
from typing import Any, ClassVar, Protocol

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from threadpoolctl import threadpool_limits

from shiftbench import engine
from shiftbench.benchmark import Benchmark
from shiftbench.errors import ConfigurationError, ShiftbenchError, near_names
from shiftbench.measuring.differences import measure_differences
from shiftbench.measuring.examples import Examples
from shiftbench.measuring.run import Measured, measure_examples
from shiftbench.measuring.settings import Measurement
from shiftbench.plan import ConfigPlan, Inspected, Plan
from shiftbench.progress import bar, shown, step
from shiftbench.pseudonyms import default_key_file
from shiftbench.registry import SOURCES
from shiftbench.report.draw import drawn_beside
from shiftbench.schema import (
    FORMAT,
    REJECTED,
    SHIFT_DISTANCES,
    Checks,
    Metadata,
    Source,
    arrow_schema,
)
from shiftbench.store.card import make_card
from shiftbench.store.check import LEVELS, MODES
from shiftbench.store.location import Location
from shiftbench.store.manifest import (
    ConfigEntry,
    FileEntry,
    Manifest,
    SplitEntry,
    benchmark_digest,
    config_digest,
    sealed,
)
from shiftbench.store.stage import Stage, check_output, open_stage, writing
from shiftbench.store.tables import file_entry, write_table_config
from shiftbench.store.write import (
    ShardReport,
    label_names,
    shard_key,
    split_digest,
    write_shard,
)
from shiftbench.version import __version__

__all__ = ["Builder", "build"]

MAX_REJECTED_SHARE = 0.01
MIN_REJECTED = 10


class Builder(Protocol):
    """A benchmark family: a frozen dataclass of options with these hooks.

    It may have more: ``modes``, the pixel modes that it writes; ``measurement``, how its benchmarks
    are measured by default; ``measure(plan)``, which gives the distances that follow from the
    membership of subsets (a table `shift_distances`) and what it left out; ``inspect(plan,
    gathered)``, which sees what the reader gathered and returns `Inspected`, or raises where the
    benchmark may not be; and ``remarks(verdicts)``, which turns the audit's verdicts into warnings.
    """

    name: ClassVar[str]
    version: ClassVar[str]

    @property
    def source(self) -> Source:
        """Where the examples come from."""
        ...

    def plan(self, metadata: Metadata, seed: int, excluded: frozenset[str]) -> Plan:
        """Name every subset, membership and split; `excluded` are examples not to use."""
        ...

    def reader(self, seed: int) -> Callable[[str], Mapping[str, Any]]:
        """From a locator of the plan to the content columns; see `Source.reader`."""
        ...

    def recipe(self) -> Mapping[str, Any]:
        """The options, as plain values."""
        ...

    def card(self) -> str:
        """What the card says of the family, as Markdown."""
        ...


def build(
    builder: Builder,
    out: str | PurePath,
    *,
    seed: int = 0,
    n_jobs: int | None = None,
    scheduler: str | None = None,
    overwrite: bool = False,
    checks: str = "header",
    max_pixels: int = Checks.max_pixels,
    modes: Sequence[str] | None = None,
    max_rejected: int | None = None,
    measure: bool | Measurement = True,
    shift_columns: Sequence[str] = (),
    progress: bool | None = None,
) -> Benchmark:
    """Build a benchmark directory.

    The same source, builder and seed give the same digest with any number of workers, in one go
    or stopped and started again. The output appears whole or not at all: until then the work lies
    in ``<out>.partial-<plan hash>``, from which the same call goes on.

    Parameters
    ----------
    builder : Builder
        E.g. ``shiftbench.builders.MetaShift(...)``.
    out : path or fsspec URL
    seed : int
    n_jobs : int, optional
        Processes that write files; None takes the active ``joblib.parallel_config`` or else one.
    scheduler : str, optional
        Address of a Dask scheduler to run on instead, e.g. ``tcp://host:8786``.
    overwrite : bool
        Replace a benchmark that is at `out`, once the new one is whole.
    checks : str
        "header" (default), "decode" (every pixel) or "off".
    max_pixels : int
        Larger images are rejected.
    modes : sequence of str, optional
        Pillow pixel modes that are accepted; by default 1, L, LA, P, RGB and RGBA, or those that
        the builder writes.
    max_rejected : int, optional
        Stop when more examples than this (of patches: images) have unusable content. By default
        1 % of all, and never fewer than 10.
    measure : bool or Measurement
        Measure how far the splits and subsets are from each other, in the default way or in this
        one; False leaves it to `shiftbench measure`. The budget is stated in numbers of examples
        and pairs, and the card says what it left out.
    shift_columns : sequence of str
        Columns that are the shift itself (device, pixel spacing): the audit of what else differs
        between splits leaves them out.
    progress : bool, optional
        Show progress; by default when stderr is a terminal.

    Raises
    ------
    ShiftbenchError
        Options that do not fit the source, too much unusable content, an output that cannot be
        written.

    Examples
    --------
    >>> import tempfile, shiftbench as sb
    >>> folder = tempfile.mkdtemp()
    >>> source = sb.sources.Scenes(n_scenes=300)
    >>> bench = sb.build(sb.builders.MetaShift(source, classes=["cat"], min_size=5), folder)
    >>> bench.configs
    ['images', 'subsets', 'membership', 'shift_distances', 'balance', 'rejected']
    """
    if checks not in LEVELS:
        raise ConfigurationError(f"checks is {checks!r}; allowed: {', '.join(LEVELS)}")
    modes = tuple(modes if modes is not None else getattr(builder, "modes", Checks.modes))
    strange = sorted(set(modes) - set(MODES))
    if strange:
        raise ConfigurationError(f"modes {strange} are unknown; allowed: {', '.join(MODES)}")
    if max_pixels < 1 or (max_rejected is not None and max_rejected < 0):
        raise ConfigurationError(
            f"max_pixels is {max_pixels} and max_rejected {max_rejected}; allowed: 1 and above, "
            "and 0 and above"
        )
    settings = Checks(checks, max_pixels, modes)
    show = shown(progress)
    target = Location(str(out))
    check_output(target, overwrite=overwrite)
    _check_apart(builder.source, target)
    with step("reading annotations", show=show):
        metadata = builder.source.scan()
    with step("planning", show=show):
        plan = builder.plan(metadata, seed, frozenset())
    _check_columns(plan, shift_columns)
    with ExitStack() as stack:
        stage = stack.enter_context(open_stage(target, plan.hash, overwrite=overwrite))
        stack.enter_context(writing(stage.work.url))
        # The picture for the card takes a second that another process can have meanwhile.
        draw = partial(drawn_beside, edge_threshold=plan.recipe.get("edge_threshold", 0.0))
        picture = stack.enter_context(draw(plan.tables))
        run = partial(engine.run, n_jobs=n_jobs, scheduler=scheduler)
        whole, reports, found = _materialise(
            builder, metadata, plan, stage, settings, max_rejected, run, show
        )
        if whole is not plan:
            picture = stack.enter_context(draw(whole.tables))
        made = _Made(builder, whole, reports, found, _inspected(builder, whole, reports))
        how = _How(_settings(builder, measure, seed), tuple(shift_columns), run, show)
        manifest = _finish(made, stage, picture, how)
        stage.seal(manifest)
    bench = Benchmark(str(out))
    for remark in bench.manifest.measured.get("remarks", []):
        warnings.warn(remark, stacklevel=2)
    return bench


def _check_apart(source: Source, out: Location) -> None:
    """Refuse private files of a source, such as the key of its pseudonyms, inside the output."""
    if out.local is None:
        return
    for part in getattr(source, "sources", {}).values():  # several side by side
        _check_apart(part, out)
    folder = out.local.resolve()
    for name in _private_fields(source):
        value = getattr(source, name)
        if value is None and name == "key_file":
            value = default_key_file()
        if not isinstance(value, str | PurePath) or "://" in str(value):
            continue
        if Path(value).resolve().is_relative_to(folder):
            raise ConfigurationError(
                f"the {name.replace('_', ' ')} would lie inside the output {out.url!r}, which "
                f"others are given; name another place with --{name.replace('_', '-')} or --out"
            )


def _private_fields(source: Source) -> set[str]:
    return {f.name for f in fields(source) if f.metadata.get("private")}  # type: ignore[arg-type]


def _by_membership(builder: Builder, plan: Plan) -> tuple[pa.Table, Mapping[str, Any]]:
    measure: Callable[[Plan], tuple[pa.Table, Mapping[str, Any]]] | None
    measure = getattr(builder, "measure", None)
    return (SHIFT_DISTANCES.empty_table(), {}) if measure is None else measure(plan)


def _inspected(builder: Builder, plan: Plan, reports: Mapping[str, ShardReport]) -> Inspected:
    inspect = getattr(builder, "inspect", None)
    if inspect is None:
        return Inspected()
    gathered: dict[str, bytes] = {}
    for path in sorted(reports):
        gathered |= reports[path].gathered
    found: Inspected = inspect(plan, gathered)
    return found


@dataclass(frozen=True)
class _Made:
    builder: Builder
    plan: Plan
    reports: Mapping[str, ShardReport]
    rejected: Mapping[str, str]
    inspected: Inspected


Run = Callable[..., Iterator[ShardReport]]


def _materialise(
    builder: Builder,
    metadata: Metadata,
    plan: Plan,
    stage: Stage,
    checks: Checks,
    max_rejected: int | None,
    run: Run,
    show: bool,
) -> tuple[Plan, dict[str, ShardReport], dict[str, str]]:
    """Write every shard; where content is unusable, plan without it and write what changed.

    The rows' digests stay with the stage.
    """
    found: dict[str, str] = {}
    units = _Units()
    while True:
        stage.drop_others(set(plan.paths))
        limit = max_rejected
        if limit is None:
            limit = max(MIN_REJECTED, int(MAX_REJECTED_SHARE * units.planned(plan)))
        reports = {}
        with closing(_write(plan, builder, stage, checks, run, show)) as written:
            for report in written:
                reports[report.path] = msgspec.structs.replace(report, row_digests=b"")
                found.update(report.rejected)
                told = units.reasons(plan, found)
                if len(told) > limit:
                    raise _too_many(told, limit)
        if set(found) <= plan.excluded:
            return plan, reports, told
        plan = builder.plan(metadata, plan.seed, frozenset(found))


class _Units:
    """The inputs that examples were cut from, which are what is counted and reported."""

    def __init__(self) -> None:
        self._of_example: dict[str, str] = {}

    def reasons(self, plan: Plan, found: Mapping[str, str]) -> dict[str, str]:
        """The reason of each input; what is found first in a plan is among its examples.

        A plan without those that cannot be used may name others instead, of which some cannot be
        used either: so each plan is asked for its own.
        """
        examples, unit = plan.metadata.examples, plan.metadata.unit
        new = sorted(set(found) - set(self._of_example))
        if new and unit != "example_id":
            there = examples.filter(pc.is_in(examples["example_id"], pa.array(new, pa.string())))
            pairs = (there[name].to_pylist() for name in ("example_id", unit))
            self._of_example |= zip(*pairs, strict=True)
        return {self._of_example.get(e, e): found[e] for e in sorted(found)}

    def planned(self, plan: Plan) -> int:
        """How many inputs the splits name."""
        named = np.zeros(len(plan.metadata.examples), bool)
        for config in plan.configs:
            for split in config.splits:
                named[split.index] = True
        if plan.metadata.unit == "example_id":
            return int(named.sum())
        units = plan.metadata.examples[plan.metadata.unit].filter(pa.array(named))
        return len(units.unique())


def _too_many(found: Mapping[str, str], limit: int) -> ShiftbenchError:
    first = "; ".join(f"{e}: {found[e]}" for e in sorted(found)[:3])
    return ShiftbenchError(
        f"the content of more than {limit} examples cannot be used ({first}; …); look at the "
        "source, or allow more with --max-rejected"
    )


def _write(
    plan: Plan, builder: Builder, stage: Stage, checks: Checks, run: Run, show: bool
) -> Generator[ShardReport, None, None]:
    reader = partial(builder.reader, plan.seed)
    todo = set(plan.paths)
    with bar("writing", len(todo), "file", show=show) as counted:
        for shard in plan.shards(stage.reported(plan.paths)):
            kept = stage.report(shard.path, shard_key(shard, checks))
            if kept is not None:
                todo.remove(shard.path)
                counted.update()
                yield kept
        tasks = ((shard, reader, stage.work, checks) for shard in plan.shards(todo))
        for report in run(write_shard, tasks):
            stage.keep(report)
            counted.update()
            yield report


@dataclass(frozen=True)
class _How:
    """How a build is measured; without settings only its columns are compared."""

    settings: Measurement | None
    shift_columns: tuple[str, ...]
    run: Run
    show: bool


def _check_columns(plan: Plan, shift_columns: Sequence[str]) -> None:
    known = sorted(plan.metadata_features())
    for name in shift_columns:
        if name not in known:
            raise ConfigurationError(
                f"the source has no column {name!r} that could be the shift; "
                f"{near_names(name, known)}"
            )


def _settings(builder: Builder, measure: bool | Measurement, seed: int) -> Measurement | None:
    if measure is False:
        return None
    usual: Measurement = getattr(builder, "measurement", Measurement())
    return replace(usual, seed=seed) if measure is True else measure


def _finish(
    made: _Made,
    stage: Stage,
    picture: Callable[[], bytes | None],
    how: _How,
) -> bytes:
    """Measure, write the tables and the card, and make the manifest."""
    plan, work, show = made.plan, stage.work, how.show
    configs = {c.name: _config_entry(plan, c, made.reports, stage) for c in plan.configs}
    # The last bits of a matrix inverse change with the number of threads; the tables must not.
    with step("measuring memberships", show=show), threadpool_limits(limits=1):
        distances, of_membership = _by_membership(made.builder, plan)
    digest = benchmark_digest(configs)
    examples = Examples(
        work,
        configs,
        tuple(sorted(plan.metadata.content)),
        digest,
        columns=tuple(sorted(plan.metadata.columns)),
    )
    files = {r.path: FileEntry(r.size, r.rows, r.sha256) for r in made.reports.values()}
    stage.check_there(files)
    found = Measured(distances.slice(0, 0), {}, [])
    if how.settings is not None:
        found = measure_examples(examples, plan.tables, how.settings, how.run, stored={}, show=show)
    with step("comparing columns", show=show), threadpool_limits(limits=1):
        balance, verdicts = measure_differences(examples, how.shift_columns, plan.seed)
    rejected = [*plan.metadata.rejected.to_pylist()]
    rejected += [{"input": e, "reason": made.rejected[e]} for e in sorted(made.rejected)]
    tables = {
        **plan.tables,
        "shift_distances": pa.concat_tables([distances, found.distances]),
        "balance": balance,
        "rejected": pa.Table.from_pylist(rejected, schema=REJECTED),
        **made.inspected.tables,
    }
    if len(found.severities):
        tables["severities"] = found.severities
    for name, table in tables.items():
        kind = "table" if name in plan.tables else "measured"
        configs[name], written = write_table_config(name, table, kind, work)
        files |= written
    measured = {
        "membership": dict(of_membership),
        "spaces": dict(found.spaces),
        "confounding": verdicts,
        "shift_columns": list(how.shift_columns),
        "left_out": [*found.left_out, *examples.remarks],
        "remarks": [*made.inspected.remarks, *_remarks(made.builder, verdicts)],
    }
    manifest = _manifest(made, configs, files, len(rejected), measured)
    drawn = picture()
    card = make_card(manifest, tables, made.builder.card(), "metagraph.svg" if drawn else None)
    pictures = {"metagraph.svg": drawn, **made.inspected.files}
    for name, content in {"README.md": card, **pictures}.items():
        if content is not None:
            work.write(name, content)
            files[name] = file_entry(work, name)
    return sealed(msgspec.structs.replace(manifest, files=dict(sorted(files.items()))))


def _remarks(builder: Builder, verdicts: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    remarks: Callable[[Sequence[Mapping[str, Any]]], Sequence[str]] | None
    remarks = getattr(builder, "remarks", None)
    return () if remarks is None else remarks(verdicts)


def _config_entry(
    plan: Plan, config: ConfigPlan, reports: Mapping[str, ShardReport], stage: Stage
) -> ConfigEntry:
    splits = {}
    for split in config.splits:
        prefix = f"data/{config.name}/{split.name}-"
        mine = [reports[p] for p in sorted(reports) if p.startswith(prefix)]
        splits[split.name] = SplitEntry(
            rows=sum(r.rows for r in mine),
            files=[r.path for r in mine],
            digest=split_digest(stage.row_digests(r.path) for r in mine),
            role=split.role,
            shift=split.shift,
            flag=split.flag,
            title=split.title,
        )
    digest = config_digest(
        {n: s.digest for n, s in splits.items()},
        label_names(arrow_schema(plan.features(config))),
    )
    return ConfigEntry(
        kind=config.kind,
        digest=digest,
        splits=splits,
        title=config.title,
        description=config.description,
        notes=dict(config.notes),
    )


def _manifest(
    made: _Made,
    configs: dict[str, ConfigEntry],
    files: dict[str, FileEntry],
    rejected: int,
    measured: dict[str, Any],
) -> Manifest:
    plan, metadata = made.plan, made.plan.metadata
    source = source_recipe(made.builder.source)
    return Manifest(
        format=FORMAT,
        builder=plan.builder,
        builder_version=plan.version,
        recipe={
            "builder": plan.builder,
            "seed": plan.seed,
            "source": source,
            "options": dict(plan.recipe),
        },
        seed=plan.seed,
        plan=plan.hash,
        sources=[
            {
                "name": source["name"],
                "fingerprint": metadata.fingerprint,
                "notes": dict(metadata.notes),
            }
        ],
        license=metadata.license,
        redistributable=metadata.redistributable,
        identity=metadata.identity,
        content=sorted(metadata.content),
        columns=sorted(metadata.columns),
        configs=configs,
        files=files,
        counts={**metadata.counts, **plan.counts},
        rejected=rejected,
        versions={
            "shiftbench": __version__,
            **{p: installed.version(p) for p in ("numpy", "pillow", "pyarrow")},
        },
        digest=benchmark_digest(configs),
        measured=measured,
    )


def source_recipe(source: Source) -> dict[str, Any]:
    """A source's name and options as plain values.

    Absolute paths are cut to their last part: where the data lay on one machine is nobody's
    business and means nothing elsewhere. Of URLs users, passwords and queries, which hold tokens,
    are left out.
    """
    kind = type(source)
    registered = {target: name for name, target in SOURCES.items()}
    name = registered.get(f"{kind.__module__}:{kind.__qualname__}", kind.__qualname__)
    options = {f.name: _plain(getattr(source, f.name)) for f in fields(source)}  # type: ignore[arg-type]
    private = _private_fields(source)  # where the data lie may say whose they are
    return {
        "name": name,
        **{
            k: f"<your {k}>" if k in private else _portable(v)
            for k, v in options.items()
            if v is not None
        },
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping) and all(isinstance(v, Source) for v in value.values()):
        return {name: source_recipe(part) for name, part in value.items()}
    return msgspec.to_builtins(value, enc_hook=_named)


def _named(value: object) -> str:
    return str(value) if isinstance(value, PurePath) else f"<{type(value).__name__} in memory>"


def _portable(value: Any) -> Any:
    if isinstance(value, str):
        value = value.removeprefix("file://")
    if isinstance(value, str) and "://" in value:
        return re.sub(r"(?<=://)[^/]*@|\?.*?(?=::|$)", "", value)
    if isinstance(value, str) and PurePath(value).is_absolute():
        return PurePath(value).name
    if isinstance(value, list | tuple):
        return [_portable(v) for v in value]
    return value
