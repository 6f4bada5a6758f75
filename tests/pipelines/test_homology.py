import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from episome import kin, mmseqs, params
from episome.sequence import reverse_complement
from episome.types import EpisomeError
from pipelines import genes, homology, paths, windows
from tests import tiny_genome
from tests.conftest import ROOT

TERMS = {"licence": "CC0-1.0", "citation": "nobody"}
SPECIES = ("zebra", "ape", "lab", "field", "broken")
ORF = {"scope": "sequence", "labels": ["noncoding", "coding"]}


def entry(source: dict[str, Any], donor: str) -> dict[str, Any]:
    return {
        "scientific_name": "Toy species", "taxon_id": 1, "simulated": False, "donor": donor,
        "beside": "base", "prior": "none", "release": "none", "source": source | TERMS, "train": {},
    }  # fmt: skip


def mutated(draw: random.Random, text: str, share: float) -> str:
    return "".join(draw.choice("ACGT".replace(c, "")) if draw.random() < share else c for c in text)


def labelled(folder: Path, **files: list[str]) -> None:
    folder.mkdir(parents=True)
    for name, texts in files.items():
        rows = [f"{text},{i % 2}" for i, text in enumerate(texts)]
        (folder / f"{name}.csv").write_text("\n".join(["sequence,label", *rows]) + "\n")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two genomes whose genes correspond, two labelled sets that share an orthologue, and a source that is broken.

    The ape's donor is the zebra, so the zebra is senior. Its working directory is the project's root.
    """
    draw = random.Random(1)
    for name in ("zebra", "ape"):  # the same genome
        tiny_genome.write(tmp_path / "genomes" / name, families=False)
    texts = ["".join(draw.choices("ACGT", k=200)) for _ in range(8)]
    labelled(tmp_path / "lab/orf", train=texts[:4], dev=texts[4:5], test=texts[5:6])
    cousin = reverse_complement(mutated(draw, texts[0], 0.05))
    labelled(tmp_path / "field/orf", train=texts[6:7], dev=texts[7:8], test=[cousin, texts[1]])
    tiny_genome.write(tmp_path / "genomes/broken")
    (tmp_path / "genomes/broken/genes.gtf").write_text("no annotation\n")
    given = yaml.safe_load((ROOT / "params.yaml").read_text())
    given["tasks"]["orf"] = ORF
    given["homology"]["method"] = "numpy"
    sets = {"kind": "labelled", "sets": {"orf": "orf"}}
    whole = {"kind": "genome", "tasks": ["donor"]}
    given["species"] = {
        "zebra": entry(whole | {"folder": "genomes/zebra"}, "base"),
        "ape": entry(whole | {"folder": "genomes/ape"}, "zebra"),
        "lab": entry(sets | {"folder": "lab"}, "base"),
        "field": entry(sets | {"folder": "field"}, "lab"),
        "broken": entry(whole | {"folder": "genomes/broken"}, "base"),
    }
    given["base"]["species"] = ["zebra"]
    given["study"]["curves"]["pairs"] = []
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(given, sort_keys=False))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*species: str) -> dict[str, Any]:
    """The report, once the genes of the species and their families are there."""
    for name in species or SPECIES:
        genes.main(name)
    homology.main()
    found: dict[str, Any] = json.loads((paths.homology() / "report.json").read_text())
    return found


def test_genes_of_two_species_are_families_named_by_the_senior_one(project: Path) -> None:
    run()
    names = {f"c{c}g{g}" for c in range(3) for g in range(6)}
    assert kin.read_families(paths.families("zebra")) == {name: name for name in names}
    assert kin.read_families(paths.families("ape")) == {name: name for name in names}


def test_the_report_says_what_was_compared_and_how(project: Path) -> None:
    report = run()
    assert report["methods"]["protein"].startswith("numpy")
    assert report["members"]["zebra"] == {"protein": 18, "transcript": 18}
    assert report["members"]["lab"] == {"window": 6}
    assert report["shared"]["ape-zebra"] == 18
    assert report["shared"]["field-lab"] == 2
    assert report["families"] == 20
    assert report["leaks"] == {"ape": 0, "broken": 0, "field": 2, "lab": 0, "zebra": 0}
    assert report["equal_sequences_across_splits"] == 1


def test_orthologues_across_the_split_of_two_labelled_sets_are_named(project: Path) -> None:
    run()
    leaks = json.loads(paths.relatives("field").read_text())
    families = kin.read_families(paths.families("field"))
    assert leaks == {family: ["lab"] for family in families.values()}
    assert len(families) == 2
    assert set(families.values()) <= set(kin.read_families(paths.families("lab")).values())
    assert json.loads(paths.relatives("lab").read_text()) == {}


def test_a_source_that_cannot_be_read_stops_nobody_but_itself(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = run()
    assert "genes.gtf line 1" in report["unread"]["broken"]
    assert f"broken left out: {report['unread']['broken']}" in capsys.readouterr().out
    assert kin.read_families(paths.families("broken")) == {}
    with pytest.raises(EpisomeError, match=r"genes\.gtf line 1"):
        windows.main("broken")


def test_the_stages_give_the_same_bytes_again(project: Path) -> None:
    def written() -> dict[Path, bytes]:
        folders = (paths.homology(), *map(paths.genes, SPECIES))
        return {path: path.read_bytes() for folder in folders for path in folder.iterdir()}

    run()
    first = written()
    run(*reversed(SPECIES))
    assert written() == first


def test_the_same_families_by_mmseqs(project: Path) -> None:
    if not mmseqs.installed():
        pytest.skip("no mmseqs is installed (Debian package mmseqs2)")
    run()
    before = {name: kin.read_families(paths.families(name)) for name in SPECIES}
    given = yaml.safe_load(Path("params.yaml").read_text())
    given["homology"]["method"] = "mmseqs"
    Path("params.yaml").write_text(yaml.safe_dump(given, sort_keys=False))
    assert run()["methods"]["protein"].startswith("mmseqs ")
    assert {name: kin.read_families(paths.families(name)) for name in SPECIES} == before


def test_a_species_that_is_new_leaves_the_files_of_the_others_as_they_were(project: Path) -> None:
    run()
    before = {name: paths.families(name).read_bytes() for name in ("zebra", "ape", "field", "lab")}
    given = yaml.safe_load(Path("params.yaml").read_text())
    given["species"]["cow"] = given["species"]["ape"] | {"donor": "ape"}
    Path("params.yaml").write_text(yaml.safe_dump(given, sort_keys=False))
    run("cow")
    assert {name: paths.families(name).read_bytes() for name in before} == before
    assert kin.read_families(paths.families("cow")) == kin.read_families(paths.families("zebra"))
    assert params.read().of("cow").donor == "ape"


def test_a_species_that_has_left_stays_compared_until_its_genes_are_deleted(project: Path) -> None:
    run()
    before = {path: path.read_bytes() for path in paths.homology().iterdir()}
    given = yaml.safe_load(Path("params.yaml").read_text())
    given["species"]["field"]["donor"] = "base"  # params have their say only by way of the genes
    del given["species"]["lab"]
    Path("params.yaml").write_text(yaml.safe_dump(given, sort_keys=False))
    homology.main()
    assert {path: path.read_bytes() for path in paths.homology().iterdir()} == before
    shutil.rmtree(paths.genes("lab"))
    homology.main()  # the field's donor by what its genes say, which is gone
    report = json.loads((paths.homology() / "report.json").read_text())
    assert set(report["members"]) == {*SPECIES} - {"lab"}
