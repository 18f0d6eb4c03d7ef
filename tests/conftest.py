"""What every test finds: no network, no writing outside temporary folders, the shared real data."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

# Set before anything imports datasets or huggingface_hub, which read these when imported; and in
# the environment, so that the processes that tests start have them too.
_CACHE = Path(tempfile.mkdtemp(prefix="shiftbench-tests-"))
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_HOME=str(_CACHE),
    HF_HUB_CACHE=str(_CACHE / "hub"),
    HF_DATASETS_CACHE=str(_CACHE / "datasets"),
    SHIFTBENCH_CACHE=str(_CACHE / "shiftbench"),
)
for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
    os.environ.pop(name, None)

settings.register_profile(
    "local", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("ci", settings.get_profile("local"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_unconfigure() -> None:
    shutil.rmtree(_CACHE, ignore_errors=True)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data that several checkouts share; tests that need it skip without it."""
    chosen = os.environ.get("SHIFTBENCH_SHARED_DATA")
    folder = Path(chosen) if chosen else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(
            "no real data: the environment variable SHIFTBENCH_SHARED_DATA or the folder "
            "../shared/data beside the checkout would have it"
        )
    return folder
