"""What every method promises, as checks that run on small models of three architectures in seconds."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from methods.adapters import count, load, merge, save, trainable
from methods.base import Plan
from methods.conv1d import to_linear
from methods.errors import MethodError
from methods.prepare import head_modules
from methods.spaces import MOST_FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from methods.base import Method

    Backbone: TypeAlias = Callable[[], PreTrainedModel]
    Check: TypeAlias = Callable[[Method, Backbone], None]

STYLES = 3
PAD = 0
STEPS = 3
PLAN = Plan(epochs=1, steps=STEPS)
SAME = 5e-5
"""The largest difference between two logits that count as the same in float32."""


class ContractViolation(AssertionError):
    """A promise that a method doesn't keep, in one line."""


def require(kept: bool, broken: str) -> None:
    """Raise ContractViolation, saying how the promise is `broken`, unless it is kept."""
    if not kept:
        raise ContractViolation(broken)


def tiny(architecture: str, **sizes: int) -> PreTrainedModel:
    """Return a small model for classification with random weights, the same ones every time, and no dropout."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    common = {"vocab_size": 96, "num_labels": STYLES, "pad_token_id": PAD, "bos_token_id": 1, "eos_token_id": 1}
    torch.manual_seed(0)
    config = AutoConfig.for_model(architecture, **common, **sizes, use_cache=False)
    model: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        bias = getattr(module, "bias", None)
        if isinstance(bias, torch.nn.Parameter):
            torch.nn.init.normal_(bias, std=0.02)  # a pretrained model's aren't zero
    model.train(False)
    return model


def tiny_gpt2() -> PreTrainedModel:
    """Return a GPT-2, its projections as Conv1D."""
    return tiny("gpt2", n_layer=2, n_head=4, n_embd=64, n_positions=64)


def tiny_llama() -> PreTrainedModel:
    """Return a Llama whose heads share keys and values by two."""
    heads = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    return tiny("llama", **heads, hidden_size=64, intermediate_size=128, max_position_embeddings=64)


def tiny_bert() -> PreTrainedModel:
    """Return a BERT."""
    heads = {"num_hidden_layers": 2, "num_attention_heads": 4}
    return tiny("bert", **heads, hidden_size=64, intermediate_size=128, max_position_embeddings=64)


BACKBONES: dict[str, Backbone] = {"gpt2": tiny_gpt2, "llama": tiny_llama, "bert": tiny_bert}


def in_bfloat16(model: PreTrainedModel) -> PreTrainedModel:
    """Return the model with its weights in bfloat16, as a study keeps a frozen backbone."""
    torch.nn.Module.to(model, torch.bfloat16)
    return model


def batch() -> tuple[Tensor, Tensor, Tensor]:
    """Return ids, mask and labels of six texts of 12 tokens and fewer, padded on the right."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(2, 96, (6, 12), generator=generator)
    mask = torch.arange(12) < torch.tensor([[12], [12], [9], [7], [5], [12]])
    return ids.where(mask, torch.tensor(PAD)), mask.long(), torch.arange(6) % STYLES


def logits(module: nn.Module) -> Tensor:
    """Return the logits [6, styles] for the batch, without gradients and with everything random off."""
    ids, mask, _ = batch()
    with torch.no_grad():
        found: Tensor = module.eval()(input_ids=ids, attention_mask=mask).logits
    return found


def adapted(method: Method, backbone: Backbone) -> nn.Module:
    """Return a fresh backbone with the method applied under a fixed seed."""
    model = backbone()
    torch.manual_seed(1)
    return method.apply(model, PLAN)


def train(
    method: Method, module: nn.Module, precision: Callable[[], AbstractContextManager[object]] = nullcontext
) -> set[str]:
    """Take a few training steps, and return the names of the parameters that a gradient reached.

    Each forward pass is within a new `precision`: autocast keeps what it cast for as long as it lasts.
    A method with a `fit` of its own is fitted instead; then they are the parameters that it changed.
    """
    parameters = trainable(module)
    if hasattr(method, "fit"):
        before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
        method.fit(_head(module), features(module), batch()[2])
        return {name for name, parameter in parameters.items() if not torch.equal(parameter, before[name])}
    if not parameters:
        return set()
    make = getattr(method, "optimizer", None)
    optimizer = make(module, PLAN) if make else torch.optim.AdamW(parameters.values(), lr=method.learning_rate)
    after_step, penalty = getattr(method, "after_step", None), getattr(method, "penalty", None)
    ids, mask, labels = batch()
    reached: set[str] = set()
    for step in range(STEPS):
        optimizer.zero_grad()
        with precision():
            loss = cross_entropy(module.train()(input_ids=ids, attention_mask=mask).logits.float(), labels)
        (loss + penalty(module) if penalty else loss).backward()
        reached |= {name for name, p in parameters.items() if p.grad is not None and bool(p.grad.any())}
        optimizer.step()
        if after_step:
            after_step(module, step)
    return reached


def _head(module: nn.Module) -> nn.Module:
    """Return the classification head, or what comes first in it."""
    model = next(part for part in module.modules() if isinstance(part, PreTrainedModel))
    return next(iter(head_modules(model).values()))


def features(module: nn.Module) -> Tensor:
    """Return what the classification head reads of each text in the batch, [6, width] in float32."""
    read: list[Tensor] = []
    with _head(module).register_forward_pre_hook(lambda _, inputs: read.append(inputs[0].float()), prepend=True):
        logits(module)
    if read[0].ndim == 3:  # one for each token; the model pools the logits of the last
        return read[0][torch.arange(len(read[0])), batch()[1].sum(dim=1) - 1]
    return read[0]


def difference(left: Tensor, right: Tensor) -> float:
    """Return the largest difference between two tensors of one shape."""
    return float((left.float() - right.float()).abs().max())


def bad_hyperparameters_are_refused_by_name(method: Method, backbone: Backbone) -> None:
    """A field that doesn't exist and a value of the wrong type each give one line that names the field."""
    for field in ("no_such_field", *type(method).model_fields):
        try:
            type(method)(**{field: object()})
        except MethodError as error:
            clear = field in str(error) and "\n" not in str(error)
            require(clear, f"the error for a bad {field!r} isn't one line that names it: {error}")
        else:
            raise ContractViolation(f"it takes anything as {field!r}")


def default_sweep_is_valid(method: Method, backbone: Backbone) -> None:
    """Every value of the default sweep can be used."""
    for field, values in type(method).sweep.items():
        for value in values:
            try:
                type(method)(**{field: value})
            except MethodError as error:
                raise ContractViolation(f"its own default sweep has a bad value: {error}") from error


def space_is_valid(method: Method, backbone: Backbone) -> None:
    """A search tries few fields of the method's own, each with a reason, and both ends of each range can be used."""
    kind = type(method)
    require(len(kind.searched) <= MOST_FIELDS, f"more than {MOST_FIELDS} fields of its own are searched")
    for field, found in kind.space().items():
        require(field == "learning_rate" or bool(found.why), f"it doesn't say why {field} is searched")
        require(found.low < found.high and (found.low > 0 or not found.log), f"its range of {field} isn't one")
        for end in (found.low, found.high):
            try:
                kind(**{field: end})
            except MethodError as error:
                raise ContractViolation(f"its own range has a bad end: {error}") from error


def own_parameters_and_head_train(method: Method, backbone: Backbone) -> None:
    """What trains is in float32; the head is among it unless nothing trains; peft counts the same."""
    module = adapted(method, backbone)
    parameters = trainable(module)
    kinds = {str(parameter.dtype) for parameter in parameters.values()} - {"torch.float32"}
    require(not kinds, f"parameters train in {', '.join(sorted(kinds))} rather than in float32")
    heads = set(head_modules(backbone()))
    missing = {head for head in heads if not any(f".{head}." in f".{name}" for name in parameters)}
    require(not parameters or not missing, f"the head ({', '.join(sorted(missing))}) doesn't train")
    counted = getattr(module, "get_nb_trainable_parameters", None)
    if counted is not None:
        require(counted()[0] == count(module)[0], f"peft counts {counted()[0]} parameters, we {count(module)[0]}")


def gradient_reaches_every_parameter(method: Method, backbone: Backbone) -> None:
    """After a few steps every parameter that trains has had a gradient (LoRA's A has none in the first step).

    After a method's own `fit` it has changed.
    """
    module = adapted(method, backbone)
    missed = trainable(module).keys() - train(method, module)
    require(not missed, f"no gradient in {STEPS} steps reaches {', '.join(sorted(missed))}")


def backbone_stays_bit_identical(method: Method, backbone: Backbone) -> None:
    """No tensor of the backbone that the method doesn't declare its own changes in training, nor in `apply`.

    A method that says so moves a part of the weights into the adapter when it is applied.
    """
    model = to_linear(backbone())
    before = _tensors(model)
    copies = _copies(before)
    module = method.apply(model, PLAN)
    if type(method).moves_weights:
        copies = _copies(before)
    _require_unchanged(before, copies, "applying it")
    own = {name for name, tensor in before.items() if tensor.requires_grad}
    train(method, module)
    _require_unchanged({n: t for n, t in before.items() if n not in own}, copies, "training")
    present = {id(tensor) for tensor in (*module.parameters(), *module.buffers())}
    gone = [name for name, tensor in before.items() if id(tensor) not in present]
    require(not gone, f"the backbone's tensors were replaced: {', '.join(gone)}")


def moves_weights(method: Method, backbone: Backbone) -> bool:
    """Return whether applying the method changes a tensor of the backbone."""
    model = to_linear(backbone())
    before = _tensors(model)
    copies = _copies(before)
    method.apply(model, PLAN)
    return any(not torch.equal(tensor, copies[name]) for name, tensor in before.items())


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _copies(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def _require_unchanged(tensors: dict[str, Tensor], copies: dict[str, Tensor], doing: str) -> None:
    changed = [name for name, tensor in tensors.items() if not torch.equal(tensor, copies[name])]
    require(not changed, f"{doing} changes the backbone's {', '.join(changed)}")


def fixed_features_stay_fixed(method: Method, backbone: Backbone) -> None:
    """What the head reads is the backbone's own, before training and after, of a method that says so or is fitted."""
    fits = hasattr(method, "fit")
    require(type(method).fixed_features or not fits, "it is fitted to features that it doesn't call fixed")
    if type(method).fixed_features:
        module, expected = adapted(method, backbone), features(backbone())
        require(bool(trainable(module)) or not fits, "it is fitted, and has nothing that trains")
        train(method, module)
        off = difference(features(module), expected)
        require(off <= SAME, f"what the head reads isn't fixed: it differs from the backbone's by {off:.2g}")


def fresh_one_changes_nothing(method: Method, backbone: Backbone) -> None:
    """A method that calls itself an identity at the start predicts what the backbone predicts."""
    if type(method).identity_at_start:
        off = difference(logits(adapted(method, backbone)), logits(backbone()))
        require(off <= SAME, f"a fresh one changes the logits by {off:.2g}")


def conversion_makes_no_difference(method: Method, backbone: Backbone) -> None:
    """Conv1D layers converted before or by `apply`: the same predictions and counts, from the same seed."""
    stock, converted = adapted(method, backbone), adapted(method, lambda: to_linear(backbone()))
    off = difference(logits(stock), logits(converted))
    require(off <= SAME, f"a converted backbone gives logits that differ by {off:.2g}, or the seed doesn't fix them")
    require(count(stock) == count(converted), f"counts differ: {count(stock)} and {count(converted)}")


def saved_and_loaded_predicts_the_same(method: Method, backbone: Backbone) -> None:
    """A trained adapter, saved and put onto a fresh backbone, gives the same logits."""
    module = adapted(method, backbone)
    train(method, module)
    expected = logits(module)
    with TemporaryDirectory() as folder:
        save(module, folder)
        torch.manual_seed(2)
        off = difference(logits(load(backbone_with_another_head(backbone), folder)), expected)
    require(off <= SAME, f"saved and loaded, its logits differ by {off:.2g}")


def backbone_with_another_head(backbone: Backbone) -> PreTrainedModel:
    """Return the backbone with a head of other random weights, as one has after loading pretrained weights anew."""
    model = backbone()
    for head in head_modules(model).values():
        for parameter in head.parameters():
            torch.nn.init.normal_(parameter)
    return model


def merged_predicts_the_same(method: Method, backbone: Backbone) -> None:
    """Merged in float32, a trained adapter gives the same logits; a method that can't merge says None."""
    module = adapted(method, backbone)
    train(method, module)
    expected = logits(module)
    merged = merge(module)
    if merged is not None:
        off = difference(logits(merged), expected)
        require(off <= 1e-4, f"merged, its logits differ by {off:.2g}")


def padding_makes_no_difference(method: Method, backbone: Backbone) -> None:
    """A text padded on the right in a batch is classified as it is alone: the head reads the right token."""
    module = adapted(method, backbone)
    train(method, module)
    together = logits(module)
    ids, mask, _ = batch()
    for row, length in enumerate(mask.sum(1).tolist()):
        with torch.no_grad():
            alone = module(input_ids=ids[row : row + 1, :length], attention_mask=mask[row : row + 1, :length]).logits[0]
        off = difference(alone, together[row])
        require(off <= SAME, f"a text of {length} tokens alone and in a batch has logits that differ by {off:.2g}")


def half_precision_backbone_works(method: Method, backbone: Backbone) -> None:
    """On a bfloat16 backbone, under autocast, what trains is in float32 and the gradient reaches it."""
    module = adapted(method, lambda: in_bfloat16(backbone()))
    parameters = trainable(module)
    kinds = {str(parameter.dtype) for parameter in parameters.values()} - {"torch.float32"}
    require(not kinds, f"on a bfloat16 backbone parameters train in {', '.join(sorted(kinds))}")
    missed = parameters.keys() - train(method, module, lambda: torch.autocast("cpu", dtype=torch.bfloat16))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = logits(module)
    require(not missed, f"on a bfloat16 backbone no gradient reaches {', '.join(sorted(missed))}")
    require(bool(found.isfinite().all()), "on a bfloat16 backbone the logits aren't finite")


CHECKS: tuple[Check, ...] = (
    bad_hyperparameters_are_refused_by_name,
    default_sweep_is_valid,
    space_is_valid,
    own_parameters_and_head_train,
    gradient_reaches_every_parameter,
    backbone_stays_bit_identical,
    fixed_features_stay_fixed,
    fresh_one_changes_nothing,
    conversion_makes_no_difference,
    saved_and_loaded_predicts_the_same,
    merged_predicts_the_same,
    padding_makes_no_difference,
    half_precision_backbone_works,
)


def violations(method: Method, backbone: Backbone) -> dict[str, str]:
    """Run every check; return what is broken, check -> how, in one line. Leaves torch's global generator as it was.

    An error other than a violation counts as one. Raises MethodError where the method can't serve the backbone.
    """
    with torch.random.fork_rng():
        adapted(method, backbone)
        return {check.__name__: broken for check in CHECKS if (broken := _broken(check, method, backbone))}


def _broken(check: Check, method: Method, backbone: Backbone) -> str:
    try:
        check(method, backbone)
    except ContractViolation as violation:
        return str(violation)
    except Exception as error:  # a method of another package may raise anything
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return ""
