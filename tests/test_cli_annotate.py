"""`episome annotate` gives HTTP's numbers, keeps stdout for data and leaves no half-written file."""

import gzip
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from starlette.testclient import TestClient

from episome import shelf
from episome_cli.main import COMMANDS, main
from serving import http
from tests import toy_bundles, worlds
from tests.conftest import ROOT

HEAVY = {
    "torch",
    "transformers",
    "peft",
    "mlflow",
    "great_expectations",
    "pandas",
    "pyarrow",
    "sklearn",
    "scipy",
    "bentoml",
}


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = tmp_path_factory.mktemp("world")
    worlds.write(at)
    records = {f"r{n}": toy_bundles.dna(n, 40 + 70 * n) for n in range(5)}
    (at / "in.fa").write_text("".join(f">{name} some words\n{bases}\n" for name, bases in records.items()))
    (at / "bad.fa").write_text(">good\nACGTGGTAAGTACGTACGTA\n>bad\nACG-\n>last\nGGTAAGTGGTAAGT\n")
    return at


def run(at: Path, *words: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(
        main,
        ["annotate", *words],
        input=stdin,
        env={"EPISOME_SHELF": str(at / "shelf"), "EPISOME_PARAMS": str(ROOT / "params.yaml")},
    )


def test_the_numbers_are_those_of_http(at: Path) -> None:
    done = run(at, "-s", "fly_sim", "-f", "jsonl", "--report", "all", str(at / "in.fa"))
    assert (done.exit_code, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    records = [{"id": f"r{n}", "sequence": toy_bundles.dna(n, 40 + 70 * n)} for n in range(5)]
    with TestClient(http.app(worlds.house(at / "shelf"))) as client:
        asked = {"species": "fly_sim", "report": "all", "records": records}
        answered = client.post("/v1/annotate", json=asked).json()["results"]
    for one, other in zip(lines, answered, strict=True):
        for task in one["tasks"]:
            ours, theirs = (each["tasks"][task].pop("features") for each in (one, other))
            scores = [[feature.pop("score") for feature in each] for each in (ours, theirs)]
            assert scores[0] == pytest.approx(scores[1], abs=2e-6)
            assert ours == theirs
        assert one == other
    assert sum(task["scored"] for each in lines for task in each["tasks"].values()) > 50


@pytest.mark.parametrize("kind", ["gff3", "bed", "tsv", "jsonl"])
def test_every_format_comes_from_a_file_stdin_or_gzip_alike(at: Path, kind: str) -> None:
    words = ("-s", "human_sim", "-f", kind, "--report", "all")
    plain = run(at, *words, str(at / "in.fa"))
    raw = (at / "in.fa").read_bytes()
    assert plain.exit_code == 0
    assert plain.stdout.count("\n") > 50 or kind == "jsonl"
    assert run(at, *words, "-", stdin=raw).stdout == plain.stdout
    assert run(at, *words, "-", stdin=gzip.compress(raw)).stdout == plain.stdout


def test_gff3_is_the_format_when_none_is_named(at: Path) -> None:
    assert run(at, "-s", "human_sim", str(at / "in.fa")).stdout.startswith("##gff-version 3\n")


def test_tasks_are_chosen_by_name(at: Path) -> None:
    done = run(at, "-s", "human_sim", "-t", "orf,donor", "-f", "jsonl", str(at / "in.fa"))
    assert list(json.loads(done.stdout.splitlines()[0])["tasks"]) == ["orf", "donor"]


def test_a_bad_record_is_named_and_the_others_are_written(at: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.tsv"
    done = run(at, "-s", "human_sim", "-f", "tsv", "--report", "all", "-o", str(output), str(at / "bad.fa"))
    assert done.exit_code == 1
    assert done.stdout == ""
    assert "record 'bad': character '-' at position 4" in done.stderr
    assert {line.split("\t")[0] for line in output.read_text().splitlines()[2:]} == {"good", "last"}
    assert [each.name for each in tmp_path.iterdir()] == ["out.tsv"]


@pytest.mark.parametrize("content", ["", "no header\n", ">a\nACGT\n>a\nACGT\n"])
def test_what_is_no_fasta_leaves_no_file(at: Path, tmp_path: Path, content: str) -> None:
    source = tmp_path / "in.fa"
    source.write_text(content)
    done = run(at, "-s", "human_sim", "-o", str(tmp_path / "out"), str(source))
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["in.fa"]


def test_an_output_that_stood_there_is_kept_when_the_run_fails(at: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.write_text("yesterday's")
    (tmp_path / "in.fa").write_text(">a\nACGT\n>a\nACGT\n")
    assert run(at, "-s", "human_sim", "-o", str(output), str(tmp_path / "in.fa")).exit_code == 1
    assert output.read_text() == "yesterday's"


def test_a_device_is_written_to_and_not_replaced(at: Path) -> None:
    assert run(at, "-s", "human_sim", "-o", "/dev/null", str(at / "in.fa")).exit_code == 0
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-s", "yeti"), "no species 'yeti'; served: fly_sim, human_sim"),
        (("-s", "human_sim", "-t", "enhancer"), "no task 'enhancer'; it has: promoter, donor, orf"),
        (("-s", "human_sim", "--shelf", "nowhere"), "no species is on this shelf"),
        (("-s", "human_sim", "--params", "nowhere.yaml"), "nowhere.yaml: no such file"),
    ],
)
def test_what_is_not_there_is_said_before_anything_is_read(at: Path, words: tuple[str, ...], message: str) -> None:
    done = run(at, *words, str(at / "in.fa"))
    assert (done.exit_code, done.stdout) == (1, "")
    assert message in done.stderr


def test_a_long_record_is_answered_piece_by_piece(at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("-s", "human_sim", "-f", "tsv", "--report", "all", str(at / "in.fa"))
    whole = run(at, *words).stdout
    monkeypatch.setattr("episome_cli.annotate.chunk_bases", lambda _: 100)
    monkeypatch.setattr("episome_cli.annotate._GROUP_RECORDS", 2)
    assert run(at, *words).stdout == whole


def test_a_record_longer_than_the_model_reads_is_told_and_not_cut(at: Path, tmp_path: Path) -> None:
    (tmp_path / "long.fa").write_text(f">long\n{toy_bundles.dna(1, 9000)}\n")
    done = run(at, "-s", "human_sim", "-t", "orf", "-f", "tsv", "--report", "all", str(tmp_path / "long.fa"))
    assert done.exit_code == 0
    assert done.stdout.splitlines()[2].split("\t")[1:9] == ["0", "9000", "+", "orf", "", "", "no", "too_long,no_call"]


def test_species_lists_the_shelf(at: Path) -> None:
    done = CliRunner().invoke(main, ["species", "--shelf", str(at / "shelf")])
    assert done.exit_code == 0
    entry = shelf.read(at / "shelf").species["fly_sim"]
    assert done.stdout.splitlines()[0].split("\t") == [
        "fly_sim",
        "v1",
        "simulated",
        "Toya toya",
        "promoter,donor,orf",
        entry.bundle,
    ]


def test_every_command_can_be_loaded_and_help_names_it() -> None:
    helped = CliRunner().invoke(main, ["--help"]).output
    for name in COMMANDS:
        assert f"  {name} " in helped
        assert CliRunner().invoke(main, [name, "--help"]).exit_code == 0


def test_a_command_that_is_not_there_is_a_usage_error() -> None:
    done = CliRunner().invoke(main, ["anotate"])
    assert done.exit_code == 2
    assert "No such command 'anotate'" in done.stderr


def test_help_costs_less_than_a_third_of_a_second_of_computing() -> None:
    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = spent()
    subprocess.run(
        [sys.executable, "-c", "from episome_cli.main import main; main(['--help'])"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    assert spent() - before < 0.3


@pytest.mark.slow
def test_annotate_loads_nothing_that_the_extra_serve_does_not_bring(at: Path) -> None:
    code = (
        "import sys; from episome_cli.main import main\n"
        f"main(['annotate', '-s', 'human_sim', '--shelf', {str(at / 'shelf')!r}, {str(at / 'in.fa')!r}], "
        "standalone_mode=False)\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "onnxruntime" in done.stderr.split()
    assert HEAVY.isdisjoint(done.stderr.split())
