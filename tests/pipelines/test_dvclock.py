from typing import Any

import pytest
import yaml

from pipelines import dvclock
from pipelines.dvclock import LockError

STAGES: dict[str, dict[str, Any]] = {
    "register@human": {"cmd": "r", "deps": [{"path": "bundle/human", "md5": "6.dir"}]},
    "export@human": {
        "cmd": "e",
        "deps": [{"path": "adapters/human", "md5": "4.dir"}, {"path": "src/export.py", "md5": "c"}],
        "outs": [{"path": "bundle/human", "md5": "6.dir"}],
    },
    "train@human": {
        "cmd": "t",
        "deps": [{"path": "data/windows", "md5": "3.dir"}, {"path": "prior/none", "md5": "n.dir"}],
        "params": {"params.yaml": {"seed": 7}},
        "outs": [{"path": "adapters/human", "md5": "4.dir"}],
    },
    "windows@human": {
        "cmd": "w",
        "deps": [{"path": "data/world/demo/human", "md5": "2.dir"}, {"path": "src/windows.py", "md5": "b"}],
        "outs": [{"path": "data/windows/human", "md5": "31.dir"}],
    },
    "windows@dodo": {
        "cmd": "w",
        "deps": [{"path": "data/dodo", "md5": "0.dir"}],
        "outs": [{"path": "data/windows/dodo", "md5": "32.dir"}],
    },
    "world@demo": {"cmd": "s", "outs": [{"path": "data/world/demo", "md5": "1.dir"}]},
}
STATED = dvclock.read(yaml.safe_dump({"schema": "2.0", "stages": STAGES}))


def test_what_is_behind_an_output_comes_in_order_and_without_what_is_gone() -> None:
    found = dvclock.behind(STATED, "export@human", {"human", "demo"})
    assert [stage.name for stage in found] == ["world@demo", "windows@human", "train@human", "export@human"]
    assert dvclock.inputs(found) == {"prior/none": "n.dir", "src/export.py": "c", "src/windows.py": "b"}
    assert "data/dodo" in dvclock.inputs(dvclock.behind(STATED, "export@human", {"human", "demo", "dodo"}))
    assert dvclock.behind(STATED, "export@mouse", {"mouse"}) == ()


def test_what_differs_is_told_in_order_with_what_was_given() -> None:
    after = {name: dict(body) for name, body in STAGES.items()}
    after["windows@human"] |= {"outs": [{"path": "data/windows/human", "md5": "9.dir"}]}
    after["train@human"] |= {"params": {"params.yaml": {"seed": 8}}, "outs": [{"path": "adapters/human", "md5": "9"}]}
    after["train@human"] |= {"deps": [{"path": "data/windows", "md5": "9.dir"}, {"path": "prior/none", "md5": "n.dir"}]}
    again = dvclock.read(yaml.safe_dump({"stages": after}))
    before = dvclock.behind(STATED, "export@human", {"human", "demo"})
    assert [(stage.name, given) for stage, given in dvclock.differing(before, again)] == [
        ("windows@human", ()),
        ("train@human", ("data/windows", "params.yaml")),
    ]
    assert list(dvclock.differing(before, STATED)) == []


@pytest.mark.parametrize("text", ["", "{", "stages: {a: {}}", "stages: {a: {cmd: x, deps: [{md5: a}]}}", "stages: [a]"])
def test_what_is_no_lock_is_named(text: str) -> None:
    with pytest.raises(LockError, match=r"^dvc\.lock: not a dvc\.lock"):
        dvclock.read(text)
