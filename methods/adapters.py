"""An adapted model's own parameters: count them, save them, load them, merge them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from methods.base import applied_method, mark_applied
from methods.conv1d import was_converted
from methods.errors import MethodError
from methods.peft_method import on_device, read_right_token, refusing, trains_head
from methods.prepare import head_modules, prepare, trainable
from methods.registry import get

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from methods.base import Method

__all__ = ["adapter_bytes", "count", "load", "merge", "save", "trainable"]

METHOD_FILE = "method.json"
TENSORS_FILE = "adapter.safetensors"
NOTE = (
    "This adapter was made on linear layers in place of the model's Conv1D and doesn't load onto the stock model: "
    "load it with methods.adapters.load, which converts the model first."
)


def count(module: nn.Module) -> tuple[int, int]:
    """Return how many parameters train and how many there are, each tensor counted once.

    peft keeps the head that it was given beside the one that trains; that copy does nothing and isn't counted.
    """
    from peft.utils import ModulesToSaveWrapper

    idle = {
        id(parameter)
        for wrapper in module.modules()
        if isinstance(wrapper, ModulesToSaveWrapper)
        for parameter in wrapper.original_module.parameters()
    }
    parameters = [parameter for parameter in module.parameters() if id(parameter) not in idle]
    return sum(p.numel() for p in parameters if p.requires_grad), sum(p.numel() for p in parameters)


def adapter_bytes(module: nn.Module) -> int:
    """Return the size in bytes of the safetensors file that `save` writes, without writing it."""
    from peft.utils import get_peft_model_state_dict

    if _is_peft_folder(module):
        return _file_bytes(get_peft_model_state_dict(module, save_embedding_layers=False), {"format": "pt"})
    return _file_bytes(_own(module), None)


def _file_bytes(tensors: dict[str, Tensor], metadata: dict[str, str] | None) -> int:
    """Return the size of a safetensors file: 8 bytes, a header of JSON filled up to a multiple of 8, the tensors.

    safetensors itself makes the header's outline, from tensors without elements: it knows the order and its own words.
    """
    from safetensors.torch import save as serialised

    outline = serialised({name: tensor.new_empty(0) for name, tensor in tensors.items()}, metadata)
    header, end = json.loads(outline[8:]), 0
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = end, end + tensors[name].nbytes
            entry |= {"shape": list(tensors[name].shape), "data_offsets": [begin, end]}
    size = len(json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode())
    return 8 + math.ceil(size / 8) * 8 + end


def save(module: nn.Module, folder: str | Path) -> None:
    """Write an adapted model's own parameters and its head, as safetensors, with the method beside them.

    A model that peft adapted becomes a peft folder, which `PeftModel.from_pretrained` puts onto a stock backbone; where
    the method can't tune a stock GPT-2's Conv1D, a note in the folder says so.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    method = applied_method(module)
    described = {"method": method.name, "hyperparameters": method.hyperparameters()}
    if method.needs_linear and was_converted(module):
        described["note"] = NOTE
    (folder / METHOD_FILE).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    if _is_peft_folder(module):
        peft_model: Any = module
        peft_model.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
    else:
        save_file({name: t.detach().contiguous() for name, t in _own(module).items()}, folder / TENSORS_FILE)


def _is_peft_folder(module: nn.Module) -> bool:
    """Return whether peft saves all that was trained."""
    from peft import PeftModel

    return isinstance(module, PeftModel) and trains_head(type(module.active_peft_config))


def _own(module: nn.Module) -> dict[str, Tensor]:
    """Return what trains and the head, which `frozen` doesn't train but draws at random."""
    from transformers import PreTrainedModel

    backbone = next(part for part in module.modules() if isinstance(part, PreTrainedModel))
    head = {id(p) for part in head_modules(backbone).values() for p in part.parameters()}
    return {name: p for name, p in module.named_parameters() if p.requires_grad or id(p) in head}


def load(model: PreTrainedModel, folder: str | Path) -> nn.Module:
    """Put a saved adapter onto a fresh backbone and return the module, which predicts what the saved one did.

    Raises MethodError where the folder holds no adapter, or one of another model.
    """
    folder = Path(folder)
    described = _described(folder)
    method = get(described["method"])(**described["hyperparameters"])
    if not (folder / TENSORS_FILE).exists():
        return _load_peft(model, folder, method)
    module = method.apply(model)
    _copy(folder / TENSORS_FILE, module)
    return module


def _described(folder: Path) -> dict[str, Any]:
    try:
        described: dict[str, Any] = json.loads((folder / METHOD_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MethodError(f"{folder} holds no saved adapter: there is no {METHOD_FILE} in it") from None
    return described


def _load_peft(model: PreTrainedModel, folder: Path, method: Method) -> nn.Module:
    from peft import PeftModel

    prepare(model)
    with refusing(f"the adapter in {folder} doesn't fit {type(model).__name__}"), on_device(model.device):
        module: nn.Module = PeftModel.from_pretrained(model, str(folder))
    read_right_token(module)
    mark_applied(method, model, module)
    return module


def _copy(file: Path, module: nn.Module) -> None:
    import torch
    from safetensors.torch import load_file

    tensors, places = load_file(file), dict(module.named_parameters())
    for name, tensor in tensors.items():
        if name not in places or places[name].shape != tensor.shape:
            raise MethodError(f"{file} doesn't fit this model: its tensor {name!r} has no place in it")
        with torch.no_grad():
            places[name].copy_(tensor)


def merge(module: nn.Module) -> nn.Module | None:
    """Return the backbone with the adapter merged into its weights, or None where there is nothing to merge.

    It is done in float32 and in place: `module` isn't usable after, and a bfloat16 backbone comes back in float32.
    """
    from peft import PeftModel

    if not isinstance(module, PeftModel) or module.active_peft_config.is_prompt_learning:
        return None
    try:
        return module.float().merge_and_unload()  # type: ignore[no-any-return]
    except (AttributeError, NotImplementedError, TypeError, ValueError):  # peft's ways to say that it can't
        return None
