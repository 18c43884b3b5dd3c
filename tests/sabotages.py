"""What the gates must catch: five ways to make the harness slower or hungrier, each as a change of its source.

The suite makes them in its own process, `make gates-proof` in a checkout of its own.
"""

from __future__ import annotations

import importlib
import inspect
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from methods import registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Sabotage:
    """In `module`'s source `before`, which stands there once, becomes `after`; `gate` is the one that must notice."""

    name: str
    gate: Literal["budget", "regress"]
    module: str
    before: str
    after: str

    def of(self, source: str) -> str:
        """Return the source with the change made."""
        if source.count(self.before) != 1:
            raise ValueError(f"{self.name}: {self.module} has changed; make the sabotage fit it again")
        return source.replace(self.before, self.after)

    def apply(self, root: Path) -> None:
        """Make the change in a checkout."""
        path = root / f"{self.module.replace('.', '/')}.py"
        path.write_text(self.of(path.read_text(encoding="utf-8")), encoding="utf-8")

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Make the change in this process, for a while."""
        module = importlib.import_module(self.module)
        names, registered = dict(vars(module)), dict(registry._registered)
        try:
            exec(compile(self.of(inspect.getsource(module)), str(module.__file__), "exec"), vars(module))
            yield
        finally:
            vars(module).clear()
            vars(module).update(names)
            registry._registered.clear()
            registry._registered.update(registered)


SLOWER_STEP = Sabotage(
    "a training step 10% slower",
    "regress",
    "bench.training.train",
    "    def step(self, rows: NDArray[np.int64]) -> torch.Tensor:\n",
    """    def step(self, rows: NDArray[np.int64]) -> torch.Tensor:
        begin = time.perf_counter()
        loss = self._step(rows)
        time.sleep(0.1 * (time.perf_counter() - begin))
        return loss

    def _step(self, rows: NDArray[np.int64]) -> torch.Tensor:
""",
)
EXTRA_COPY = Sabotage(
    "a method that keeps an extra copy of its activations",
    "budget",
    "methods.lora",
    "    def config(self, model: PreTrainedModel, plan: Plan | None) -> PeftConfig:\n",
    """    def adapt(self, model: PreTrainedModel, plan: Plan | None) -> Any:
        module = super().adapt(model, plan)
        for layer in module.modules():
            if hasattr(layer, "lora_A"):
                layer.register_forward_hook(lambda layer, _, found: setattr(layer, "kept", found.detach().clone()))
        return module

    def config(self, model: PreTrainedModel, plan: Plan | None) -> PeftConfig:
""",
)
MORE_LAYERS = Sabotage(
    "an adapter with one more layer",
    "budget",
    "methods.lora",
    "target_modules=resolve_targets(self.name, model, self.targets, BY_ARCHITECTURE),",
    'target_modules=[*resolve_targets(self.name, model, self.targets, BY_ARCHITECTURE), "attn.c_proj"],',
)
FORGOTTEN_NO_GRAD = Sabotage(
    "a forgotten no_grad in evaluation",
    "budget",
    "bench.training.train",
    """    with measure.phase(forward.device) as cost, torch.inference_mode():
        found = [forward(split, rows) for rows in batches]  # a GPU isn't waited for after each
""",
    """    with measure.phase(forward.device) as cost:
        found = [forward(split, rows).detach() for rows in batches]
""",
)
KV_CACHE = Sabotage(
    "a KV cache left on", "budget", "bench.model.backbone", "config.use_cache = False\n", "config.use_cache = True\n"
)
ALL = (SLOWER_STEP, EXTRA_COPY, MORE_LAYERS, FORGOTTEN_NO_GRAD, KV_CACHE)
