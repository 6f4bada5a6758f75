"""A task whose parts contradict its scope is refused."""

import pytest

from episome.types import EpisomeError, Scope, Task


@pytest.mark.parametrize(("scope", "window"), [("sequence", 300), ("window", None)])
def test_a_window_length_belongs_to_windows_and_sites_only(scope: Scope, window: int | None) -> None:
    with pytest.raises(EpisomeError, match=f"task 't': scope '{scope}' with window {window}"):
        Task(name="t", scope=scope, window=window)


@pytest.mark.parametrize(("scope", "motif"), [("site", None), ("window", "GT")])
def test_a_motif_belongs_to_sites_only(scope: Scope, motif: str | None) -> None:
    with pytest.raises(EpisomeError, match=f"task 't': scope '{scope}' with motif {motif!r}"):
        Task(name="t", scope=scope, window=40, motif=motif)
