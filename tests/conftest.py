"""What several test files share: where the outside data are, and a machine that tells nobody anything."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Nothing is reported to anybody, and the model hub is never asked. Set before any vendor is imported.
QUIET = {
    "BENTOML_DO_NOT_TRACK": "True",
    "DO_NOT_TRACK": "true",
    "DVC_NO_ANALYTICS": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
os.environ.update(QUIET)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real sequences and golden vectors that are not part of the repository; a test that needs them skips without."""
    folder = Path(os.environ.get("EPISOME_SHARED", ROOT.parent / "shared"))
    if not (folder / "reference").is_dir():
        pytest.skip(f"no reference data in {folder}; set EPISOME_SHARED to the folder that holds reference/ and data/")
    return folder
