"""Stage `cards`: dataset cards of one species and one page with pictures of what went in."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from episome import datacard, datapage, dataset, params, pictures
from episome.types import EpisomeError
from pipelines import paths


def main(species: str) -> None:
    """Write card.json, a Markdown card per task and report.html of one species."""
    settings = params.read()
    entry, tasks = settings.of(species), settings.tasks_of(species)
    source = paths.windows(species) / "rows.parquet"
    rows = dataset.read(source)
    facts = datacard.Facts(
        species=species,
        scientific_name=entry.scientific_name,
        taxon_id=entry.taxon_id,
        simulated=entry.simulated,
        release=entry.release,
        source=entry.source,
        sha256=hashlib.sha256(source.read_bytes()).hexdigest(),
        windows=json.loads((paths.windows(species) / "report.json").read_text(encoding="utf-8")),
        check=_read(paths.check(species) / "result.json"),
        homology=_read(paths.homology() / "report.json"),
    )
    cards = [datacard.card(rows, task, facts) for task in tasks]
    folder = paths.cards(species)
    folder.mkdir(parents=True, exist_ok=True)
    canonical = json.dumps({card["task"]: card for card in cards}, indent=2, sort_keys=True, ensure_ascii=False)
    (folder / "card.json").write_text(canonical + "\n", encoding="utf-8")
    for card in cards:
        (folder / f"{card['task']}.md").write_text(datacard.markdown(card), encoding="utf-8")
    drawn = {task.name: pictures.of_task(rows, task) for task in tasks}
    (folder / "report.html").write_text(datapage.page(cards, drawn), encoding="utf-8")
    print(f"{species}: cards of {', '.join(drawn)}; pictures: {folder / 'report.html'}")


def _read(path: Path) -> dict[str, Any] | None:
    """A report of another stage; None where that stage has not run, which the card says."""
    if not path.exists():
        return None
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return report


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except EpisomeError as error:
        sys.exit(f"cards: {error}")
