"""X-ray patches whose shift is the acquisition: another device, or a stated change of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from importlib.resources import files
from typing import Any, ClassVar, Literal

import msgspec
import pyarrow as pa

from shiftbench.errors import ConfigurationError
from shiftbench.measuring.settings import Measurement
from shiftbench.plan import Inspected, Plan
from shiftbench.radiograph import Intensity, RadiographSource
from shiftbench.schema import Image, Metadata, Value

from .caveats import caveats
from .configs import ConfigMaker
from .cutting import Cut
from .decoders import Decoders
from .devices import in_distribution_groups, parse_only, usable_devices
from .inspection import inspect
from .leaks import check_columns
from .patch_table import patch_examples, public_columns, radiograph_of
from .reading import PatchReader
from .requirements import check_pixels, large_enough
from .simulated import makeable, parse_steps

__all__ = ["XrayPatches"]


@dataclass(frozen=True)
class XrayPatches:
    """Patches of radiographs, shifted by the device or by stated changes of the acquisition.

    After AdverX-Ray (SPIE Medical Imaging 2025, arXiv 2502.16610): one config an in-distribution
    device, with OOD patches of every other.

    Parameters
    ----------
    source : RadiographSource
        Where the radiographs come from.
    device : str
        The column that names the device, or several joined by ``*`` (``manufacturer*model``).
        Empty: all radiographs are of one device, for simulated changes where headers tell nothing.
    in_distribution : tuple of str
        Devices that are in-distribution, one config each; ``A+B`` takes two as one. By default the
        five with most patients.
    ood_validation : str
        The device of `ood_validation`, several joined by ``+``, "none", or "auto": of two or more
        other devices the one with fewest patients.
    match : tuple of str
        Columns by which each OOD test is matched to the in-distribution test, so that they do not
        explain the shift; by default finding and view, where the source has them. "none" matches
        nothing.
    method : str
        "strata" keeps equal shares of each combination of values (numbers cut at quartiles);
        "pairs" pairs each radiograph with the nearest, within a caliper of 0.2 standard deviations.
    unmatched : str
        What becomes of devices that cannot be matched: "mark" keeps them and says so, "drop".
    only : tuple of str
        Radiographs to take at all, such as finding=Pneumonia view=PA.
    min_patients : int
        Devices with fewer patients are left out.
    validation, test : float
        Shares of the in-distribution patients.
    shortcut : float, optional
        Build a correlation of this size (Cramér's V, 0 to 1) between the finding and two devices
        on purpose, for each in_distribution ``A+B``.
    acquisition : tuple of str
        Simulated changes, such as ``dose=2``, or a name for its five severities: one more config
        a device. Exact on phantoms, a surrogate on finished images.
    patch_size : int
        Side of a patch in pixels.
    patches : int
        Patches of each radiograph.
    region : str
        Where patches are cut: "central" (the whole patch inside the central share), "body" (where
        the body is) or "whole".
    share : float
        Of the rows and of the columns, for the central region.
    intensity : str
        "bits_stored", or "maximum", the rule of the paper.
    spacing : float, optional
        Resample to square pixels of so many mm; by default as they are.

    Examples
    --------
    >>> from shiftbench.sources import Phantoms
    >>> builder = XrayPatches(Phantoms(n_patients=100), min_patients=5, patches=2)
    >>> plan = builder.plan(builder.source.scan(), seed=0)
    >>> [split.name for split in plan.configs[0].splits][:4]
    ['train', 'validation', 'id_test', 'ood_validation']
    """

    source: RadiographSource
    device: str = "device"
    in_distribution: tuple[str, ...] = ()
    ood_validation: str = "auto"
    match: tuple[str, ...] | None = None
    method: Literal["strata", "pairs"] = "strata"
    unmatched: Literal["mark", "drop"] = "mark"
    only: tuple[str, ...] = ()
    min_patients: int = 10
    validation: float = 0.1
    test: float = 0.3
    shortcut: float | None = None
    acquisition: tuple[str, ...] = ()
    patch_size: int = 128
    patches: int = 16
    region: Literal["central", "body", "whole"] = "central"
    share: float = 0.6
    intensity: Intensity = "bits_stored"
    spacing: float | None = None

    name: ClassVar[str] = "xray"
    version: ClassVar[str] = "1"
    modes: ClassVar[tuple[str, ...]] = ("I;16",)
    measurement: ClassVar[Measurement] = Measurement(spaces=("spectrum", "pixels"), subsets=False)

    def __post_init__(self) -> None:
        for name in ("in_distribution", "match", "only", "acquisition"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise ConfigurationError(f"{name} is the string {value!r}; give a list of texts")
            if value is not None:
                object.__setattr__(self, name, tuple(dict.fromkeys(value)))
        if not isinstance(self.source, RadiographSource):
            raise ConfigurationError(
                f"the source {type(self.source).__name__} gives no radiographs; sources that do: "
                "radiographs (your files), phantoms (no download)"
            )
        if self.min_patients < 1:
            raise ConfigurationError(f"min_patients is {self.min_patients}; allowed: 1 and above")
        parse_steps(self.acquisition)
        parse_only(self.only)
        self.cut(0)

    def cut(self, seed: int) -> Cut:
        """How a radiograph is cut."""
        return Cut(
            size=self.patch_size,
            patches=self.patches,
            region=self.region,
            share=self.share,
            intensity=self.intensity,
            spacing=self.spacing,
            seed=seed,
        )

    def plan(self, metadata: Metadata, seed: int, excluded: frozenset[str] = frozenset()) -> Plan:
        """Devices, splits and patches; see `Plan`."""
        allowed = (*getattr(self.source, "keep", ()),)
        check_columns(public_columns(metadata.examples), allowed)
        radiographs, too_small = large_enough(metadata.examples, self.patch_size, self.spacing)
        gone = {radiograph_of(e) for e in excluded}
        usable = [e not in gone for e in radiographs["example_id"].to_pylist()]
        radiographs = radiographs.filter(pa.array(usable, pa.bool_()))
        steps, unmade = makeable(self.acquisition, self.source)
        # Headers that tell no device are what simulated changes are for; a rule that was given
        # stands, and is refused where it names no column.
        untold = (
            bool(steps) and self.device == "device" and "device" not in radiographs.schema.names
        )
        devices = usable_devices(
            radiographs,
            "" if untold else self.device,
            min_patients=self.min_patients,
            only=parse_only(self.only),
            at_least=1 if steps else 2,
        )
        maker = ConfigMaker(self, radiographs, devices, seed)
        drafts = [
            draft
            for group in in_distribution_groups(devices, self.in_distribution).values()
            for draft in maker.drafts(group, steps, unmade)
        ]
        check_pixels(radiographs, {row for d in drafts for row, _ in d.sheets}, self)
        sheets, again = maker.sheets(drafts)
        examples = patch_examples(
            radiographs,
            sheets,
            size=self.patch_size,
            device=maker.device_of,
            again=again,
            with_changes=bool(steps),
        )
        return Plan(
            builder=self.name,
            version=self.version,
            recipe=self.recipe(),
            seed=seed,
            metadata=Metadata(
                examples=examples,
                contexts=metadata.contexts.slice(0, 0),
                rejected=pa.concat_tables([metadata.rejected, too_small]),
                content={
                    "image": Image(),
                    "top": Value("int32"),
                    "left": Value("int32"),
                    "region": Value("string"),
                    "blank": Value("bool"),
                },
                fingerprint=metadata.fingerprint,
                license=metadata.license,
                redistributable=metadata.redistributable,
                identity="pixels",
                counts=metadata.counts,
                notes=metadata.notes,
                unit="radiograph",
            ),
            configs=tuple(maker.config(draft, sheets) for draft in drafts),
            tables={},
            excluded=excluded,
            counts=maker.counts,
        )

    def reader(self, seed: int) -> PatchReader:
        """From a patch's locator to its picture and where it was cut."""
        decoders = Decoders(self.source, seed)
        change = decoders.change if self.acquisition else None
        return PatchReader(decoders, self.cut(seed), change)

    def recipe(self) -> dict[str, Any]:
        """The configuration without the source, as plain values."""
        options = {
            f.name: msgspec.to_builtins(getattr(self, f.name))
            for f in fields(self)
            if f.name != "source"
        }
        return {k: v for k, v in options.items() if v is not None}

    def inspect(self, plan: Plan, gathered: Mapping[str, bytes]) -> Inspected:
        """Leaks and near-duplicates among the radiographs that were read; the source's caveats."""
        found = inspect(plan, gathered)
        told = caveats(self.source, self.device, self.spacing)
        return replace(found, remarks=(*told, *found.remarks))

    def remarks(self, verdicts: Sequence[Mapping[str, Any]]) -> list[str]:
        """Warnings about OOD tests that something else than the device tells apart."""
        return [
            f"{v['config']}: {v['target']} against id_test is {v['words']}; an AUROC there "
            "measures that too"
            for v in verdicts
            if v["source"] == "id_test"
            and v["target"].startswith("ood_test")
            and v["verdict"] == "confounded"
        ]

    def card(self) -> str:
        """What the card says of every benchmark of this family."""
        return files("shiftbench.builders.xray").joinpath("card.md").read_text("utf-8")
