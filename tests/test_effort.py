import time

import numpy as np
import pytest

from episome import effort


def test_work_is_told_from_waiting_and_memory_from_its_mean() -> None:
    with effort.measured() as cost:
        time.sleep(0.3)
        kept = np.ones(25_000_000)  # 200 MB
        time.sleep(0.3)
        del kept
    assert cost.seconds >= 0.6
    assert 0 < cost.cpu_seconds < cost.seconds
    assert cost.peak_bytes - cost.mean_bytes > 50e6
    assert cost.extra() == {"cpu_seconds": cost.cpu_seconds, "mean_bytes": cost.mean_bytes}


def test_what_fails_is_measured_and_raised() -> None:
    with pytest.raises(ZeroDivisionError), effort.measured() as cost:
        raise ZeroDivisionError
    assert cost.peak_bytes >= cost.mean_bytes > 0
