"""`episome donor`: what it prints for known and unknown species, what it refuses, and that it writes nothing."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from episome import dataset, presets
from episome_cli.main import main
from pipelines import paths
from tests import table_rows
from tests.conftest import ROOT
from tests.test_spectra import dna, fasta

GC = {"human_sim": 0.41, "mouse_sim": 0.47, "zebrafish_sim": 0.36, "fly_sim": 0.55}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without data."""
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def change(here: Path, **values: Any) -> None:
    """Merge values into params.yaml."""
    path = here / "params.yaml"
    path.write_text(yaml.safe_dump(presets.merge(yaml.safe_load(path.read_text(encoding="utf-8")), values)))


def genomes(here: Path, *species: str) -> None:
    for number, key in enumerate(species):
        folder = here / "data/world/demo" / key
        folder.mkdir(parents=True)
        fasta(folder / "genome.fa", {"chr1": dna(GC[key], 120_000, number)})


def rows(key: str, bases: int = 120_000) -> None:
    count = bases // 300
    sequences = [dna(GC[key], 300, seed) for seed in range(count)]
    columns: dict[str, Any] = {"sequence": sequences, "split": ["train"] * (count - 1) + ["test"]}
    columns |= {"start": [0] * count, "end": [300] * count, "label": [0] * count, "contig": "", "strand": "+"}
    columns |= {"species": key, "group": "g", "origin": "o", "negative_kind": "", "release": "none"}
    paths.windows(key).mkdir(parents=True)
    dataset.write(paths.windows(key) / "rows.parquet", table_rows.build(columns, "promoter", ["promoter"]))


def run(*words: str) -> Result:
    before = {path: path.read_bytes() for path in Path.cwd().rglob("*") if path.is_file()}
    done = CliRunner().invoke(main, ["donor", *words])
    assert {path: path.read_bytes() for path in Path.cwd().rglob("*") if path.is_file()} == before
    return done


def tail(done: Result) -> Any:
    """The YAML at the end."""
    return yaml.safe_load(done.stdout[done.stdout.index("# into params.yaml") :])


def test_a_known_species_gets_distances_a_plan_and_yaml(here: Path) -> None:
    done = run("Rattus norvegicus")
    assert (done.exit_code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "Rattus norvegicus (rattus_norvegicus), not in params.yaml"
    assert lines[2].split() == ["candidate", "species", "distance", "measure", "band"]
    assert lines[3].split() == ["mouse_sim", "Mus", "musculus", "0.0328", "time", "near", "simulated"]
    assert [line.split()[0] for line in lines[4:7]] == ["human_sim", "zebrafish_sim", "fly_sim"]
    assert "1.0 is 400 million years since the common ancestor. From: TimeTree 5" in done.stdout
    assert (
        "Suggested donor: mouse_sim\nPlan: learning rate 5.00e-04, 35% of the layers start frozen, 3 epochs"
        in done.stdout
    )
    assert "It is far" not in done.stdout
    assert tail(done) == {"species": {"rattus_norvegicus": {"donor": "mouse_sim"}}}


def test_equal_distances_a_far_donor_and_overrides_are_said(here: Path) -> None:
    change(here, species={"zebrafish_sim": {"train": {"epochs": 2}}})
    done = run("zebrafish_sim")
    assert "Danio rerio (zebrafish_sim), donor now: human_sim" in done.stdout
    assert "human_sim (exactly as near: mouse_sim; the first by name is taken)" in done.stdout
    assert "a start from nothing may be as good; transfer.check_epochs tries both (epochs each: 1)" in done.stdout
    assert "species.zebrafish_sim.train goes before it: epochs" in done.stdout
    change(here, transfer={"check_epochs": 0})
    assert "transfer.check_epochs is 0: it is not tried" in run("Danio rerio").stdout


def test_heirs_are_shown_and_never_suggested(here: Path) -> None:
    done = run("human_sim")
    assert done.stdout.count("starts from it: no donor") == 2
    assert tail(done) == {"species": {"human_sim": {"donor": "fly_sim"}}}
    change(here, species={"fly_sim": {"donor": "mouse_sim"}})
    done = run("human_sim")
    assert "Suggested donor: base; every candidate starts from human_sim itself" in done.stdout
    assert tail(done) == {"species": {"human_sim": {"donor": "base"}}}


def test_a_policy_that_is_off_makes_no_plan(here: Path) -> None:
    change(here, transfer={"mode": "fixed"})
    done = run("mouse_sim")
    assert "Plan: none; transfer.mode is fixed" in done.stdout
    assert tail(done) == {"species": {"mouse_sim": {"donor": "human_sim"}}}


def test_a_tree_of_ones_own_shows_chains_and_what_it_lacks(here: Path) -> None:
    (here / "own.nwk").write_text("((Homo_sapiens:0.2,Mus_musculus:0.2):0.6,(Danio_rerio:0.1,Yeti_yeti:2):0.1);")
    change(
        here,
        transfer={"distance": {"measure": "newick", "newick": "own.nwk", "given": {"Homo sapiens / Yeti yeti": 0.3}}},
    )
    done = run("Yeti yeti")
    assert "fly_sim        Drosophila melanogaster  unknown" in done.stdout
    assert "1.0 is one unit of the tree. From: params.yaml, transfer.distance.given; own.nwk" in done.stdout
    assert "Chain: mouse_sim → human_sim → yeti_yeti, longest hop 0.3000 instead of 1.4500" in done.stdout
    change(here, transfer={"distance": {"measure": "neutral_half", "newick": None}})
    assert "1.0 is a substitution per site and branch" in run("human_sim").stdout


def test_a_fasta_that_is_not_needed_is_not_read(here: Path) -> None:
    (here / "in.fa").write_text("no FASTA")
    done = run("mouse_sim", "--fasta", "in.fa")
    assert (done.exit_code, done.stderr) == (0, "in.fa is not read: the distance is known without it\n")
    assert done.stdout == run("mouse_sim").stdout


def test_an_unknown_species_is_asked_by_its_six_mers(here: Path) -> None:
    genomes(here, *GC)
    fasta(here / "yeti.fa", {"chr1": dna(0.42, 130_000, 99)})
    done = run("Yeti yeti", "--fasta", "yeti.fa")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "No distance is known: 'Yeti yeti' is not in the pinned tree" in done.stdout
    table = [line for line in done.stdout.splitlines() if "genome: data/world/demo" in line]
    assert (len(table), table[0].split()[0]) == (4, "human_sim")
    assert "by 120,000 bases of each. A spectrum is no evolutionary distance" in done.stdout
    assert "Suggested donor: human_sim\ntransfer.distance.given needs a value of yours" in done.stdout
    assert tail(done) == {
        "species": {"yeti_yeti": {"donor": "human_sim"}},
        "transfer": {"distance": {"given": {"Yeti yeti / Homo sapiens": None}}},
    }


def test_spectra_that_cannot_tell_are_undecided(here: Path) -> None:
    genomes(here, "human_sim", "zebrafish_sim")
    fasta(here / "yeti.fa", {"chr1": dna(0.8, 130_000, 99)})
    done = run("Yeti yeti", "--fasta", "yeti.fa")
    assert done.exit_code == 0
    assert "Undecided:\n- human_sim and zebrafish_sim are more like each other" in done.stdout
    assert "mouse_sim is left out: no sequence on disk" in done.stderr
    assert "# into params.yaml" not in done.stdout


def test_training_rows_are_taken_where_not_all_have_a_genome(here: Path) -> None:
    for key in ("human_sim", "fly_sim"):
        rows(key)
    rows("mouse_sim", 9_000)
    genomes(here, "human_sim")
    fasta(here / "yeti.fa", {"chr1": dna(0.42, 130_000, 99)})
    done = run("Yeti yeti", "--fasta", "yeti.fa")
    assert "training rows: data/windows/human_sim/rows.parquet" in done.stdout
    assert "Training rows lie around sites and genes" in done.stdout
    assert "mouse_sim is left out: fewer than 100,000 bases in data/windows/mouse_sim/rows.parquet" in done.stderr
    assert tail(done)["species"] == {"yeti_yeti": {"donor": "human_sim"}}


def test_a_genome_and_training_rows_are_not_compared_with_each_other(here: Path) -> None:
    genomes(here, "human_sim")
    rows("fly_sim")
    fasta(here / "yeti.fa", {"chr1": dna(0.42, 130_000, 99)})
    done = run("Yeti yeti", "--fasta", "yeti.fa")
    assert "Undecided:\n- genomes and training rows differ for that alone" in done.stdout


def test_a_reference_of_intervals_is_a_genome_and_a_single_candidate_is_said_to_be_one(here: Path) -> None:
    folder = here / "data/benchmark"
    folder.mkdir(parents=True)
    fasta(folder / "ref.fa", {"chr1": dna(0.5, 120_000)})
    raw = yaml.safe_load((here / "params.yaml").read_text(encoding="utf-8"))
    raw["species"]["fly_sim"]["source"] = {
        "kind": "intervals", "folder": "data/benchmark", "sets": {"promoter": "p"}, "reference": "ref.fa",
        "licence": "none", "citation": "nobody",
    }  # fmt: skip
    (here / "params.yaml").write_text(yaml.safe_dump(raw))
    fasta(here / "yeti.fa", {"chr1": dna(0.42, 130_000, 99)})
    done = run("Yeti yeti", "--fasta", "yeti.fa")
    assert "genome: data/benchmark/ref.fa" in done.stdout
    assert "Suggested donor: fly_sim, the only one that could be compared" in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["yeti"], 1, "no species 'yeti' in params.yaml; known: human_sim, mouse_sim, zebrafish_sim, fly_sim; wanted:"),
        (
            ["Yeti yeti"],
            1,
            "give a tree (transfer.distance.newick) or a value (transfer.distance.given); or name a genome",
        ),
        (["Yeti yeti", "--fasta", "absent.fa"], 2, "'--fasta': File 'absent.fa' does not exist"),
        (["Yeti yeti", "--fasta", "empty.fa"], 1, "empty.fa: no record; wanted: FASTA"),
        (["Yeti yeti", "--fasta", "short.fa"], 1, "short.fa: fewer than 10,000 bases other than N; wanted: 100,000"),
        (
            ["Yeti yeti", "--fasta", "good.fa"],
            1,
            "no candidate has sequences to compare with; wanted: data/windows/KEY",
        ),
        (["human_sim", "--params", "absent.yaml"], 1, "absent.yaml: no such file; run from the project's root folder"),
        ([], 2, "Missing argument 'NAME'"),
    ],
)
def test_bad_input_is_refused_with_what_came_and_what_was_wanted(
    here: Path, words: list[str], code: int, said: str
) -> None:
    (here / "empty.fa").touch()
    fasta(here / "short.fa", {"c": dna(0.5, 9_000)})
    fasta(here / "good.fa", {"c": dna(0.5, 110_000)})
    done = run(*words)
    assert (done.exit_code, done.stdout) == (code, "")
    assert said in done.stderr
