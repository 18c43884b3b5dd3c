"""What the README and the docs tell a reader to type works as it stands there, and so does the method they show.

Commands are the lines of blocks fenced as bash or console (there, those that begin with a dollar sign), and what stands
between single backticks and begins as one. Each must follow one of these rules, or its test fails:

- `python -m bench run …` is run with --dry-run, which checks all that is said of methods, sweeps and options; a study
  file that it names is there, as `bench init` writes it, and so are peft's files;
- `python -m bench budget` is a gate of `.ci/run`, which runs it;
- `python -m bench publish …`, `merge …` and `export …` are run as they are, the stores that they name being there; to
  the Hub, the command says that it can't be reached once the folder is there;
- `python -m bench …` else, and `python report.py …`, are run as they are, the stores that they name being there;
- `make TARGET NAME=…` names a target and variables that exist;
- what only moves about a shell (`cd`, `source`, `git clone`, `pip install`) is taken as it is.
"""

from __future__ import annotations

import itertools
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import peft
import pytest
from commands import ROOT, add_package, call, here
from record_factory import DEMO, build_store
from small import write_texts

import methods
from bench.spec import is_name
from methods import contract
from methods.registry import _registered

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGES = {
    page.relative_to(ROOT).as_posix(): page.read_text("utf-8") for page in [ROOT / "README.md", *ROOT.glob("docs/*.md")]
}
SHELL = ("cd ", "source ", "git clone ", "pip install ")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:python -m bench|python report\.py|make) [^`]*)`")
EXAMPLE = """
Type `make bench`, or `lora`:
```bash
# first
python -m bench run --methods lora \\
  --seeds 0   # one seed
make test
```
```console
$ python -m bench list
lora
```
```python
make = 1
```
"""


def commands(page: str) -> list[str]:
    """Every command that a page shows, each as one line."""
    found = []
    for language, block in FENCE.findall(page):
        lines = block.replace("\\\n", " ").splitlines()
        if language == "console":
            found += [line[2:] for line in lines if line.startswith("$ ")]
        elif language == "bash":
            found += [line for line in lines if line.strip() and not line.startswith("#")]
    found += INLINE.findall(FENCE.sub("", page))
    return [shlex.join(shlex.split(command, comments=True)) for command in found]


def blocks(page: str, language: str) -> list[str]:
    """The contents of the blocks fenced as that language."""
    return [block for name, block in FENCE.findall(page) if name == language]


def test_commands_are_found_in_blocks_and_between_backticks() -> None:
    bench = ["python -m bench run --methods lora --seeds 0", "make test", "python -m bench list"]
    assert commands(EXAMPLE) == [*bench, "make bench"]


@pytest.fixture
def readmes_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The method that the README shows, as an installed package; its name."""
    [code] = blocks(PAGES["README.md"], "python")
    name = re.findall(r'name: ClassVar\[str\] = "(\w+)"', code)[0]
    package = tmp_path / "site"
    package.mkdir()
    add_package(package, "method_of_the_readme", code, f"{name} = method_of_the_readme:{name.title().replace('_', '')}")
    monkeypatch.syspath_prepend(str(package))
    monkeypatch.delitem(sys.modules, "method_of_the_readme", raising=False)
    yield name
    _registered.pop(name, None)


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
def test_the_method_that_the_readme_shows_keeps_the_contract(readmes_method: str, check: contract.Check) -> None:
    check(methods.get(readmes_method)(), contract.tiny_gpt2)


@pytest.mark.parametrize("command", sorted({command for page in PAGES.values() for command in commands(page)}))
def test_a_command_works_as_it_is_shown(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command)
    if "PATH" in words:
        write_texts(tmp_path / "PATH")
    if words[:3] == ["python", "-m", "bench"] and words[3] in ("run", "tune"):
        request.getfixturevalue("readmes_method")
        for file in (word for word in words if word.endswith(".yaml")):
            assert call(monkeypatch, "init", file) == 0
        _configure(words)
        assert call(monkeypatch, *words[3:], "--dry-run") == 0
    elif words == ["python", "-m", "bench", "budget"]:
        assert "-m bench budget\n" in (ROOT / ".ci/run").read_text("utf-8")
    elif words[:3] == ["python", "-m", "bench"] and words[3] in ("publish", "merge", "export"):
        _share(monkeypatch, words[3:])
    elif words[:3] == ["python", "-m", "bench"]:
        request.getfixturevalue("readmes_method")
        assert call(monkeypatch, *words[3:]) == 0
    elif words[:2] == ["python", "report.py"]:
        _report(words[2:])
    elif words[0] == "make":
        _target(words[1:])
    else:
        assert command.startswith(SHELL), "no rule says how to check this command"


def _configure(words: list[str]) -> None:
    """Put peft's files where the command names them: among its methods, what isn't one or a group of them."""
    chosen = words[words.index("--methods") + 1].split(",") if "--methods" in words else []
    for path in (Path(name) for name in chosen if not is_name(name)):
        peft.LoraConfig().save_pretrained(path.parent if path.suffix else path / "default")


def _report(arguments: list[str]) -> None:
    named = [
        word for before, word in zip(["", *arguments], arguments, strict=False) if "-" not in (before[:1], word[:1])
    ]
    for folder in named or ["results/demo"]:
        build_store(Path(folder), DEMO[:2], changes={"data.fingerprint": folder} if "--together" in arguments else None)
    done = here("report.py", *arguments, cwd=Path())
    assert (done.returncode, done.stderr) == (0, "")


def _share(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    """Run a command whose stores are named first, and where to last."""
    stores = list(itertools.takewhile(lambda word: not word.startswith("-"), words[1:]))
    for store in stores:
        build_store(Path(store), DEMO[:3])
    to_hub = words[-1].startswith("hub:")
    assert call(monkeypatch, *words) == (2 if to_hub else 0)
    assert Path(f"{stores[0]}-published" if to_hub else words[-1]).is_dir()


def _target(words: list[str]) -> None:
    makefile, installer = (ROOT / "Makefile").read_text("utf-8"), (ROOT / "scripts/install.py").read_text("utf-8")
    for word in words:
        variable, equals, _ = word.partition("=")
        if equals:
            assert variable in makefile + installer
        else:
            assert re.search(rf"^{re.escape(word)}:", makefile, re.MULTILINE)


@pytest.mark.parametrize(
    ("page", "link"),
    sorted((name, link) for name, page in PAGES.items() for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page)),
)
def test_a_link_leads_somewhere(page: str, link: str) -> None:
    if not link.startswith(("http://", "https://")):
        assert (ROOT / page).parent.joinpath(link).exists()
