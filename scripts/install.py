"""Make `.venv` and install this checkout into it, editable: `python scripts/install.py EXTRA …`.

The Makefile calls it with a bare Python before anything is installed, so it uses the standard library only.
What an earlier call installed is not installed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "installed.json"
CONSTRAINTS = ROOT / "constraints.txt"
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
LOOK = """
import json, sys, sysconfig
print(json.dumps(["%d.%d" % sys.version_info[:2], sysconfig.get_path("purelib")]))
"""


def install(extras: set[str]) -> None:
    """Bring `.venv` to this checkout with `extras`; `CalledProcessError` where venv or pip fails."""
    venv = look(PYTHON)
    if venv and venv[0] != RUNNING:
        raise SystemExit(f"install: .venv holds Python {venv[0]}, not {RUNNING}: remove it (rm -rf .venv) to change")
    there = installed() if venv else set()
    if extras <= there:
        return
    say(f"installing peft-bench[{','.join(sorted(extras))}] into .venv; the first time takes minutes")
    STAMP.unlink(missing_ok=True)  # from here to the end, an install that is cut off is not taken for whole
    site = make_venv(venv)
    pin = torch_pin()
    if not any(site.glob(f"torch-{pin}.dist-info")) and not any(site.glob(f"torch-{pin}+*.dist-info")):
        install_torch(pin)
    pip("install", "--constraint", str(CONSTRAINTS), "--editable", f".[{','.join(sorted(extras))}]")
    STAMP.write_text(json.dumps({"key": key(), "extras": sorted(there | extras)}))


def look(python: Path) -> tuple[str, Path] | None:
    """The interpreter's version and its site-packages; None where it doesn't run."""
    try:
        answer = subprocess.run([python, "-c", LOOK], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    version, site = json.loads(answer.stdout)
    return version, Path(site)


def key() -> str:
    """What an installation depends on; the path is part of it because editable installs point to it."""
    parts = [(ROOT / "pyproject.toml").read_bytes(), CONSTRAINTS.read_bytes(), str(ROOT).encode()]
    return hashlib.sha256(b"\0".join([*parts, RUNNING.encode()])).hexdigest()


def installed() -> set[str]:
    """The extras that finished installing from the present pyproject.toml and constraints.txt."""
    try:
        stamp = json.loads(STAMP.read_text())
        return set(stamp["extras"]) if stamp["key"] == key() else set()
    except (OSError, ValueError):
        return set()


def make_venv(venv: tuple[str, Path] | None) -> Path:
    """Make `.venv`, or complete it, or make it anew where it doesn't run; return its site-packages."""
    if venv:
        remove_half_written(venv[1])
        if any(venv[1].glob("pip-*.dist-info")):
            return venv[1]
    # Not sys.executable: that may be the interpreter in .venv.
    base: str = getattr(sys, "_base_executable", sys.executable)
    subprocess.run([base, "-m", "venv", *([] if venv else ["--clear"]), str(VENV)], check=True)
    made = look(PYTHON)
    if made is None:
        raise SystemExit(f"install: {PYTHON} was made and doesn't run")
    return made[1]


def remove_half_written(site: Path) -> None:
    """Let pip see as missing what it was killed in: it writes INSTALLER last, and renames what it replaces to ~."""
    unfinished = [info for info in site.glob("*.dist-info") if not (info / "INSTALLER").exists()]
    for folder in [*unfinished, *site.glob("~*")]:
        shutil.rmtree(folder)


def torch_pin() -> str:
    """The version of torch that constraints.txt pins."""
    found = re.search(r"^torch==(\S+)$", CONSTRAINTS.read_text(), re.MULTILINE)
    if not found:
        raise SystemExit("install: constraints.txt pins no torch: add a line torch==VERSION")
    return found[1]


def install_torch(pin: str) -> None:
    """Install torch from the index that TORCH_INDEX names, if it has it; else leave torch to pip.

    Without TORCH_INDEX, a Linux machine without a GPU asks PyTorch's CPU index, unless pip's own configuration
    offers a CPU build: what pip takes by default there is a CUDA build of several gigabytes.
    """
    index = os.environ.get("TORCH_INDEX")
    if index is None and (sys.platform != "linux" or has_gpu() or f"{pin}+cpu" in offered()):
        return
    index = CPU_INDEX if index is None else index
    if not index:
        return
    if any(version.partition("+")[0] == pin for version in offered_by(index)):
        say(f"taking torch {pin} from {index}")
        try:
            pip("install", "--no-deps", "--retries", "2", "--index-url", index, f"torch=={pin}")
        except subprocess.CalledProcessError:
            say(f"{index} broke off")
        else:
            return
    say(f"no torch {pin} from {index}: taking the build that pip finds, on Linux often CUDA's")


def has_gpu() -> bool:
    """Whether this machine has an NVIDIA GPU, as far as its driver shows."""
    return Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi") is not None


def offered_by(index: str) -> list[str]:
    """The versions of torch that this index alone has for this machine; none if it doesn't answer in seconds."""
    alone = {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": "", "PIP_EXTRA_INDEX_URL": ""}
    try:
        return offered("--index-url", index, "--timeout", "3", "--retries", "0", settings=alone, limit=10)
    except subprocess.TimeoutExpired:  # a resolver that doesn't answer: pip's own timeout leaves that out
        return []


def offered(*options: str, settings: dict[str, str] | None = None, limit: float | None = None) -> list[str]:
    """The versions of torch that pip finds for this machine.

    `pip install --dry-run` would download the wheel first in the pip of Python 3.11 to 3.13; this reads an index
    page. Raises `TimeoutExpired` after `limit` seconds.
    """
    command = [str(PYTHON), "-m", "pip", "index", "versions", "torch", *options]
    environment = os.environ | (settings or {})
    answer = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=limit)
    found = re.search(r"^Available versions: (.*)$", answer.stdout, re.MULTILINE)
    return found[1].split(", ") if found else []


def pip(*arguments: str) -> None:
    """Run the pip of `.venv` in the checkout, seen by the user; `CalledProcessError` where it fails."""
    subprocess.run([PYTHON, "-m", "pip", *arguments, "--disable-pip-version-check"], check=True, cwd=ROOT)


def say(text: str) -> None:
    """Tell the user, ahead of what pip prints."""
    print(f"install: {text}", flush=True)


if __name__ == "__main__":
    try:
        install(set(sys.argv[1:]))
    except subprocess.CalledProcessError:
        sys.exit("install: it failed for the reason above; the same command goes on from here")
    except KeyboardInterrupt:
        sys.exit(130)
