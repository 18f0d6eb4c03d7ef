"""The changes of an acquisition, with their units, frozen severities and the reasons for these.

Each acts on the processed image, since the detector's signal is not in it, and is a surrogate of
what would have happened in the X-ray system. On phantoms dose, kvp, scatter, blur, sharpen, pitch,
gamma and bits are computed exactly instead, under the same names and units.

`dose`, `kvp`, `scatter`, `collimation` and `grid` rest on a model of the exposure behind a grey
level: I = ½ − log₁₀(E / E₀) / 2, two decades from black to white, and 30 000 quanta per mm² at
mid-grey. The others are defined on the image alone. All values are clipped to [0, 1].
"""

from __future__ import annotations

import math

from shiftbench.transforms import _degrade, _exposure, _frequency
from shiftbench.transforms.step import Acquisition

__all__ = [
    "BITS",
    "BLUR",
    "COLLIMATION",
    "DEFECTS",
    "DOSE",
    "GAMMA",
    "GRID",
    "JPEG",
    "KVP",
    "PITCH",
    "ROTATION",
    "SCATTER",
    "SHARPEN",
]

DOSE = Acquisition(
    name="dose",
    unit="halvings of the dose",
    summary="less radiation: quantum noise with 2^h times the variance",
    severities=(1, 2, 3, 4, 5),
    reason="one halving is a deviation index of −3 (IEC 62494-1, AAPM TG-116), five are 1/32",
    identity=0,
    low=0,
    high=10,
    compute=_exposure.dose,
)
KVP = Acquisition(
    name="kvp",
    unit="kV added",
    summary="harder radiation: less contrast about mid-grey, as water attenuates less",
    severities=(10, 20, 30, 40, 50),
    reason="from 80 kV, usual at the bedside, past the 125 kV that EUR 16260 names for PA chests",
    identity=0,
    low=-30,
    high=70,
    compute=_exposure.kvp,
)
SCATTER = Acquisition(
    name="scatter",
    unit="added ratio of scatter to primary radiation",
    summary="scattered radiation spread over centimetres, the exposure scaled back",
    severities=(0.25, 0.5, 1, 2, 4),
    reason="4 is a scatter fraction of 80 %; without a grid about 90 % reaches the film behind the "
    "mediastinum (Niklason, Sorenson & Nelson 1981)",
    identity=0,
    low=0,
    high=20,
    compute=_exposure.scatter,
)
BLUR = Acquisition(
    name="blur",
    unit="lp/mm at which the added blur has an MTF of one half",
    summary="an added Gaussian blur",
    severities=(4, 3, 2, 1.5, 1),
    reason="2 takes a Gaussian MTF50 of 2 lp/mm (plates reach that) to 1.4; 1 takes it to 0.9",
    identity=math.inf,
    low=0.05,
    high=math.inf,
    compute=_frequency.blur,
    needs_pitch=True,
)
SHARPEN = Acquisition(
    name="sharpen",
    unit="added unsharp gain",
    summary="unsharp mask with a Gaussian of 1 mm",
    severities=(0.5, 1, 1.5, 2, 3),
    reason="a convention: a gain of 1 doubles detail finer than the mask",
    identity=0,
    low=0,
    high=20,
    compute=_frequency.sharpen,
)
PITCH = Acquisition(
    name="pitch",
    unit="factor by which pixels are larger",
    summary="means over larger pixels, shown at the old size",
    severities=(1.2, 1.4, 1.7, 2, 3),
    reason="pitches of 0.10 to 0.20 mm are in use: 0.143 to 0.171 is 1.2, 0.139 to 0.194 is 1.4, "
    "0.10 to 0.17 is 1.7, 2 × 2 binning is 2; 3 is beyond them",
    identity=1,
    low=1,
    high=32,
    compute=_frequency.larger_pixels,
)
GAMMA = Acquisition(
    name="gamma",
    unit="exponent of the display's look-up table",
    summary="another grey scale: I to the power of the exponent",
    severities=(1.1, 1.25, 1.5, 1.75, 2),
    reason="a convention: 2 takes mid-grey to a quarter",
    identity=1,
    low=0.1,
    high=10,
    compute=_degrade.gamma,
)
BITS = Acquisition(
    name="bits",
    unit="bits stored",
    summary="fewer grey levels",
    severities=(8, 7, 6, 5, 4),
    reason="detectors store 10 to 16; 8 is what PNG releases and screens have (no change to an "
    "image of 8 bits), and each step less halves the levels",
    identity=16,
    low=1,
    high=16,
    compute=_degrade.bits,
    whole=True,
)
JPEG = Acquisition(
    name="jpeg",
    unit="quality as libjpeg scales it",
    summary="lossy compression at 8 bits",
    severities=(90, 70, 50, 30, 10),
    reason="a convention: 50 is the standard's example tables as they are, 10 is five times them",
    identity=None,
    low=1,
    high=100,
    compute=_degrade.jpeg,
    whole=True,
)
COLLIMATION = Acquisition(
    name="collimation",
    unit="share of a side that is blocked at each of its ends",
    summary="the edges of a collimator, with a penumbra of 5 mm",
    severities=(0.05, 0.1, 0.2, 0.25, 0.3),
    reason="a convention: 0.3 leaves 16 % of the field open; up to 0.2 the central 60 %, which "
    "patches are cut from, is hardly touched",
    identity=0,
    low=0,
    high=0.45,
    compute=_exposure.collimation,
)
GRID = Acquisition(
    name="grid",
    unit="relative amplitude of the exposure, of lines at 4 lp/mm",
    summary="lines of a resting grid with 40 strips per cm, aliased where pixels are too large",
    severities=(0.02, 0.05, 0.1, 0.15, 0.2),
    reason="a convention; the amplitude is the recorded one, behind the detector's aperture",
    identity=0,
    low=0,
    high=0.9,
    compute=_exposure.grid,
    needs_pitch=True,
)
ROTATION = Acquisition(
    name="rotation",
    unit="degrees counter-clockwise",
    summary="the detector turned against the patient",
    severities=(1, 2, 5, 10, 15),
    reason="a convention: from what positioning leaves to what a reader would correct",
    identity=0,
    low=-180,
    high=180,
    compute=_degrade.rotation,
    geometric=True,
)
DEFECTS = Acquisition(
    name="defects",
    unit="share of defective pixels",
    summary="dead and hot pixels that nobody mapped, a quarter of them in lines",
    severities=(0.0001, 0.0003, 0.001, 0.003, 0.01),
    reason="a convention about 0.1 %: defects are mapped and filled in, so what is seen is few",
    identity=0,
    low=0,
    high=0.5,
    compute=_degrade.defects,
)
