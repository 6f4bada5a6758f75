"""Where each artefact of the pipeline lives, relative to the project's root: one function each."""

from pathlib import Path


def world(name: str) -> Path:
    """Simulated genomes of one world, a folder per species."""
    return Path("data/world") / name


def genes(species: str) -> Path:
    """``members.tsv.gz`` and ``report.json``: what of one species is compared with the others."""
    return Path("data/genes") / species


def compared() -> list[str]:
    """Species that `genes` has left something of, in the order of their names."""
    return sorted(report.parent.name for report in genes("").glob("*/report.json"))


def homology() -> Path:
    """``report.json``, and what `families` and `relatives` name."""
    return Path("data/homology")


def families(species: str) -> Path:
    """Homology families of one species' genes or labelled sequences."""
    return homology() / f"{species}.tsv"


def relatives(species: str) -> Path:
    """Families that one species holds out and another trains on."""
    return homology() / f"{species}.leaks.json"


def windows(species: str) -> Path:
    """``rows.parquet``, ``report.json`` and ``corpus.txt`` of one species."""
    return Path("data/windows") / species


def check(species: str) -> Path:
    """Outcome of the data gate of one species: ``result.json`` and ``docs/``."""
    return Path("reports/check") / species


def corpus(species: str) -> Path:
    """Unlabelled training sequences of one species for the mini base, one a line."""
    return Path("data/corpus") / f"{species}.txt"


def base() -> Path:
    """The base model: config.json, model.safetensors, tokenizer.json."""
    return Path("models/base")


def adapter(species: str) -> Path:
    """The trained adapter of one species (`base` names the zero adapter)."""
    return Path("adapters") / species


def checkpoint(species: str) -> Path:
    """How far a training of one species is; there only while it runs, or after it was killed."""
    return Path("checkpoints") / f"{species}.safetensors"


def pinned(name: str) -> Path:
    """What a retrain is held to: the champion, and rows of its where it may keep some; ``none`` is empty."""
    return Path("prior") / name


def prior(name: str) -> Path:
    """The champion bundle a retrain is held to."""
    return pinned(name) / "champion"


def prior_name(species: str, digest: str) -> str:
    """Name under ``prior/`` of a champion bundle that a retrain is held to."""
    return f"{species}-{digest[:12]}"


def release(name: str) -> Path:
    """Labelled rows added to a species by a retrain; ``none`` is empty."""
    return Path("releases") / name


def evaluation(species: str) -> Path:
    """Test metrics of one species."""
    return Path("reports/evaluate") / f"{species}.json"


def bundle(name: str) -> Path:
    """The exported bundle of one species, or of the base."""
    return Path("bundle") / name


def gate(species: str) -> Path:
    """Gate report of one species."""
    return Path("reports/gate") / f"{species}.json"


def retrain(species: str) -> Path:
    """What the last `episome retrain` of one species tried, with every gate report; no stage writes it."""
    return Path("reports/retrain") / f"{species}.json"


def registration(species: str) -> Path:
    """MLflow version of one species' bundle."""
    return Path("reports/register") / f"{species}.json"


def cards(species: str) -> Path:
    """Dataset cards of one species: ``card.json``, ``<task>.md`` and ``report.html``."""
    return Path("reports/cards") / species


def baselines() -> Path:
    """Scores of the baselines, each trained on each species and tested on every one."""
    return Path("reports/baselines.json")


def baselines_page() -> Path:
    """The same as a page for people."""
    return Path("reports/baselines.md")


def study(species: str) -> Path:
    """What the reduced study found with one species' adapter: ``study.json``, ``runs.jsonl``, ``predictions/``."""
    return Path("reports/study") / species


def full_study() -> Path:
    """The same of the full grid, all species together, and the adapters it trained; no stage writes it."""
    return Path("reports/study_full")


def report() -> Path:
    """Pictures, table and dashboard of the reduced study."""
    return Path("reports/transfer")
