"""Methods that raise, hang, crash, hog and flood, as an installed package: what a run may do to a study."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from commands import add_package

from methods.registry import _registered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CODE = """
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import ClassVar

import methods


class Misbehaving(methods.Method):
    trains: ClassVar[str] = "the head"
    paper: ClassVar[str] = "none"
    learning_rate_source: ClassVar[str] = "none"
    learning_rate: methods.LearningRate = 1e-3

    def adapt(self, model, plan):
        if os.environ.get("MISBEHAVE") != "off":
            self.start()
        return model

    def start(self):
        pass


class Raises(Misbehaving):
    name: ClassVar[str] = "raises"

    def start(self):
        raise ValueError("what it was told\\nmakes no sense")


class Greedy(Misbehaving):
    name: ClassVar[str] = "greedy"

    def start(self):
        bytearray(2**60)


class Tensors(Misbehaving):
    name: ClassVar[str] = "tensors"

    def start(self):
        import torch

        torch.empty(2**50, dtype=torch.uint8)


class Hogs(Misbehaving):
    name: ClassVar[str] = "hogs"

    def start(self):
        Path("/proc/self/oom_score_adj").write_text("1000")
        held = []
        while True:
            held.append(b"x" * 2**24)


class Wild(Misbehaving):
    name: ClassVar[str] = "wild"

    def after_step(self, module, step):
        # what is frozen: only what is computed next can tell
        for name, parameter in module.named_parameters():
            if "mlp" in name:
                parameter.data.fill_(float("nan"))


class Leaves(Misbehaving):
    name: ClassVar[str] = "leaves"

    def start(self):
        print("a word before it goes", flush=True)
        os._exit(3)


class Crashes(Misbehaving):
    name: ClassVar[str] = "crashes"

    def start(self):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.write(2, b"from the depths of a library: \\xff\\n")
        os.kill(os.getpid(), signal.SIGSEGV)


class Shot(Misbehaving):
    name: ClassVar[str] = "shot"

    def start(self):
        os.kill(os.getpid(), signal.SIGKILL)


class Chatty(Misbehaving):
    name: ClassVar[str] = "chatty"

    def start(self):
        for number in range(50):
            sys.stdout.write(f"{number:02} {'x' * 95}\\n" * 10**4)
        sys.stdout.write("the very last line\\n")
        sys.stdout.flush()
        os._exit(4)


class Floods(Misbehaving):
    name: ClassVar[str] = "floods"

    def start(self):
        child = subprocess.Popen([sys.executable, "-c", "import threading; threading.Event().wait()"])
        Path(os.environ["NOTES"]).write_text(str(child.pid))
        while True:
            print("still here \\x1b[31m", flush=True)


class Waits(Misbehaving):
    name: ClassVar[str] = "waits"

    def start(self):
        Path(os.environ["NOTES"]).write_text(str(os.getpid()))
        threading.Event().wait()


class Late(Misbehaving):
    # it goes wrong when it is applied again, to be measured on a fixed step
    applied: ClassVar[list[int]] = []

    def adapt(self, model, plan):
        self.applied.append(os.getpid())
        if len(self.applied) > 1:
            self.go_wrong()
        return model


class Stumbles(Late):
    name: ClassVar[str] = "stumbles"

    def go_wrong(self):
        raise RuntimeError("no second legs")


class Expires(Late):
    name: ClassVar[str] = "expires"

    def go_wrong(self):
        os.kill(os.getpid(), signal.SIGKILL)


class Crowded(Misbehaving):
    name: ClassVar[str] = "crowded"

    @property
    def free_in_one_pass(self):
        return frozenset({"learning_rate"})

    def adapt(self, model, plan):
        model.transformer.ln_f.requires_grad_(True)  # which nothing computes for several runs
        return model


class Logged(Misbehaving):
    name: ClassVar[str] = "logged"
    fixed_features: ClassVar[bool] = True

    def start(self):
        with Path(os.environ["NOTES"]).open("a") as notes:
            notes.write(f"{os.getpid()}\\n")
"""
NAMES = (
    *("raises", "greedy", "tensors", "hogs", "wild", "leaves", "crashes", "shot"),
    *("chatty", "floods", "waits", "stumbles", "expires", "crowded", "logged"),
)
"""`floods`, `waits` and `logged` write a process id into the file that NOTES names; all behave with MISBEHAVE=off."""


def install(folder: Path) -> Path:
    """Put the package into a folder, and return that."""
    add_package(folder, "misbehaving_methods", CODE, "\n".join(f"{n} = misbehaving_methods:{n.title()}" for n in NAMES))
    return folder


@contextmanager
def known(site: Path) -> Iterator[None]:
    """Within, have the methods that were put into a folder known in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        yield
    for name in NAMES:
        _registered.pop(name, None)
