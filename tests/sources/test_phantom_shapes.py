"""Rays through ellipsoids and tubes, against sums over points along the ray."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftbench.sources._phantom_shapes import (
    Ellipsoid,
    Grid,
    Tubes,
    View,
    add_tubes,
    half_chord,
    overlap,
)

GRID = Grid(40, 5.0)


def inside(body: Ellipsoid, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    dx, dy = x - body.x, y - body.y
    u = (dx * np.cos(body.tilt) + dy * np.sin(body.tilt)) / body.a
    v = (-dx * np.sin(body.tilt) + dy * np.cos(body.tilt)) / body.b
    return np.abs(u) ** body.power + np.abs(v) ** body.power + ((z - body.z) / body.c) ** 2 <= 1


@given(
    st.floats(-60, 60), st.floats(-60, 60), st.floats(8, 70), st.floats(8, 70),
    st.floats(-3, 3), st.sampled_from([2, 4]),
)  # fmt: skip
def test_half_chord_is_half_the_length_inside(
    x: float, y: float, a: float, b: float, tilt: float, power: int
) -> None:
    body = Ellipsoid(x, y, 20.0, a, b, 30.0, tilt, power)
    whole = GRID.zeros()
    box, half = half_chord(GRID, body)
    whole[box] = half
    z = np.arange(-10, 50, 0.25) + 0.125
    axis = GRID.axis().astype(float)
    counted = inside(body, axis[None, :, None], axis[:, None, None], z).sum(-1) * 0.25
    assert np.abs(2 * whole - counted).max() < 0.6


def test_half_chord_of_a_body_outside_the_grid_is_empty() -> None:
    box, half = half_chord(GRID, Ellipsoid(500, 0, 0, 20, 20, 20))
    assert half.size == 0
    assert GRID.zeros()[box].size == 0


@given(st.floats(0, 50), st.floats(-50, 50), st.floats(0, 50), st.floats(-50, 50))
def test_overlap_is_the_length_that_two_intervals_share(
    h1: float, z1: float, h2: float, z2: float
) -> None:
    found = overlap(np.full((1, 1), h1, np.float32), z1, np.full((1, 1), h2, np.float32), z2)
    wanted = max(0.0, min(z1 + h1, z2 + h2) - max(z1 - h1, z2 - h2))
    assert found[0, 0] == pytest.approx(wanted, abs=1e-4)


def test_a_straight_tube_is_the_chord_through_a_cylinder() -> None:
    grid = Grid(64, 0.5)
    middle, slope, radius = 30.3, 0.4, 9.0  # in pixels
    line = np.arange(64)
    tubes = Tubes(
        line,
        middle + slope * (line - 32),
        np.full(64, radius * np.hypot(1, slope)),
        np.full(64, 9.0),
    )
    made = grid.zeros()
    add_tubes(made, tubes)
    row, column = np.mgrid[0:64, 0:64]
    distance = np.abs(row - middle - slope * (column - 32)) / np.hypot(1, slope)
    chord = 9.0 * np.sqrt(np.maximum(1 - (distance / radius) ** 2, 0))
    assert np.abs(made - chord).max() < 0.7  # at the edge, by widening of half a pixel
    assert np.abs(made - chord)[distance < 0.9 * radius].max() < 0.05
    across = grid.zeros()
    add_tubes(across, tubes, down=True)
    assert (across == made.T).all()


@pytest.mark.parametrize("radius", [0.05, 0.3, 1.0, 4.0])
def test_a_tube_keeps_its_cross_section_however_thin(radius: float) -> None:
    made = np.zeros((200, 200), np.float32)
    line = np.arange(200)
    middle = 100 + np.linspace(0, 1, 200)  # all phases of a pixel
    add_tubes(made, Tubes(line, middle, np.full(200, radius), np.full(200, 2 * radius)))
    assert made.sum() / 200 == pytest.approx(np.pi * radius**2, rel=0.04)


def test_a_hollow_tube_is_brightest_at_its_rim() -> None:
    made = np.zeros((41, 41), np.float32)
    line = np.arange(41)
    tubes = Tubes(line, np.full(41, 20.0), np.full(41, 15.0), np.full(41, 10.0))
    add_tubes(made, tubes, bore=0.8, marrow=1.0)
    assert made[20, 20] == pytest.approx(10 * (1 - 0.8), rel=0.01)
    assert made[8, 20] > 2 * made[20, 20]


def test_tubes_beyond_the_grid_add_nothing() -> None:
    made = np.zeros((8, 8), np.float32)
    far = Tubes(np.array([-1, 8, 3]), np.array([4.0, 4, 90]), np.full(3, 2.0), np.full(3, 1.0))
    add_tubes(made, far)
    assert not made.any()


def test_magnification_follows_the_distance_from_the_detector() -> None:
    back, front = (View(200, 1000, frontal) for frontal in (False, True))
    heart = Ellipsoid(30, 50, 60, 60, 50, 45)
    assert back.magnification(60) == pytest.approx(1000 / 900)
    assert front.magnification(60) == pytest.approx(1000 / 820)
    assert front.project(heart).a > back.project(heart).a > heart.a
    assert front.project(heart).c == heart.c


def test_grid_positions_and_middles_agree() -> None:
    grid = Grid(7, 2.0)
    assert grid.axis().tolist() == [-6, -4, -2, 0, 2, 4, 6]
    assert grid.position(grid.axis().astype(float)).tolist() == list(range(7))
    assert grid.span(-4.5, 2.0) == slice(1, 5)
    assert grid.span(90, 99) == slice(7, 7)
