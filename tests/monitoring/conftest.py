"""Profiles are fitted once; everything else is made anew."""

import pytest

from episome.drift import Profile
from tests.monitoring import feed


@pytest.fixture(scope="session")
def known() -> dict[str, Profile]:
    return feed.profiles()


class Clock:
    """A time that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()
