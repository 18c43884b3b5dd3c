"""A linear probe fitted to the end: logistic regression on frozen features, in place of gradient steps."""

from __future__ import annotations

import warnings
from collections.abc import Mapping  # noqa: TC003  (pydantic resolves the annotations of a class when it makes it)
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from methods.base import Method, Plan
from methods.errors import MethodError
from methods.prepare import head_modules
from methods.registry import register
from methods.spaces import Range, around

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor, nn
    from transformers import PreTrainedModel

TOLERANCE = 1e-6
"""L-BFGS ends where no part of the gradient is larger, divided by c and by the number of texts."""
MOST_ITERATIONS = 10_000


@register
class Probe(Method):
    """The head W (and b, where the architecture's head has one) that minimises c · Σ cross-entropy + ½ ‖W‖².

    The sum is over the train texts. The penalty is that of W on features divided by their standard deviations, and
    centred where there is a b to make up for it; the head takes the same function of the features as they are.
    """

    name: ClassVar[str] = "probe"
    trains: ClassVar[str] = "the classification head, by logistic regression to convergence"
    paper: ClassVar[str] = "Alain & Bengio 2016, arXiv 1610.01644 (linear probes)"
    family: ClassVar[str] = "anchors"
    learning_rate_source: ClassVar[str] = "no step is taken"
    defaults_source: ClassVar[str] = "c: of 0.003, 0.01, 0.03, 0.1 and 1, the lowest validation loss on the demo"
    searched: ClassVar[Mapping[str, Range]] = {
        "c": around(0.01, why="it is all that there is to choose: no step is taken")
    }
    fixed_features: ClassVar[bool] = True
    identity_at_start: ClassVar[bool] = True

    c: Annotated[float, Field(gt=0)] = 0.01
    learning_rate: Annotated[float, Field(ge=0, le=0)] = 0.0

    def adapt(self, model: PreTrainedModel, plan: Plan | None) -> nn.Module:
        """Return the model as it comes. Raises MethodError where the head isn't one linear layer."""
        import sklearn.linear_model  # noqa: F401  (takes a second, which would count as training later)
        from torch import nn

        heads = head_modules(model)
        if [type(head) for head in heads.values()] != [nn.Linear]:
            raise MethodError(
                f"probe can't tune {type(model).__name__}: its head ({', '.join(heads)}) isn't one linear layer"
            )
        return model

    def fit(self, head: nn.Linear, features: Tensor, labels: Tensor) -> None:
        """Find the head's parameters and put them there.

        `features` [n, width] is what the head reads of each train text, `labels` int64 [n] the text's style. Raises
        MethodError for a style without a text, and where the minimum isn't reached.
        """
        import torch

        if len(labels.unique()) < head.out_features:
            raise MethodError("probe needs a train text of every style")
        with_bias = head.bias is not None
        weight, bias = self._minimise(features.double().cpu().numpy(), labels.cpu().numpy(), with_bias)
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(weight))
            if with_bias:
                head.bias.copy_(torch.from_numpy(bias))

    def _minimise(self, features: NDArray[Any], labels: NDArray[Any], with_bias: bool) -> tuple[NDArray[Any], ...]:
        """Return W [styles, width] and b [styles], zero without bias, for features as they are, in float64."""
        import numpy as np
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler(with_mean=with_bias)
        model = LogisticRegression(C=self.c, fit_intercept=with_bias, tol=TOLERANCE, max_iter=MOST_ITERATIONS)
        with _to_the_end():
            model.fit(scaler.fit_transform(features), labels)
        weight, bias = model.coef_ / scaler.scale_, model.intercept_
        if with_bias:
            bias = bias - weight @ scaler.mean_
        if len(weight) == 1:  # of two styles scikit-learn keeps the difference
            weight, bias = (np.concatenate([-part, part]) / 2 for part in (weight, bias))
        return weight, bias


@contextmanager
def _to_the_end() -> Iterator[None]:
    """Take scikit-learn's warning that it gave up as an error. More threads than one make an iteration slower."""
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            yield
        except ConvergenceWarning as gave_up:
            said = f"probe isn't fitted after {MOST_ITERATIONS} iterations; a smaller c converges sooner"
            raise MethodError(said) from gave_up
