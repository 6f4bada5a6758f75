"""A copy of the project, and commands run in it on a machine that reaches nobody.

Two fences, and the second also tells: a network namespace with nothing but the loopback, where the kernel lends one;
and in every Python process an audit hook that refuses a look-up or connection to the outside and writes it down.
"""

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.conftest import QUIET, ROOT

HOOK = """
import ipaddress, os, sys

def outside(host):
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host in (None, "", "localhost", os.uname().nodename):
        return False
    try:
        address = ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return True
    return not (address.is_loopback or address.is_unspecified)

def hook(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if outside(host):
        with open(os.environ["LONELY_LOG"], "a") as log:
            log.write(f"{' '.join(sys.argv[:3])}: {event} {host}\\n")
        raise OSError(f"no outside network in this test: {event} {host}")

sys.addaudithook(hook)
"""


def copy(folder: Path) -> Path:
    """Copy what git knows or would take (not what it ignores) into `folder` as a repository with one commit."""
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        source, target = ROOT / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run([*git, "init", "--quiet"], cwd=folder, check=True)
    subprocess.run([*git, "add", "--all"], cwd=folder, check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "copy"], cwd=folder, check=True)
    hooks = folder.parent / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(HOOK, encoding="utf-8")
    return folder


def tried(folder: Path) -> str:
    """Every attempt to reach the outside so far, a line each."""
    log = folder.parent / "outside.log"
    return log.read_text(encoding="utf-8") if log.exists() else ""


@cache
def fence() -> tuple[str, ...]:
    """Words before a command that give it a network with only the loopback; none where that is not allowed."""
    for flags in ("-rn", "-n"):
        words = ("unshare", flags, "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
        if (
            shutil.which("unshare")
            and subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0
        ):
            return words
    return ()


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of this environment in the copy, without an outside network; judge its exit status yourself."""
    bin_folder = Path(sys.executable).parent
    inherited = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
    environment = (
        inherited
        | QUIET
        | {
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(map(str, (folder.parent / "hooks", folder / "src", folder))),
            "LONELY_LOG": str(folder.parent / "outside.log"),
        }
    )
    return subprocess.run(
        [*fence(), *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def repro(folder: Path, *targets: str) -> set[str]:
    """Stages that `dvc repro` ran in the copy; it must succeed."""
    done = run(folder, "dvc", "repro", *targets)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return set(re.findall(r"Running stage '([^']+)'", done.stdout))
