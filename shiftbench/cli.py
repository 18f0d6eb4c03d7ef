"""The command line. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import inspect
import io
import json
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter

from shiftbench.errors import ConfigurationError, ShiftbenchError, printable
from shiftbench.version import __version__

__all__ = ["main"]

app = App(
    name="shiftbench",
    version=__version__,
    help="Build, load and grade benchmarks whose distribution shift is known.\n\n"
    "Every command takes --help, and --debug for a traceback.",
    help_format="markdown",
    suppress_keyboard_interrupt=False,
)


@app.command(name="list")
def list_(*, as_json: Annotated[bool, Parameter(name="--json", negative="")] = False) -> None:
    """List builders, presets, sources, feature spaces, distances and changes of images."""
    from shiftbench.options import summary
    from shiftbench.registry import (
        CORRUPTIONS,
        DISTANCES,
        SOURCES,
        SPACES,
        TRANSFORMS,
        builders,
        load,
    )

    found: dict[str, dict[str, Any]] = {
        "builders": {},
        "sources": {},
        "spaces": {n: {"summary": summary(load(t))} for n, t in sorted(SPACES.items())},
        "distances": {n: {"summary": load(t).summary} for n, t in sorted(DISTANCES.items())},
        "changes": {
            n: {"summary": f"{load(t).summary} ({load(t).unit})"}
            for n, t in sorted(TRANSFORMS.items())
        },
        "corruptions": {
            n: {"summary": f"{load(t).summary} ({load(t).unit})"}
            for n, t in sorted(CORRUPTIONS.items())
        },
    }
    for name, target in sorted(builders().items()):
        kind = load(target)
        found["builders"][name] = {
            "summary": summary(kind),
            "presets": sorted(getattr(kind, "presets", {})),
        }
    for name, target in sorted(SOURCES.items()):
        found["sources"][name] = {"summary": summary(load(target))}
    if as_json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
        return
    for group, entries in found.items():
        print(group)
        for name, entry in entries.items():
            print(f"  {name:18} {entry['summary']}")
            if entry.get("presets"):
                print(f"  {'':18} presets: {', '.join(entry['presets'])}")


@app.command(help_flags=[])
def build(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
) -> None:
    """Build a benchmark: BUILDER --source NAME … --out DIR, or RECIPE.toml --out DIR."""
    from shiftbench.registry import SOURCES, builders, lookup

    words = list(tokens)
    first = words[0] if words and not words[0].startswith("-") else None
    is_builder = first in builders()
    if first and not is_builder and (first.endswith(".toml") or Path(first).is_file()):
        _call(_recipe_command(), words, "shiftbench build")
        return
    source_name = _value_of(words, "--source")
    if first is None:
        _build_help(first)
    kind = lookup(builders(), str(first), "builder")
    if source_name is None:
        preset = getattr(kind, "presets", {}).get(_value_of(words, "--preset"), {})
        source_name = preset.get("source", {}).get("name")
    if source_name is None:
        _build_help(first)
    source = lookup(SOURCES, str(source_name), "source")
    command = _build_command(kind, source, str(source_name))
    _call(command, words[1:], f"shiftbench build {first}")


def _build_help(first: str | None) -> None:
    from shiftbench.registry import SOURCES, builders

    asked = any(w in ("--help", "-h") for w in sys.argv)
    print(
        "Usage: shiftbench build BUILDER --source NAME [options] --out DIR\n"
        "       shiftbench build RECIPE.toml --out DIR\n\n"
        f"builders: {', '.join(sorted(builders()))}\n"
        f"sources:  {', '.join(sorted(SOURCES))}\n\n"
        f"`shiftbench build {first or 'BUILDER'} --source NAME --help` lists the options of both; "
        "`shiftbench list` says what they are.",
        file=sys.stdout if asked else sys.stderr,
    )
    raise SystemExit(0 if asked else 2)


def _value_of(words: Sequence[str], option: str) -> str | None:
    for i, word in enumerate(words):
        if word == option and i + 1 < len(words):
            return words[i + 1]
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return None


_RUN = [
    ("seed", int, 0, "Seed of every random choice."),
    ("n_jobs", int, 1, "Processes that write files; -1 for all cores."),
    ("scheduler", str | None, None, "Run on this Dask scheduler instead, tcp://host:port."),
    ("overwrite", bool, False, "Replace the benchmark at --out once the new one is whole."),
    ("measure", bool, True, "Measure shift distances; --no-measure leaves them out."),
    (
        "shift_columns",
        tuple[str, ...],
        (),
        "Columns that are the shift itself: the audit of what else differs leaves them out.",
    ),
    (
        "checks",
        Literal["header", "decode", "off"],
        "header",
        "What is asked of every image before it is written.",
    ),
    ("max_pixels", int, 100_000_000, "Larger images are rejected."),
    (
        "modes",
        tuple[str, ...] | None,
        None,
        "Pixel modes (Pillow's names) that are accepted; by default 1 L LA P RGB RGBA, or those "
        "that the builder writes.",
    ),
    (
        "max_rejected",
        int | None,
        None,
        "Stop above this many unusable images; by default 1 %, never fewer than 10.",
    ),
]


def _parameters(
    options: Sequence[tuple[str, Any, Any, str, bool]], group: str
) -> list[inspect.Parameter]:
    made = []
    for name, hint, default, said, required in options:
        info = Parameter(
            name=f"--{name.replace('_', '-')}",
            help=said,
            group=group,
            consume_multiple=True,
            negative_iterable="",
        )
        made.append(
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if required else default,
                annotation=Annotated[hint, info],
            )
        )
    return made


def _run_parameters() -> list[inspect.Parameter]:
    return _parameters([(*r, False) for r in _RUN], "Build")


def _with_defaults(command: Callable[..., None], given: dict[str, Any]) -> dict[str, Any]:
    """The library hands on only what was typed."""
    parameters = inspect.signature(command).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty} | given


_Out = Annotated[str, Parameter(name="--out", help="Directory or fsspec URL to make.")]


def _build_command(kind: type, source: type, source_name: str) -> Callable[..., None]:
    """A function whose parameters are the options of a builder, of a source and of `build`.

    A preset stands for what was not typed; its `source` does so for the source it names.
    """
    from shiftbench.options import flat_options, summary

    of_builder = flat_options(kind)
    taken = {o.name for o in of_builder} | {r[0] for r in _RUN} | {"out", "source", "preset"}
    # An option that both have, such as a seed, is the build's; the source's is --source-seed.
    of_source = {
        (f"source_{o.name}" if o.name in taken else o.name): o for o in flat_options(source)
    }
    presets = getattr(kind, "presets", {})

    def command(**typed: Any) -> None:
        import shiftbench as sb

        chosen = dict(presets.get(typed.get("preset", ""), {}))
        beside = dict(chosen.pop("source", {}))
        if beside.pop("name", None) != source_name:
            beside = {}
        values = _with_defaults(command, {})
        values |= {n: beside[o.name] for n, o in of_source.items() if o.name in beside}
        values |= chosen | typed
        run = {r[0]: values[r[0]] for r in _RUN}
        given = source(**{o.name: values[n] for n, o in of_source.items()})
        with _warnings_as_lines():
            builder = kind(source=given, **{o.name: values[o.name] for o in of_builder})
            bench = sb.build(builder, values["out"], **run)
        _report(bench)

    parameters = [
        inspect.Parameter("out", inspect.Parameter.KEYWORD_ONLY, annotation=_Out),
        *_parameters(
            [("source", str, source_name, "Where the examples come from.", False)], "Build"
        ),
        *_run_parameters(),
        *_parameters(
            [(n, o.type, o.default, o.help, o.required) for n, o in of_source.items()],
            f"Source {source.__name__}: {summary(source)}",
        ),
        *_parameters(
            [(o.name, o.type, o.default, o.help, o.required) for o in of_builder],
            f"Builder {kind.__name__}: {summary(kind)}",
        ),
    ]
    if presets:
        names = Literal[tuple(sorted(presets))]  # type: ignore[valid-type]
        parameters += _parameters(
            [("preset", names | None, None, "A published benchmark's options.", False)], "Build"
        )
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__doc__ = f"Build a {kind.__name__} benchmark."
    return command


def _recipe_command() -> Callable[..., None]:
    def command(recipe: str, **given_values: Any) -> None:
        import shiftbench as sb
        from shiftbench.recipe import read_recipe

        values = _with_defaults(command, given_values)
        values.pop("recipe", None)
        builder, seed = read_recipe(Path(recipe))
        out = values.pop("out")
        if values["seed"] is None:
            values["seed"] = seed
        with _warnings_as_lines():
            bench = sb.build(builder, out, **values)
        _report(bench)

    run = [(*r, False) if r[0] != "seed" else ("seed", int | None, None, r[3], False) for r in _RUN]
    parameters = [
        inspect.Parameter(
            "recipe",
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            annotation=Annotated[str, Parameter()],
        ),
        inspect.Parameter("out", inspect.Parameter.KEYWORD_ONLY, annotation=_Out),
        *_parameters(run, "Build"),
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__doc__ = "Build a benchmark from a recipe."
    return command


def _report(bench: Any) -> None:
    manifest = bench.manifest
    print(f"built {bench.url}")
    for name, config in manifest.configs.items():
        if config.kind in ("task", "examples"):
            sizes = ", ".join(f"{s} {e.rows}" for s, e in config.splits.items())
            print(f"  {name}: {sizes}")
    if manifest.rejected:
        print(f"  rejected: {manifest.rejected} inputs, see the config 'rejected'")
    print(f"  digest {manifest.digest}")


@app.command
def info(
    where: str,
    *,
    recipe: Annotated[bool, Parameter(negative="")] = False,
    graph: str | None = None,
    classes: Annotated[
        tuple[str, ...], Parameter(consume_multiple=True, negative_iterable="")
    ] = (),
    thumbnails: bool = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Say what is in a benchmark, what shifts, what else differs, and how far.

    Parameters
    ----------
    where
        A benchmark directory, or user/name on the Hub.
    recipe
        Print the recipe from which the build can be repeated, as TOML.
    graph
        Draw the meta-graph into this file (.svg, .png or .html; extra `report`).
    classes
        Classes to draw; by default all, as far as they fit.
    thumbnails
        Put an image of each subset into the drawing.
    as_json
        Print as JSON.
    """
    import shiftbench as sb

    if graph is None and (classes or thumbnails):
        raise ConfigurationError("--classes and --thumbnails say what --graph FILE draws; name one")
    bench = sb.open(where)
    if recipe:
        from shiftbench.store.card import recipe_toml

        print(recipe_toml(bench.manifest), end="")
        return
    if graph is not None:
        from shiftbench.report.draw import draw_metagraph

        left_out = draw_metagraph(bench, graph, classes=classes, thumbnails=thumbnails)
        print(f"drew {graph}", *left_out, sep="\n  ")
        return
    from shiftbench.report.overview import overview, overview_text

    found = overview(bench)
    if as_json:
        print(json.dumps(_finite(found), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        print(overview_text(found))


def _finite(value: Any) -> Any:
    """The value with what JSON has no number for as text: "inf", "-inf", "nan"."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


@app.command
def verify(
    where: str,
    *,
    content: bool = True,
) -> None:
    """Check that a benchmark is what its manifest says.

    Parameters
    ----------
    where
        A benchmark directory, or user/name on the Hub.
    content
        Compute the digests again from the examples; --no-content compares the files' hashes only.
    """
    import shiftbench as sb

    bench = sb.open(where)
    bench.verify(content=content)
    print(f"{where}: {len(bench.manifest.files)} files as they were written")
    print(f"  digest {bench.digest}")


@app.command
def measure(
    where: str,
    *,
    distance: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative_iterable="")] = (
        "mmd",
        "label_tv",
    ),
    space: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative_iterable="")] = (),
    config: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative_iterable="")] = (),
    source: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative_iterable="")] = (),
    option: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative_iterable="")] = (),
    shift_columns: Annotated[
        tuple[str, ...], Parameter(consume_multiple=True, negative_iterable="")
    ] = (),
    subsets: bool = True,
    profile: bool = True,
    max_examples: int = 1000,
    max_subset_examples: int = 100,
    max_pairs: int = 500,
    n_permutations: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    n_jobs: int = 1,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Measure how far splits and subsets are from each other, and store it with the benchmark.

    Lines are added to the table `shift_distances`, and `balance` is made anew; the digest stays.

    Parameters
    ----------
    where
        A benchmark directory.
    distance
        Names of distances; `shiftbench list` has them.
    space
        Feature spaces: pixels, spectrum, tabular, text, column:NAME, torchvision:MODEL, each with
        options as in pixels:size=16. By default one that fits the content.
    config
        Tasks to measure; by default all.
    source
        Splits that the others are measured from; by default each task's training split.
    option
        NAME=VALUE of a distance, such as bandwidth=2.5.
    shift_columns
        Columns that are the shift itself, such as device: the audit of what else differs leaves
        them out.
    subsets
        Measure the pairs of subsets within a class, too.
    profile
        Also the parts of each shift: subpopulation, covariate, concept, label.
    max_examples
        Most examples of a split; they are drawn by the seed.
    max_subset_examples
        Most examples of a subset.
    max_pairs
        Most pairs of subsets; of more, the largest subsets' are measured.
    n_permutations
        Of each test.
    level
        Of the intervals.
    seed
        Of every random choice.
    n_jobs
        Processes that compute features; -1 for all cores.
    as_json
        Print what was measured as JSON.
    """
    from shiftbench.measuring.remeasure import measure_benchmark
    from shiftbench.measuring.settings import Measurement
    from shiftbench.report.overview import distance_lines, left_out_lines

    settings = Measurement(
        distances=distance,
        spaces=space,
        configs=config,
        sources=source,
        subsets=subsets,
        profile=profile,
        max_examples=max_examples,
        max_subset_examples=max_subset_examples,
        max_pairs=max_pairs,
        n_permutations=n_permutations,
        level=level,
        seed=seed,
        options=_options(option),
    )
    with _warnings_as_lines():
        found = measure_benchmark(where, settings, shift_columns=shift_columns, n_jobs=n_jobs)
    rows = found.distances.to_pylist()
    if as_json:
        print(json.dumps({"distances": rows, "left_out": found.left_out}, ensure_ascii=False))
        return
    for line in distance_lines([r for r in rows if r["config"] is not None]):
        print(line)
    between = sum(r["config"] is None for r in rows)
    print(f"{len(rows)} lines in shift_distances, {between} of them between subsets")
    print(*left_out_lines(found.left_out), sep="\n", end="\n" if found.left_out else "")


def _options(words: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise ConfigurationError(
                f"--option {word!r}: name an option and its value, such as --option bandwidth=2.5"
            )
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


@app.command
def evaluate(
    where: str,
    predictions: Annotated[tuple[str, ...], Parameter(consume_multiple=True)],
    /,
    *,
    out: str | None = None,
    config: str | None = None,
    score_is: Literal["ood", "confidence"] = "ood",
    groups: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative_iterable="")] = (),
    bins: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative_iterable="")] = (),
    group_metrics: Annotated[
        tuple[str, ...], Parameter(consume_multiple=True, negative_iterable="")
    ] = ("accuracy",),
    minimum_n: int = 10,
    level: float = 0.95,
    tpr: Annotated[tuple[float, ...], Parameter(consume_multiple=True, negative_iterable="")] = (
        0.95,
    ),
    max_fpr: Annotated[
        tuple[float, ...], Parameter(consume_multiple=True, negative_iterable="")
    ] = (),
    unit: str | None = None,
    aggregate: Literal["mean", "median", "max", "top_k"] = "mean",
    top_k: int = 3,
    patches: Annotated[
        tuple[int, ...], Parameter(consume_multiple=True, negative_iterable="")
    ] = (),
    baseline: Annotated[
        tuple[str, ...], Parameter(consume_multiple=True, negative_iterable="")
    ] = (),
    compare_to: str | None = None,
    selection: str | None = None,
    resamples: int = 1000,
    seed: int = 0,
    table: Literal["markdown", "latex"] | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Grade predictions: OOD metrics, accuracy of each subpopulation, curves, with intervals.

    Parameters
    ----------
    where
        A benchmark directory, or user/name on the Hub.
    predictions
        Files of predictions (Parquet, CSV, JSON lines) or folders of them.
    out
        Write the results here, .json or .parquet.
    config
        Grade this config only; also what a file without a column `config` is taken for.
    score_is
        What a high score means: "ood" or "confidence", which is negated.
    groups
        Metadata columns that tell subpopulations, COLUMN*COLUMN for a combination; by default the
        benchmark's subsets.
    bins
        Edges that make groups of a column of numbers: age=18,65.
    group_metrics
        What is measured of each group.
    minimum_n
        Fewest examples of a group that can be the worst above a minimum.
    level
        Of the intervals.
    tpr
        True-positive rates at which the false-positive rate is taken.
    max_fpr
        False-positive rates up to which a partial AUROC is taken.
    unit
        The metadata column that names what several examples are of (the radiograph of patches), for
        the metrics by unit; by default what the benchmark says, or else cluster_id.
    aggregate
        How the scores of a unit become one.
    top_k
        How many scores of a unit top_k takes the mean of.
    patches
        Numbers of examples a unit on the curve against patches; by default 1, 2, 4 … up to 512, as
        far as there are.
    baseline
        Models to which the line of accuracy is fitted; without them no effective robustness.
    compare_to
        Compare every model with this one instead of all pairs.
    selection
        A JSON or TOML file that says how the models were chosen; it travels with the results.
    resamples
        Of each bootstrap.
    seed
        Of every resampling.
    table
        Print the results as this kind of table.
    as_json
        Print the results as JSON.
    """
    import shiftbench as sb
    from shiftbench.grading.grade import grade, read_selection
    from shiftbench.grading.settings import Settings
    from shiftbench.grading.summary import summary, tables

    settings = Settings(
        groups=groups,
        bins=_bins(bins),
        group_metrics=group_metrics,
        minimum_n=minimum_n,
        level=level,
        tpr=tpr,
        max_fpr=max_fpr,
        unit=unit,
        aggregate=aggregate,
        top_k=top_k,
        patches=patches,
        baseline=baseline,
        compare_to=compare_to,
        resamples=resamples,
        seed=seed,
    )
    stated = None if selection is None else read_selection(selection)
    with _warnings_as_lines():
        results = grade(
            sb.open(where),
            predictions,
            config=config,
            score_is=score_is,
            settings=settings,
            selection=stated,
        )
    if out is not None:
        results.write(out)
    if as_json:
        print(results.json())
    elif table is not None:
        print(tables(results, table))
    else:
        print(summary(results))
    if out is not None and not as_json and table is None:
        print(f"wrote {out}")


def _bins(words: Sequence[str]) -> dict[str, tuple[float, ...]]:
    found = {}
    for word in words:
        name, _, edges = word.rpartition("=")
        try:
            found[name] = tuple(float(e) for e in edges.split(","))
        except ValueError:
            name = ""
        if not name:
            raise ConfigurationError(
                f"--bins {word!r}: name a column and rising edges, such as --bins age=18,65"
            )
    return found


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Show each warning once, as a line, rather than with the place in our own code."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            yield
        finally:
            for line in dict.fromkeys(
                str(w.message) for w in caught if issubclass(w.category, UserWarning)
            ):
                print(f"shiftbench: warning: {printable(line)}", file=sys.stderr)


@app.command
def demo(*, out: str = "shiftbench-demo", n_jobs: int = -1) -> None:
    """Build the embedded examples and say what is in them: drawn cats and dogs, X-ray phantoms.

    Parameters
    ----------
    out
        Folder that gets the benchmarks, `metashift` and `xray`.
    n_jobs
        Processes; -1 for all cores.
    """
    from shiftbench.demo import run_demo

    run_demo(out, n_jobs=n_jobs)


def _call(command: Callable[..., None], words: list[str], name: str) -> None:
    sub = App(
        name=name,
        help_format="markdown",
        version_flags=[],
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    sub.default(command)
    sub(words, exit_on_error=False, print_error=False)


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command; exits with 0, 1 (a clear error), 2 (wrong usage) or 130 (stopped).

    Examples
    --------
    >>> main(["verify", "nowhere"])
    Traceback (most recent call last):
    SystemExit: 1
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [w for w in words if w != "--debug"]
    if debug:
        os.environ.setdefault("PYTHONFAULTHANDLER", "1")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names may not fit a terminal's encoding
            stream.reconfigure(errors="backslashreplace")
    try:
        app(words, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except CycloptsError as error:
        print(f"shiftbench: {printable(' '.join(str(error).split()))}", file=sys.stderr)
        raise SystemExit(2) from None
    except ShiftbenchError as error:
        if debug:
            raise
        print(f"shiftbench: {printable(' '.join(str(error).split()))}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        resumes = words[:1] in (["build"], ["demo"])
        then = "goes on from here" if resumes else "starts again from the beginning"
        print(
            f"shiftbench: stopped; nothing is damaged, and the same command {then}", file=sys.stderr
        )
        raise SystemExit(130) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except OSError as error:
        if debug:
            raise
        where = error.filename or "standard output"
        print(f"shiftbench: {where}: {error.strerror or error}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
