"""Where the backbone and the texts come from: the Hub's cache as it lies on the disk, and no Hub at all."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import call, environment

from bench import hub, study
from bench.data import DataOptions
from bench.errors import UsageError
from bench.sources import PRESETS, resolve
from bench.store.files import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL, TEXTS = "openai-community/gpt2", "hallisky/AuthorMix"
NEW, OLD, TEXTS_COMMIT = "1" * 40, "2" * 40, "3" * 40


def _snapshot(cache: Path, kind: str, name: str, commit: str, source: Path, *refs: str) -> Path:
    """A repository in the cache, in the layout that the Hub's client leaves behind."""
    repository = cache / f"{kind}--{name.replace('/', '--')}"
    shutil.copytree(source, repository / "snapshots" / commit)
    for ref in refs:
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / ref).write_text(commit)
    return repository / "snapshots" / commit


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache, and the Hub out of reach."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    hub.unreachable.cache_clear()
    yield tmp_path / "hub"
    hub.unreachable.cache_clear()


@pytest.fixture
def full(cache: Path, gpt2: Path, texts: Path) -> Path:
    """A cache that holds what `full` names, the backbone at two commits."""
    _snapshot(cache, "models", MODEL, NEW, gpt2, "main")
    _snapshot(cache, "models", MODEL, OLD, gpt2, "v1")
    _snapshot(cache, "datasets", TEXTS, TEXTS_COMMIT, texts, "main")
    return cache


@pytest.fixture
def demo(gpt2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded backbone, which another test looks at, as a small one."""
    monkeypatch.setattr("bench.model.backbone.EMBEDDED", gpt2)


@pytest.mark.usefixtures("full")
def test_full_comes_from_the_cache_and_every_record_has_the_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--methods", "head", "--seeds", "0", "--max-steps", "1", "--device", "cpu"]
    assert call(monkeypatch, "run", *options) == 0
    assert capsys.readouterr().err == ""
    [record] = Store(Path("results/full")).read().records
    assert (record.status, record.preset) == ("ok", "full")
    known = record.backbone.model_dump(exclude_none=True, exclude={"parameters"})
    assert known == {"name": MODEL, "source": "hub", "revision": NEW}
    assert (record.data.name, record.data.source, record.data.revision) == (TEXTS, "hub", TEXTS_COMMIT)
    assert (record.training.epochs, record.training.batch_size) == (PRESETS["full"].epochs, PRESETS["full"].batch_size)


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("revision", [OLD, "v1"])
def test_a_revision_is_pinned(revision: str) -> None:
    found = resolve(None, f"{MODEL}@{revision}", None)
    assert (found.backbone.name, found.backbone.revision) == (MODEL, OLD)
    assert (found.preset, found.corpus.revision) == ("custom", TEXTS_COMMIT)


def test_a_configuration_and_a_revision_of_the_hubs_texts(cache: Path, gpt2: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        rows = "".join(f'{{"text": "{name} {i}", "label": {i % 2}}}\n' for i in range(40))
        (tmp_path / "texts" / name).mkdir(parents=True)
        (tmp_path / "texts" / name / "all.jsonl").write_text(rows)
    configs = "".join(f"- config_name: {name}\n  data_files: {name}/*\n" for name in ("one", "two"))
    (tmp_path / "texts" / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    _snapshot(cache, "datasets", "someone/texts", TEXTS_COMMIT, tmp_path / "texts", "v1")
    corpus = resolve("demo", str(gpt2), "someone/texts:two@v1").corpus
    assert (corpus.name, corpus.revision, corpus.source) == ("someone/texts:two", TEXTS_COMMIT, "hub")
    assert corpus.frames["train"]["text"][0].startswith("two")
    local = resolve("demo", str(gpt2), f"{tmp_path / 'texts'}:one").corpus
    assert (local.name, local.source) == ("texts:one", "local")


@pytest.mark.usefixtures("demo")
def test_the_demos_texts_are_read_as_they_are(gpt2: Path) -> None:
    with pytest.raises(UsageError, match="go with --data, not with the demo's texts"):
        resolve("demo", str(gpt2), None, options=DataOptions(label="x"))
    assert (
        sum(map(len, resolve("demo", str(gpt2), None, options=DataOptions(sample=200)).corpus.frames.values())) == 200
    )


@pytest.mark.usefixtures("full")
def test_what_is_named_goes_with_the_rest_of_full(gpt2: Path, texts: Path) -> None:
    mine = resolve(None, None, str(texts))
    assert (mine.preset, mine.backbone.source, mine.corpus.source) == ("custom", "hub", "local")
    model = resolve("full", str(gpt2), None)
    assert (model.preset, model.backbone.source, model.corpus.name) == ("custom", "local", TEXTS)


@pytest.mark.usefixtures("cache", "demo")
def test_without_the_hub_the_demo_falls_in_and_nobody_can_miss_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared = study.prepare(study.Request(methods=("frozen",), device="cpu", results=tmp_path / "store"))
    assert (prepared.study.preset, prepared.corpus.name) == ("demo", "open-authors")
    shown = capsys.readouterr()
    assert shown.out == ""
    told = " ".join(shown.err.replace("│", " ").split())
    for part in ("╭", "This is not GPT-2 124M on AuthorMix", "HF_HUB_OFFLINE is set", "open-authors"):
        assert part in told


@pytest.mark.usefixtures("cache", "demo")
def test_texts_of_ones_own_go_with_the_demos_backbone(texts: Path) -> None:
    for preset in (None, "demo"):
        found = resolve(preset, None, str(texts))
        assert (found.preset, found.backbone.name, found.corpus.source) == ("custom", "embedded-gpt2", "local")
        assert found.defaults == PRESETS["demo"]
        assert (found.fallback is None) == (preset == "demo")


@pytest.mark.usefixtures("cache")
def test_texts_of_the_hub_without_the_hub(gpt2: Path) -> None:
    with pytest.raises(
        UsageError, match="--data someone/texts: no such folder, and the Hugging Face Hub can't be reached"
    ):
        resolve(None, str(gpt2), "someone/texts")


@pytest.mark.usefixtures("cache")
def test_full_without_the_hub_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "run", "--preset", "full", "--methods", "frozen") == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "HF_HUB_OFFLINE is set" in lines[0]
    assert "--model DIR --data DIR" in lines[1]
    assert "--preset demo" in lines[1]


def test_a_download_without_safe_weights_is_refused_before_any_run(full: Path, texts: Path) -> None:
    for file in full.rglob("*.safetensors"):
        file.unlink()
    with pytest.raises(UsageError, match=f"--model {MODEL}: neither the Hub nor its cache has its weights as safeten"):
        resolve(None, MODEL, str(texts))


@pytest.mark.parametrize("name", ["no spaces please", "a/b@c@d", "-/-"])
@pytest.mark.usefixtures("cache")
def test_a_name_that_the_hub_could_not_have(name: str, texts: Path) -> None:
    with pytest.raises(UsageError, match="--model"):
        resolve(None, name, str(texts))


def test_a_hub_that_never_answers_is_given_up_within_five_seconds() -> None:
    code = (
        "import time; from bench import hub; b = time.perf_counter(); print(hub.unreachable(), time.perf_counter() - b)"
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        begin = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment(HF_HUB_OFFLINE="0", HF_ENDPOINT=endpoint),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert time.monotonic() - begin < 30
    reason, seconds = done.stdout.rsplit(maxsplit=1)
    assert done.returncode == 0, done.stderr
    assert reason != "None"
    assert 2 < float(seconds) < 5


def test_a_hub_that_answers_is_reachable_and_one_that_refuses_is_not() -> None:
    code = "from bench import hub; print(hub.unreachable())"

    def told(endpoint: str) -> str:
        variables = environment(HF_HUB_OFFLINE="0", HF_ENDPOINT=endpoint)
        done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, timeout=60)
        return done.stdout.strip()

    server = subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"],
        stdout=subprocess.PIPE,
        text=True,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert server.stdout is not None
        port = server.stdout.readline().split(" port ")[1].split()[0]
        assert told(f"http://127.0.0.1:{port}") == "None"
    finally:
        server.kill()
        server.communicate()
    assert "refused" in told(f"http://127.0.0.1:{port}")
