"""`episome annotate` gives HTTP's numbers, keeps stdout for data and leaves no half-written file."""

import gzip
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
from click.testing import CliRunner, Result
from starlette.testclient import TestClient

from episome import formats, shelf
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


def split(text: str) -> tuple[list[dict[str, Any]], list[list[str]]]:
    """Comments, read, and rows of a TSV, the header among them."""
    lines = text.splitlines()
    comments = [json.loads(line[2:]) for line in lines if line.startswith("# ")]
    return comments, [line.split("\t") for line in lines if not line.startswith("# ")]


def rows(at: Path, *words: str) -> list[list[str]]:
    """The rows of every window of human_sim, without the header."""
    done = run(at, "-s", "human_sim", "-f", "tsv", "--report", "all", *words)
    assert (done.exit_code, done.stderr) == (0, "")
    return split(done.stdout)[1][1:]


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


@pytest.mark.parametrize("kind", list(formats.WRITERS))
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
    comments, (_, *rows) = split(output.read_text())
    assert {row[0] for row in rows} == {"good", "last"}
    (refused,) = (each["problem"] for each in comments if "problem" in each)
    assert (refused["record"], refused["position"], refused["character"]) == ("bad", 4, "-")
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
    monkeypatch.setattr("episome.reply._RECORD_BASES", 200)
    assert run(at, *words).stdout == whole


def test_a_record_longer_than_the_model_reads_is_told_and_not_cut(at: Path, tmp_path: Path) -> None:
    (tmp_path / "long.fa").write_text(f">long\n{toy_bundles.dna(1, 9000)}\n")
    done = run(at, "-s", "human_sim", "-t", "orf", "-f", "tsv", "--report", "all", str(tmp_path / "long.fa"))
    assert done.exit_code == 0
    assert done.stdout.splitlines()[2].split("\t")[1:9] == ["0", "9000", "+", "orf", "", "", "no", "too_long,no_call"]


def test_several_inputs_are_one_after_the_other_and_ids_differ_between_them(at: Path, tmp_path: Path) -> None:
    (tmp_path / "more.fa").write_text(">more\nACGTGGTAAGTACGTACGTA\n")
    words = ("-s", "human_sim", "-f", "bed")
    both = run(at, *words, str(at / "in.fa"), "-", stdin=(tmp_path / "more.fa").read_bytes())
    joined = run(at, *words, "-", stdin=(at / "in.fa").read_bytes() + (tmp_path / "more.fa").read_bytes())
    assert (both.exit_code, both.stdout) == (0, joined.stdout)
    twice = run(at, *words, str(at / "in.fa"), "-", stdin=b">x\nACGT\n>r3\nACGT\n")
    assert (twice.exit_code, f"{at / 'in.fa'} and input have a record 'r3' each" in twice.stderr) == (1, True)
    assert run(at, *words, "-", "-").exit_code == 2


def test_a_strand_is_what_both_have_of_it(at: Path) -> None:
    words = ("-t", "promoter,donor", str(at / "in.fa"))
    both = rows(at, *words)
    for strand in "+-":
        one = rows(at, "--strand", strand, *words)
        assert one == [row for row in both if row[3] == strand]
        assert one


def overlaps(row: list[str], spans: list[tuple[int, int]]) -> bool:
    start = int(row[1])
    end = start + 1 if row[4] == "donor" else int(row[2])
    return any(start < stop and begin < end for begin, stop in spans)


def test_a_region_has_what_the_whole_record_has_there(at: Path, tmp_path: Path) -> None:
    whole = [row for row in rows(at, str(at / "in.fa")) if row[0] in ("r2", "r4")]
    spans = {"r2": [(49, 52), (99, 180)], "r4": [(0, 1)]}
    expected = [row for row in whole if overlaps(row, spans[row[0]])]
    (tmp_path / "x.bed").write_text("r4\t0\t1\nr2\t99\t180\nr2\t49\t52\nr2\t120\t130\n")
    assert rows(at, "--bed", str(tmp_path / "x.bed"), str(at / "in.fa")) == expected
    named = ("--region", "r2:50-52", "--region", "r4:1-1", "--region", "r2:100-180")
    assert rows(at, *named, str(at / "in.fa")) == expected
    assert len({row[4] for row in expected}) == 3


def test_a_threshold_replaces_the_calibrated_one_and_is_recorded(at: Path) -> None:
    words = ("-s", "human_sim", "-f", "tsv", "--report", "all", str(at / "in.fa"))
    before, plain = split(run(at, *words).stdout)
    comments, changed = split(run(at, "--threshold", "0.99", "--threshold", "donor=0", *words).stdout)
    told = {name: (task["threshold"], task["calibrated_threshold"]) for name, task in comments[0]["tasks"].items()}
    assert told == {"promoter": (0.99, 0.5), "donor": (0.0, 0.4), "orf": (0.99, 0.5)}
    assert {task["threshold"] for task in before[0]["tasks"].values()} == {0.5, 0.4}
    assert [row[:5] + row[6:7] for row in changed] == [row[:5] + row[6:7] for row in plain]
    called = [(row[4], row[7]) for row in changed[1:] if row[6]]
    assert {each for task, each in called if task == "donor"} == {"yes"}
    high = [row[7] == "yes" for row in changed[1:] if row[6] and row[4] != "donor"]
    assert high == [float(row[6]) >= 0.99 for row in changed[1:] if row[6] and row[4] != "donor"]
    calls = run(at, "--threshold", "donor=0", "-t", "donor", *words[:4], str(at / "in.fa")).stdout
    assert len(split(calls)[1]) - 1 == sum(task == "donor" for task, _ in called)


def test_called_windows_that_overlap_are_one_feature(at: Path) -> None:
    words = ("-s", "human_sim", "-t", "promoter", "-f", "tsv", "--threshold", "0", str(at / "in.fa"))
    every = split(run(at, "--report", "all", *words).stdout)[1][1:]
    called = split(run(at, *words).stdout)[1][1:]
    assert [row[1:4] for row in called if row[0] == "r4"] == [["0", "320", "+"], ["0", "320", "-"]]
    for row in called:
        assert row[6] == max(each[6] for each in every if (each[0], each[3]) == (row[0], row[3]))


def test_windows_without_a_call_are_counted_in_call_mode(at: Path) -> None:
    done = run(at, "-s", "human_sim", "-t", "promoter", "-", stdin=b">a\n" + b"N" * 60 + b"ACGT" * 15 + b"\n")
    assert done.stdout.splitlines()[-1 if "\t" not in done.stdout else -2] == (
        '# {"record": "a", "tasks": {"promoter": {"scored": 4, "no_call": 2}}}'
    )


@pytest.mark.parametrize("kind", list(formats.WRITERS))
def test_an_output_that_ends_in_gz_is_gzip_of_the_same_bytes(at: Path, tmp_path: Path, kind: str) -> None:
    words = ("-s", "human_sim", "-f", kind, str(at / "in.fa"))
    plain = run(at, *words).stdout
    for name in ("one.gz", "other.gz"):
        assert run(at, *words, "-o", str(tmp_path / name)).exit_code == 0
    subprocess.run(["gzip", "-t", str(tmp_path / "one.gz")], check=True)
    assert gzip.decompress((tmp_path / "one.gz").read_bytes()).decode() == plain
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "other.gz").read_bytes()


def test_threads_change_nothing_but_the_time(at: Path) -> None:
    words = ("--report", "all", "-s", "human_sim", str(at / "in.fa"))
    assert run(at, "--threads", "1", *words).stdout == run(at, "--threads", "3", *words).stdout


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this machine has CUDA")
def test_a_device_that_is_not_there_is_told_and_no_other_is_taken(at: Path) -> None:
    done = run(at, "-s", "human_sim", "--device", "cuda", str(at / "in.fa"))
    assert (done.exit_code, done.stdout) == (1, "")
    assert "CUDAExecutionProvider is not in this installation of onnxruntime" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--region", "r1"), "wanted: contig:start-end"),
        (("--region", "r1:1-111"), "a region covers bases 1 to 111 of record 'r1', which has 110"),
        (("--region", "chr1:1-5"), "a region is on 'chr1'; no record of the input has that id"),
        (("--threshold", "1.5"), "threshold '1.5'; wanted: a probability"),
        (("--threshold", "nan"), "threshold 'nan'; wanted: a probability"),
        (("--threshold", "donor="), "threshold 'donor='; wanted: a probability"),
        (("--threshold", "yeti=0.5"), "a threshold for task 'yeti', which is not asked; asked: promoter, donor, orf"),
        (("--strand", "-"), "strand '-', from which orf is never read"),
    ],
)
def test_what_cannot_be_asked_is_told(at: Path, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    done = run(at, "-s", "human_sim", *words, "-o", str(tmp_path / "out.gff3"), str(at / "in.fa"))
    assert done.exit_code == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


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
