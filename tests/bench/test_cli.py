"""What a person types: mistakes, the grid, the list."""

from __future__ import annotations

import json
import re
import select
import shutil
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest
from commands import bench, call, environment
from record_factory import Variant, build_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MARK = "=== told ==="
LONG = "x" * 300
"""A name that no file system takes."""

EVERY = """
import json, sys, traceback
from bench.cli import main
for arguments in json.load(sys.stdin):
    sys.argv = ["bench", *arguments]
    try:
        main()
    except SystemExit as left:
        code = left.code
    except BaseException:
        traceback.print_exc()
        code = "crashed"
    for stream in (sys.stdout, sys.stderr):
        print(f"MARK{code}", file=stream, flush=True)
""".replace("MARK", MARK)
"""One process that makes every mistake, since each would take the imports' seconds."""


class Told(NamedTuple):
    """What a command left."""

    code: str
    out: str
    err: str


Folders = dict[str, "Path"]
ARGUMENTS: dict[str, tuple[list[str], list[str]]] = {
    "unknown method": (["run", "--methods", "lorra"], ["no method 'lorra'", "did you mean 'lora'?"]),
    "no method": (["run", "--methods", ","], ["--methods is empty"]),
    "repeated method": (["run", "--methods", "lora,ia3,lora"], ["--methods: lora is given twice"]),
    "unknown field": (
        ["run", "--set", "lora.alhpa=8"],
        ["lora has no hyperparameter 'alhpa'", "did you mean 'alpha'?"],
    ),
    "bad value": (["run", "--set", "lora.r=0"], ["lora.r='0'", "a whole number at least 1"]),
    "bad value among good ones": (["run", "--set", "lora.alpha=8,many"], ["lora.alpha='many'"]),
    "not a number": (["run", "--set", "ia3.learning_rate=nan"], ["ia3.learning_rate"]),
    "sweep of what isn't run": (
        ["run", "--methods", "ia3", "--set", "lora.alpha=8"],
        ["'lora' isn't among --methods ia3"],
    ),
    "sweep of an unknown method": (["run", "--set", "lorra.alpha=8"], ["did you mean 'lora'?"]),
    "set twice": (["run", "--set", "lora.r=4", "--set", "lora.r=8"], ["lora.r is set twice"]),
    **{
        f"malformed {text!r}": (["run", "--set", text], [f"--set {text}", "METHOD.FIELD=VALUE"])
        for text in ("lora", "lora.alpha", "lora=8", "lora.alpha=", ".alpha=8", "lora.=8")
    },
    "no study file": (["run", "nowhere.yaml"], ["nowhere.yaml: can't be read", "python -m bench init"]),
    "bad seed": (["run", "--seeds", "0,one"], ["--seeds 0,one", "whole numbers"]),
    "fraction of a seed": (["run", "--seeds", "0.5"], ["--seeds 0.5"]),
    "negative seed": (["run", "--seeds", "-1"], ["--seeds -1", "from 0 to"]),
    "huge seed": (["run", "--seeds", str(2**64)], [f"--seeds {2**64}", "from 0 to"]),
    "repeated seed": (["run", "--seeds", "0,1,00"], ["--seeds: 0 is given twice"]),
    "no seed": (["run", "--seeds", ","], ["--seeds is empty"]),
    "jobs that are no number": (["run", "--jobs", "x"], ["--jobs x: a number from 1 up, or auto"]),
    "no jobs": (["run", "--jobs", "0"], ["--jobs 0: a number from 1 up, or auto"]),
    "unknown option": (["run", "--metods", "lora"], ["--metods", "--methods"]),
    "unknown command": (["rnu"], ["rnu"]),
    "unknown preset": (["run", "--preset", "ful"], ["ful", "full"]),
    "unknown device": (["run", "--device", "gpu"], ["gpu", "cuda"]),
    "no epochs": (["run", "--epochs", "0"], ["--epochs", "1"]),
    "text for a number": (["run", "--max-steps", "ten"], ["--max-steps", "integer"]),
    "option without its value": (["run", "--methods"], ["--methods"]),
    "one argument too many": (["run", "lora"], ["lora"]),
}
FILES: dict[str, tuple[Callable[[Folders], list[str]], list[str]]] = {
    "no such texts": (lambda f: ["--data", str(f["work"] / "none")], ["--data", "none: no such file or folder"]),
    "no such file": (lambda f: ["--data", "none.jsonl"], ["--data none.jsonl: no such file or folder"]),
    "texts of a name too long": (lambda f: ["--data", LONG], ["--data xxx", "can't be read: File name too long"]),
    "two files for train": (
        lambda f: ["--data", str(f["copied"])],
        ["several files for the train split: train (1).jsonl, train.jsonl"],
    ),
    "a file of another kind": (lambda f: ["--data", str(f["work"] / "notes.txt")], ["notes.txt", ".jsonl"]),
    "a folder without train": (lambda f: ["--data", str(f["untrained"])], ["no file for the train split"]),
    "unknown category": (
        lambda f: ["--data", str(f["texts"]), "--category", "leters"],
        ["no category 'leters'", "did you mean 'letters'?"],
    ),
    "one style": (lambda f: ["--data", str(f["texts"]), "--category", "songs"], ["one style only (cat)"]),
    "too large": (lambda f: ["--data", str(f["texts"]), "--train-size", "38"], ["--train-size 38", "from 3 to 37"]),
    "too small": (lambda f: ["--data", str(f["texts"]), "--train-size", "2"], ["--train-size 2", "from 3 to 37"]),
    "no such model": (lambda f: ["--model", str(f["work"] / "none")], ["--model", "none: no such file or folder"]),
    "a model of a name too long": (lambda f: ["--model", LONG], ["--model xxx", "can't be read: File name too long"]),
    "weights that can't be read": (lambda f: ["--model", str(f["looping"])], ["model.safetensors can't be read"]),
    "a model that is a file": (lambda f: ["--model", str(f["work"] / "notes.txt")], ["notes.txt: not a folder"]),
    "no config": (lambda f: ["--model", str(f["texts"])], ["no config.json there"]),
    "config that isn't JSON": (lambda f: ["--model", str(f["garbled"])], ["config.json"]),
    "pickled weights only": (lambda f: ["--model", str(f["pickled"])], ["aren't safetensors"]),
    "unknown architecture": (lambda f: ["--model", str(f["strange"])], ["config.json can't be used", "walrus"]),
    "not for classification": (lambda f: ["--model", str(f["seeing"])], ["can't classify texts with a 'clip' model"]),
    "no tokenizer": (lambda f: ["--model", str(f["speechless"])], ["speechless", "is tokenizer.json missing"]),
    "weights cut short": (
        lambda f: ["--model", str(f["cut"]), "--data", str(f["texts"]), "--methods", "head"],
        ["--model cut: its weights can't be loaded"],
    ),
    "ids beyond the weights": (
        lambda f: ["--model", str(f["small"]), "--data", str(f["texts"]), "--methods", "head"],
        ["--model small: its tokenizer produces ids up to", "its weights know 40 tokens"],
    ),
    "a name that is too long": (lambda f: ["--model", f"./{'x' * 300}"], ["--model ./xxx", "File name too long"]),
    "too long": (
        lambda f: ["--model", str(f["gpt2"]), "--data", str(f["texts"]), "--methods", "head", "--max-length", "129"],
        ["--max-length 129", "128 positions"],
    ),
    "too long with a prefix": (
        lambda f: ["--model", str(f["gpt2"]), "--data", str(f["texts"]), "--max-length", "109"],
        ["--max-length 109", "128 positions, 20 of which prefix takes"],
    ),
    "all prefix": (
        lambda f: [
            *["--model", str(f["gpt2"]), "--data", str(f["texts"])],
            *["--methods", "prefix", "--set", "prefix.tokens=20,128"],
        ],
        ["128 positions, 128 of which prefix takes"],
    ),
    "more threads than cores": (
        lambda f: ["--model", str(f["gpt2"]), "--data", str(f["texts"]), "--threads", "9999"],
        ["--jobs 1 with --threads 9999: this machine has", "that may be used; take --threads", "at the most"],
    ),
    "runs per GPU without one": (
        lambda f: ["--model", str(f["gpt2"]), "--data", str(f["texts"]), "--device", "cpu", "--runs-per-gpu", "2"],
        ["--runs-per-gpu is for runs on CUDA", "leave it out"],
    ),
    "more jobs than cores": (
        lambda f: ["--model", str(f["gpt2"]), "--data", str(f["texts"]), "--jobs", "9999"],
        ["--jobs 9999: this machine has", "that may be used; take --jobs", "at the most, or --jobs auto"],
    ),
    "results in a file": (
        lambda f: ["--model", str(f["gpt2"]), "--data", str(f["texts"]), "--results", str(f["work"] / "notes.txt")],
        ["--results", "notes.txt"],
    ),
    "results of a name too long": (
        lambda f: ["--model", str(f["gpt2"]), "--data", str(f["texts"]), "--results", LONG],
        ["--results xxx", "File name too long"],
    ),
    "adapters in a file": (
        lambda f: [
            *["--model", str(f["gpt2"]), "--data", str(f["texts"])],
            *["--results", str(f["work"] / "s"), "--save-adapters", str(f["work"] / "notes.txt")],
        ],
        ["--save-adapters", "notes.txt"],
    ),
}


@pytest.fixture(scope="module")
def folders(texts: Path, gpt2: Path, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Folders with one thing wrong each, the right ones, and the one to work in."""
    work = tmp_path_factory.mktemp("work")
    (work / "notes.txt").write_text("notes")

    def broken(name: str, source: Path, *missing: str, **contents: str) -> Path:
        shutil.copytree(source, work / name)
        for pattern in missing:
            for file in (work / name).glob(pattern):
                file.unlink()
        for file_name, content in contents.items():
            (work / name / file_name.replace("_", ".")).write_text(content)
        return work / name

    config = json.loads((gpt2 / "config.json").read_text())
    looping = broken("looping", gpt2, "*.safetensors")
    (looping / "model.safetensors").symlink_to("model.safetensors")
    return {
        "work": work,
        "texts": texts,
        "looping": looping,
        "copied": broken("copied", texts, **{"train (1)_jsonl": ""}),
        "gpt2": gpt2,
        "untrained": broken("untrained", texts, "train.*"),
        "garbled": broken("garbled", gpt2, config_json="{"),
        "pickled": broken("pickled", gpt2, "*.safetensors", model_bin="pickle"),
        "strange": broken("strange", gpt2, config_json='{"model_type": "walrus"}'),
        "seeing": broken("seeing", gpt2, config_json='{"model_type": "clip"}'),
        "speechless": broken("speechless", gpt2, "tokenizer*", "special*"),
        "cut": broken("cut", gpt2, model_safetensors="cut"),
        "small": broken("small", gpt2, "*.safetensors", config_json=json.dumps({**config, "vocab_size": 40})),
    }


@pytest.fixture(scope="module")
def told(folders: Folders) -> dict[str, Told]:
    """What each mistake is answered with, while the Hub is a listener that never says a word."""
    commands = {name: arguments for name, (arguments, _) in ARGUMENTS.items()}
    commands |= {name: ["run", *make(folders)] for name, (make, _) in FILES.items()}
    with socket.create_server(("127.0.0.1", 0)) as hub:
        done = subprocess.run(
            [sys.executable, "-c", EVERY],
            input=json.dumps(list(commands.values())),
            env=environment(HF_HUB_OFFLINE="0", HF_ENDPOINT=f"http://127.0.0.1:{hub.getsockname()[1]}"),
            cwd=folders["work"],
            capture_output=True,
            text=True,
            timeout=300,
        )
        asked = select.select([hub], [], [], 0)[0]
    assert not asked, "the Hub was asked although what is here was wrong already"
    ends = [stream.split(MARK) for stream in (done.stdout, done.stderr)]
    assert [len(parts) for parts in ends] == [len(commands) + 1] * 2, done.stderr
    codes = [part.partition("\n")[0] for part in ends[0][1:]]
    out, err = ([parts[0], *(part.partition("\n")[2] for part in parts[1:-1])] for parts in ends)
    return {name: Told(*left) for name, left in zip(commands, zip(codes, out, err, strict=True), strict=True)}


@pytest.mark.parametrize("name", [*ARGUMENTS, *FILES])
def test_a_mistake_gets_a_line_or_two_and_exit_code_2(name: str, told: dict[str, Told]) -> None:
    answer = told[name]
    lines = answer.err.splitlines()
    assert answer.code == "2", answer.err
    assert 1 <= len(lines) <= 2, answer.err
    assert lines[0].startswith("bench: ")
    assert answer.out == ""
    assert not set("╭│╰") & set(answer.err)
    for part in (ARGUMENTS.get(name) or FILES[name])[1]:
        assert part in answer.err


def test_cuda_where_there_is_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("needs a machine without CUDA")
    assert call(monkeypatch, "run", "--device", "cuda") == 2
    assert "--device cuda: torch finds no CUDA device here" in capsys.readouterr().err


def test_without_a_command_the_help_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = call(monkeypatch)
    shown = capsys.readouterr()
    assert "Usage" in shown.out + shown.err
    assert "Traceback" not in shown.err
    assert code in (0, 2)


def test_the_help_names_every_option(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "run", "--help") == 0
    shown = capsys.readouterr().out
    for option in (
        *("methods", "set", "seeds", "preset", "model", "data", "category", "train-size", "epochs", "max-steps"),
        *("batch-size", "max-length", "device", "dtype", "results", "save-adapters", "dry-run"),
    ):
        assert f"--{option} " in shown


def test_a_dry_run_prints_the_grid_and_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sweeps = ["--set", "lora.alpha=8,32", "--set", "lora.r=4,8,16"]
    assert call(monkeypatch, "run", "--methods", "lora,head", *sweeps, "--seeds", "3,4", "--dry-run") == 0
    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for alpha in (8, 32):
        for r in (4, 8, 16):
            assert sum(f"r={r}, alpha={alpha}," in row for row in rows) == 1
    assert rows[-1] == "7 variants × 2 seeds = 14 runs"
    assert list(tmp_path.iterdir()) == []


def test_without_settings_lora_is_swept_over_alpha(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "run", "--dry-run") == 0
    shown = capsys.readouterr().out
    assert [f"alpha={alpha}" in shown for alpha in (8, 32, 128)] == [True] * 3
    assert shown.splitlines()[-1] == "7 variants × 3 seeds = 21 runs"


def test_a_dry_run_with_texts_tells_how_much_it_reads_and_how_long_that_takes(
    texts: Path, gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bench.machine import facts
    from bench.model import backbone

    monkeypatch.chdir(tmp_path)
    dry = ["run", "--data", str(texts), "--model", str(gpt2), "--methods", "head,ia3", "--dry-run", "--device", "cpu"]
    assert call(monkeypatch, *dry) == 0
    *_, read, unknown = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"About [\d,]+ tokens: [\d,]+ in train, [\d,]+ in validation, [\d,]+ in test\.", read)
    assert unknown.startswith("How long a study takes isn't known")
    here = {"environment.cpu": facts.processor(), "backbone.revision": backbone.local(gpt2).revision}
    build_store(tmp_path / "results/some", [Variant("head", {}, 0.4, 0, 100.0, 600.0, 40.0)], [0], here)
    assert call(monkeypatch, *dry) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(
        r"6 runs take about \d+ (s|min) here, by the speeds in results; 1 of 2 variants count as the slowest known\.",
        last,
    )


def test_what_was_understood_of_texts_is_shown(
    gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"a": f"the moon {i}", "b": f"bread {i % 40}", "kind": i % 2, "target": "x"} for i in range(90)]
    (tmp_path / "some.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, rows[0]]), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    columns = ["--text", "a,b", "--label", "kind", "--sample", "60"]
    assert call(monkeypatch, "data", "some.jsonl", "--model", str(gpt2), *columns) == 0
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert shown[0] == "some: text: columns `a` and `b`; label: column `kind`, 2 labels; no group"
    assert "A sample: 60 of 91 passages, each split and label in its share." in shown
    assert any(line.startswith("Duplicates: 0 texts") for line in shown)
    assert any(re.fullmatch(r"all \d+ \d+ \d+", line) for line in shown)
    assert any("the moon 2 bread 2" in line for line in shown)
    assert any(line.startswith("train ") for line in shown)
    assert any("--max-length 16 cuts no more" in line or "--max-length 24 cuts" in line for line in shown)
    assert any(line.startswith("About ") for line in shown)
    assert {path.name for path in tmp_path.iterdir()} == {"some.jsonl"}
    assert call(monkeypatch, "data", "some.jsonl", "--model", str(gpt2)) == 2
    assert (
        "which column is the text? Name it with --text; the columns are a, b, kind, target" in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    "arguments",
    [["run", "--dry-run"], ["list"], ["list", "--json"], ["run", "--preset", "demo", "--data", "{}", "--dry-run"]],
)
def test_what_computes_nothing_does_not_wait_for_torch(arguments: list[str], texts: Path, tmp_path: Path) -> None:
    arguments = [argument.format(texts) for argument in arguments]
    code = (
        "import sys\nfrom bench import cli\n"
        f"sys.argv = ['bench', *{arguments!r}]\n"
        "try:\n    cli.main()\nexcept SystemExit as left:\n    assert not left.code\n"
        "print(sorted({'torch', 'transformers', 'peft', 'datasets'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_list_as_json_has_what_the_list_shows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "list", "--json") == 0
    described = json.loads(capsys.readouterr().out)
    assert {"frozen", "head", "lora", "ia3", "prefix"} <= {method["name"] for method in described}
    assert call(monkeypatch, "list") == 0
    shown = " ".join(capsys.readouterr().out.split())
    for method in described:
        assert method["name"] in shown
        assert " ".join(method.get("trains", method.get("unable")).split()) in shown
        for field, value in method.get("defaults", {}).items():
            assert value in (None, False) or f"{field}={value}" in shown
    assert "sweeps alpha over 8, 32, 128" in shown
    assert "learning_rate 1.581e-05..0.01581:log; alpha 8..128:log (alpha scales the update" in shown


def test_the_list_is_printed_in_whatever_encoding(tmp_path: Path) -> None:
    done = bench("list", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    assert "lora" in done.stdout


def test_a_study_bears_an_odd_system(gpt2: Path, texts: Path, tmp_path: Path) -> None:
    """A long TMPDIR, a home that is none and an output of ASCII cost nothing."""
    folder = tmp_path / ("long-name-of-a-job" * 6)
    folder.mkdir()
    odd = {"TMPDIR": str(folder), "HOME": "/dev/null", "PYTHONIOENCODING": "ascii"}
    sources = ["--model", str(gpt2), "--data", str(texts), "--seeds", "0", "--max-steps", "2", "--results", "store"]
    done = bench("run", "--methods", "head", "--device", "cpu", "--dtype", "fp32", *sources, cwd=tmp_path, **odd)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is too long for the path of a socket" in done.stderr
    assert "1 of 1 runs ok" in done.stdout
