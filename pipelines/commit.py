"""Which commit of the project this is."""

import subprocess

# What the pipeline itself writes, which is no difference.
_WRITTEN = (":(exclude)dvc.lock", ":(exclude)reports")


def state() -> tuple[str, str]:
    """Commit, and whether tracked files differ from it: ``yes``, ``no`` or ``unknown``; no commit is ``none``.

    What the pipeline itself writes (dvc.lock, reports) does not count as a difference.
    """
    head = _git("rev-parse", "HEAD")
    if head is None:
        return "none", "unknown"
    changed = changes()
    if changed is None:
        return head, "unknown"
    return head, "yes" if changed else "no"


def changes() -> tuple[str, ...] | None:
    """Tracked files that differ from the commit, by their paths from here; None where git cannot say."""
    names = _git("diff", "--name-only", "--relative", "-z", "HEAD", "--", ".", *_WRITTEN)
    return None if names is None else tuple(filter(None, names.split("\0")))


def has(commit: str) -> bool:
    """Whether the repository of this folder holds a commit, of a branch or of none."""
    return _git("cat-file", "-e", f"{commit}^{{commit}}") is not None


def _git(*words: str) -> str | None:
    """What git says, or None where there is no git, no repository or no commit yet."""
    try:
        return subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout.strip()
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
