"""`episome data verify`: every file that DVC tracks is hashed again, in the workspace and in the cache.

DVC remembers a file's hash by its size and time and seldom reads it again, so a byte that flipped on the disk goes
unseen. Here everything is read. DVC itself says what is tracked (it resolves dvc.yaml, dvc.lock and the .dvc files).
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from dvc.exceptions import DvcException
from dvc.repo import Repo

from episome.types import EpisomeError
from pipelines import pins, published

_DIR: Final = ".dir"
_GONE: Final = "missing"
_UNREADABLE: Final = "unreadable"


class VerifyError(EpisomeError):
    """Not a DVC project, or its records cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One file that is not what a record says.

    Attributes:
        where: which copy: the workspace, DVC's cache, or the workspace against ``sha256sums.txt``.
        stage: stage of dvc.yaml or ``.dvc`` file whose output it is.
        path: the file itself.
        of: the output's file it is a copy of; same as `path` in the workspace.
        wanted: hash in the record; ``nothing`` where the record has no such file.
        found: hash of what is there, or ``missing``.
    """

    where: Literal["workspace", "cache", "sha256"]
    stage: str
    path: str
    of: str
    wanted: str
    found: str

    def words(self) -> str:
        """As a line for people."""
        copy = "" if self.of == self.path else f" (copy of {self.of})"
        return f"{self.where:9}  {self.stage}: {self.path}{copy}: wanted {self.wanted}, found {self.found}"


@dataclass(slots=True, kw_only=True)
class Report:
    """What was hashed, and what is not right.

    Attributes:
        outputs: outputs with a hash in the records.
        files: files hashed in the workspace.
        cached: files hashed in the cache, each once.
        bytes: read in all.
        wrong: files altered, missing from the workspace, or too many.
        not_in_cache: cache files that are not there; nothing is wrong with that while the workspace has them.
        never_made: outputs without a hash, because their stage never ran.
    """

    outputs: int = 0
    files: int = 0
    cached: int = 0
    bytes: int = 0
    wrong: list[Finding] = field(default_factory=list)
    not_in_cache: list[Finding] = field(default_factory=list)
    never_made: list[str] = field(default_factory=list)

    def words(self) -> Iterator[str]:
        """Lines for people, the verdict last."""
        yield from (f"wrong: {finding.words()}" for finding in self.wrong)
        yield from (f"not in the cache: {found.stage}: {found.of} ({found.wanted})" for found in self.not_in_cache)
        if self.never_made:
            yield f"never made: {len(self.never_made)} outputs, first {self.never_made[0]}"
        read = (
            f"{self.outputs} outputs, {self.files} files here and {self.cached} in the cache "
            f"({self.bytes / 1e6:.1f} MB) hashed"
        )
        yield f"{read}; {len(self.wrong)} wrong, {len(self.not_in_cache)} not in the cache"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Output:
    """One tracked output.

    Attributes:
        stage: whose it is.
        path: absolute.
        md5: of the file, or of the list of the folder's files with ``.dir`` at its end.
        cache: folder of the cache that holds it; None where the record says it is not cached.
    """

    stage: str
    path: Path
    md5: str
    cache: Path | None

    def cached(self, md5: str) -> Path | None:
        return self.cache / md5[:2] / md5[2:] if self.cache else None


def verify(root: Path = Path()) -> Report:
    """Hash what DVC tracks below `root` again, and what ``sha256sums.txt`` files beside ``.dvc`` files name.

    Raises:
        VerifyError: `root` is in no DVC project, or dvc.yaml, dvc.lock or a .dvc file cannot be read.
    """
    report, root = Report(), root.resolve()
    try:
        with Repo(str(root)) as repo:
            outputs = list(_outputs(repo, report))
            hasher = _Hasher(report=report, root=root, ignored=repo.dvcignore.is_ignored_file)
    except DvcException as error:
        raise VerifyError(f"{root}: DVC cannot read its records: {error}") from error
    for output in outputs:
        report.outputs += 1
        if output.md5.endswith(_DIR):
            hasher.folder(output)
        else:
            hasher.file(output, output.path, output.md5)
            hasher.first_content(output)
    return report


def _outputs(repo: Repo, report: Report) -> Iterator[_Output]:
    for stage in repo.index.stages:
        for out in stage.outs:
            if out.protocol != "local":
                continue
            if not out.hash_info:
                report.never_made.append(f"{stage.addressing} ({out})")
            elif out.hash_name != "md5":  # DVC 2 normalised line ends before it hashed
                raise VerifyError(f"{stage.addressing}: recorded by DVC 2 ({out.hash_name}); run `dvc commit` first")
            else:
                cache = Path(out.cache.path) if out.use_cache else None
                yield _Output(stage=stage.addressing, path=Path(out.fs_path), md5=out.hash_info.value, cache=cache)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hasher:
    """Hashes into a report; what it hashed in the cache it does not hash twice."""

    report: Report
    root: Path
    ignored: Any
    seen: set[Path] = field(default_factory=set)

    def file(self, output: _Output, path: Path, md5: str) -> None:
        """One file, here and in the cache."""
        found = self._hash(path, "md5")
        if found:
            self.report.files += 1
        if found != md5:
            self._wrong("workspace", output, path, path, f"md5 {md5}", _said(found))
        self._cached(output, path, md5)

    def folder(self, output: _Output) -> None:
        """A folder: its list of files in the cache, then each of them."""
        here = self._tree(output.path)
        digest = f"{_list_md5(here)}{_DIR}"
        listed = self._listed(output)
        if listed is None and digest == output.md5:
            listed = here  # the list in the cache is gone or altered, but the folder is what it was
        for name, md5 in (listed or {}).items():
            self._cached(output, output.path / name, md5)
        if listed is None or not output.path.is_dir():
            found = f"md5 {digest}" if output.path.is_dir() else _GONE
            self._wrong("workspace", output, output.path, output.path, f"md5 {output.md5}", found)
            return
        for name in sorted(here.keys() | listed.keys()):
            if here.get(name) != listed.get(name):
                path = output.path / name
                wanted = f"md5 {listed[name]}" if name in listed else "nothing"
                found = _said(here.get(name))
                self._wrong("workspace", output, path, path, wanted, found)

    def first_content(self, output: _Output) -> None:
        """A file against the sha256 written down when it was first fetched, where one was."""
        sha256 = pins.recorded(output.path.parent).get(output.path.name)
        found = self._hash(output.path, "sha256") if sha256 else None
        if found and found != sha256:
            self._wrong("sha256", output, output.path, output.path, f"sha256 {sha256}", _said(found, "sha256"))

    def _listed(self, output: _Output) -> Mapping[str, str] | None:
        """File name → md5 by the folder's list in the cache; None where the list is not there or not sound."""
        path = output.cached(output.md5)
        if not self._cached(output, output.path, output.md5) or path is None:
            return None
        return {entry["relpath"]: entry["md5"] for entry in json.loads(path.read_bytes())}

    def _cached(self, output: _Output, of: Path, md5: str) -> bool:
        """Hash a file of the cache, unless it was already; whether it is sound."""
        path = output.cached(md5)
        if path is None:
            return False
        if path in self.seen:
            return all(finding.path != self._shown(path) for finding in self.report.wrong)
        found = self._hash(path, "md5")
        if found is None:
            missing = self._finding("cache", output, path, of, f"md5 {md5}", _GONE)
            self.report.not_in_cache.append(missing)
            return False
        self.seen.add(path)
        self.report.cached += 1
        if found != md5.removesuffix(_DIR):
            self._wrong("cache", output, path, of, f"md5 {md5}", _said(found))
            return False
        return True

    def _tree(self, folder: Path) -> dict[str, str]:
        """File name → md5 of what is in a folder, as DVC would list it."""
        found = {}
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not self.ignored(str(path)) and (md5 := self._hash(path, "md5")):
                self.report.files += 1
                found[path.relative_to(folder).as_posix()] = md5
        return found

    def _hash(self, path: Path, method: Literal["md5", "sha256"]) -> str | None:
        """A file's hash, None where there is no file; a disk that cannot give it back is a finding like another."""
        if not path.is_file():
            return None
        self.report.bytes += path.stat().st_size
        try:
            return published.digest(path, method)
        except OSError as error:
            return f"{_UNREADABLE}: {error}"

    def _wrong(self, where: Any, output: _Output, path: Path, of: Path, wanted: str, found: str) -> None:
        self.report.wrong.append(self._finding(where, output, path, of, wanted, found))

    def _finding(self, where: Any, output: _Output, path: Path, of: Path, wanted: str, found: str) -> Finding:
        return Finding(
            where=where, stage=output.stage, path=self._shown(path), of=self._shown(of), wanted=wanted, found=found
        )

    def _shown(self, path: Path) -> str:
        return str(path.relative_to(self.root) if path.is_relative_to(self.root) else path)


def _said(found: str | None, method: str = "md5") -> str:
    """What was found, in words."""
    if found is None:
        return _GONE
    return found if found.startswith(_UNREADABLE) else f"{method} {found}"


def _list_md5(tree: Mapping[str, str]) -> str:
    """The md5 that DVC gives a folder: of its list of files as JSON, ordered by name."""
    entries = [{"md5": md5, "relpath": name} for name, md5 in sorted(tree.items())]
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode(), usedforsecurity=False).hexdigest()
