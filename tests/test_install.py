"""`make install` with real pip, on a project and torch wheels of a few bytes: no network, no other .venv."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
PIN = "2.13.0"
CPU = f"{PIN}+cpu"
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "tiny"
version = "1"
"""
BACKEND = """
import shutil
def build_editable(folder, config_settings=None, metadata_directory=None):
    return shutil.copy("tiny-1-py3-none-any.whl", folder).rpartition("/")[2]
"""
TINY = """Requires-Dist: torch>=2
Provides-Extra: demo
Requires-Dist: corpus; extra == 'demo'
Provides-Extra: dev
Requires-Dist: checker; extra == 'dev'
"""


def write_wheel(folder: Path, name: str, version: str, metadata: str = "") -> None:
    """A wheel that installs one empty module."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def write_script(file: Path, command: str) -> None:
    """A shell script that can be run."""
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{command}\n")
    file.chmod(0o755)


class Checkout:
    """A project with this repository's Makefile and installer, and the folder where its pip looks for wheels."""

    def __init__(self, folder: Path) -> None:
        self.wheels = folder / "wheels"
        self.path = folder / "checkout"
        self.wheels.mkdir(parents=True)
        (self.path / "scripts").mkdir(parents=True)
        for file in ("Makefile", "scripts/install.py"):
            shutil.copy(ROOT / file, self.path / file)
        (self.path / "pyproject.toml").write_text(PYPROJECT)
        (self.path / "backend.py").write_text(BACKEND)
        (self.path / "constraints.txt").write_text(f"torch=={PIN}\ncorpus==1\n")
        write_wheel(self.path, "tiny", "1", TINY)
        for name in ("corpus", "checker"):
            write_wheel(self.wheels, name, "1")
        write_wheel(self.wheels, "torch", PIN)

    def make(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run make as a user would, in an environment where pip knows nothing but `wheels`."""
        ours = {name: text for name, text in os.environ.items() if not re.match("PIP_|TORCH_|MAKE|MFLAGS", name)}
        pip = {
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": (self.wheels / "no-index").as_uri(),
            "PIP_FIND_LINKS": str(self.wheels),
            "PIP_NO_CACHE_DIR": "1",
        }
        command = ["make", f"PYTHON={sys.executable}", *arguments]
        return subprocess.run(
            command, cwd=self.path, env=ours | pip | variables, capture_output=True, text=True, timeout=60
        )

    def install(self, *arguments: str, **variables: str) -> str:
        """What a successful `make install` prints."""
        done = self.make("install", *arguments, **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def site(self) -> Path:
        """The site-packages of its .venv."""
        (site,) = self.path.glob(".venv/lib/python*/site-packages")
        return site

    def versions(self) -> dict[str, str]:
        """What its .venv holds beside what every new one does."""
        found = {package.name: package.version for package in distributions(path=[str(self.site)])}
        return {name: version for name, version in found.items() if name not in ("pip", "setuptools")}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkout, str]:
    """A checkout where pip's own configuration has a CPU build, after `make install`, and what that printed.

    It began with a .venv whose Python is gone, as an upgrade of the system leaves it.
    """
    checkout = Checkout(tmp_path_factory.mktemp("installed"))
    write_wheel(checkout.wheels, "torch", CPU)
    (checkout.path / ".venv/bin").mkdir(parents=True)
    (checkout.path / ".venv/bin/python").symlink_to("/nowhere/python3")
    return checkout, checkout.install()


@pytest.fixture
def checkout(installed: tuple[Checkout, str], tmp_path: Path) -> Checkout:
    """The installed .venv in another place, with a folder of wheels that has no CPU build."""
    copy = Checkout(tmp_path)
    shutil.copytree(installed[0].path / ".venv", copy.path / ".venv", symlinks=True, copy_function=os.link)
    return copy


@pytest.fixture
def without_torch(checkout: Checkout) -> Checkout:
    """A checkout whose .venv doesn't hold torch yet."""
    shutil.rmtree(checkout.site / f"torch-{CPU}.dist-info")
    return checkout


@pytest.fixture
def silent_index() -> Iterator[str]:
    """An index that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


def test_a_first_install_takes_the_cpu_build_that_pip_is_set_up_with(installed: tuple[Checkout, str]) -> None:
    checkout, printed = installed
    assert checkout.versions() == {"tiny": "1", "corpus": "1", "torch": CPU}
    assert "pytorch.org" not in printed


def test_the_second_install_does_nothing(installed: tuple[Checkout, str]) -> None:
    assert installed[0].install() == ""


def test_the_dev_extra_is_all_that_the_tests_add(checkout: Checkout) -> None:
    checkout.install()
    assert "Successfully installed checker-1 tiny-1\n" in checkout.make("install-dev").stdout
    assert checkout.install() == ""


def test_a_checkout_that_moved_is_installed_from_its_new_place(checkout: Checkout) -> None:
    checkout.install()
    (link,) = checkout.site.glob("tiny-*.dist-info/direct_url.json")
    assert checkout.path.as_uri() in link.read_text()


def test_an_install_that_was_killed_goes_on_with_what_is_whole(checkout: Checkout) -> None:
    (checkout.path / ".venv/installed.json").unlink()
    (checkout.site / "corpus-1.dist-info/INSTALLER").unlink()
    (checkout.site / "corpus.py").unlink()
    assert "Successfully installed corpus-1 tiny-1\n" in checkout.install()
    assert (checkout.site / "corpus.py").exists()
    assert checkout.versions()["torch"] == CPU
    assert checkout.install() == ""


def test_changed_constraints_are_installed(checkout: Checkout) -> None:
    checkout.install()
    write_wheel(checkout.wheels, "corpus", "2")
    (checkout.path / "constraints.txt").write_text(f"torch=={PIN}\ncorpus==2\n")
    checkout.install()
    assert checkout.versions()["corpus"] == "2"


def test_a_venv_of_another_python_is_left_alone(checkout: Checkout) -> None:
    python = checkout.path / ".venv/bin/python"
    python.unlink()
    write_script(python, """echo '["3.10", "/nowhere"]'""")
    done = checkout.make("install")
    assert done.returncode != 0
    assert ".venv holds Python 3.10" in done.stderr
    assert checkout.versions()["corpus"] == "1"


def test_torch_comes_from_the_index_that_is_named(without_torch: Checkout, tmp_path: Path) -> None:
    page = tmp_path / "index" / "torch"
    page.mkdir(parents=True)
    write_wheel(page, "torch", CPU)
    (page / "index.html").write_text(f'<a href="torch-{CPU}-py3-none-any.whl">torch</a>')
    without_torch.install(f"TORCH_INDEX={page.parent.as_uri()}")
    assert without_torch.versions()["torch"] == CPU


def test_an_index_that_breaks_off_does_not_stop_the_install(without_torch: Checkout, tmp_path: Path) -> None:
    page = tmp_path / "index" / "torch"
    page.mkdir(parents=True)
    (page / "index.html").write_text(f'<a href="torch-{CPU}-py3-none-any.whl">gone</a>')
    printed = without_torch.install(f"TORCH_INDEX={page.parent.as_uri()}")
    assert "broke off" in printed
    assert without_torch.versions()["torch"] == PIN


def test_an_index_that_never_answers_does_not_stop_the_install(without_torch: Checkout, silent_index: str) -> None:
    printed = without_torch.install(f"TORCH_INDEX={silent_index}")
    assert "taking torch" not in printed
    assert without_torch.versions()["torch"] == PIN


def test_an_empty_index_leaves_torch_to_pip(without_torch: Checkout) -> None:
    printed = without_torch.install("TORCH_INDEX=")
    assert "no torch" not in printed
    assert without_torch.versions()["torch"] == PIN


def test_a_machine_with_a_gpu_leaves_torch_to_pip(without_torch: Checkout, tmp_path: Path) -> None:
    write_script(tmp_path / "bin" / "nvidia-smi", "exit 0")
    printed = without_torch.install(PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert "pytorch.org" not in printed
    assert without_torch.versions()["torch"] == PIN


def test_the_first_python_that_will_do_is_taken(checkout: Checkout, tmp_path: Path) -> None:
    (checkout.path / ".venv").rename(tmp_path / "elsewhere")
    write_script(tmp_path / "bin" / "python3", "exit 1")
    write_script(tmp_path / "bin" / "python3.13", 'echo "3.13 runs $*"')
    done = checkout.make("install", "PYTHON=", PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert done.stdout.splitlines()[-1] == "3.13 runs scripts/install.py demo"


def test_without_a_python_that_will_do_make_says_what_to_do(checkout: Checkout, tmp_path: Path) -> None:
    write_script(tmp_path / "old", "exit 1")
    done = checkout.make("install", f"PYTHON={tmp_path / 'old'}")
    assert done.returncode != 0
    assert "No Python 3.11 or newer" in done.stderr
    assert "make PYTHON=" in done.stderr


def test_the_constraints_pin_every_dependency_within_its_range() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.lower().replace("_", "-").split("==") for line in lines if not line.startswith("#"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    needs = [Requirement(need) for need in [*project["dependencies"], *itertools.chain(*extras)]]
    assert not [need for need in needs if pins.get(need.name, "none") not in need.specifier]
    assert not [pin for pin in pins.values() if "+" in pin]
