"""What a person mistypes, and what is wrong with what he names."""

from __future__ import annotations

import json
import select
import shutil
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest
from commands import call, environment

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
    "no file of peft's": (
        ["run", "--methods", "lora,nowhere/adapter_config.json"],
        ["nowhere/adapter_config.json: can't be read: No such file"],
    ),
    "no store to export": (["export", "nowhere", "--peft", "out"], ["nowhere: there is no such store"]),
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
    "Apple's GPU": (["run", "--device", "mps"], ["--device mps", "Apple's GPU", "leave --device out"]),
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
    "a size twice": (
        lambda f: ["--data", str(f["texts"]), "--train-size", "9,12,9"],
        ["--train-size: 9 is given twice"],
    ),
    "no size": (
        lambda f: ["--data", str(f["texts"]), "--train-size", "9,many"],
        ["--train-size 9,many: expected whole numbers from 1 up"],
    ),
    "one size too large": (
        lambda f: ["--model", str(f["gpt2"]), "--data", str(f["texts"]), "--train-size", "9,38"],
        ["--train-size 38: there are 37 train passages", "from 3 to 37"],
    ),
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
    "an unknown tracker": (
        lambda f: ["--report-to", "mlflow,comet"],
        ["--report-to comet: there is no such tracker; there are trackio, wandb, mlflow, tensorboard"],
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
