"""Which commit of the project this is."""

import subprocess


def state() -> tuple[str, str]:
    """Commit, and whether tracked files differ from it: ``yes``, ``no`` or ``unknown``; no commit is ``none``.

    What the pipeline itself writes (dvc.lock, reports) does not count as a difference.
    """
    head = _git("rev-parse", "HEAD")
    if head is None:
        return "none", "unknown"
    changed = _git(
        "status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)dvc.lock", ":(exclude)reports"
    )
    if changed is None:
        return head, "unknown"
    return head, "yes" if changed else "no"


def _git(*words: str) -> str | None:
    """What git says, or None where there is no git, no repository or no commit yet."""
    try:
        return subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout.strip()
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
