"""Linear probe: logistic regression on embeddings, by scikit-learn."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from zoo.errors import DataError, MissingExtraError
from zoo.evaluation.classification import Classification, classification
from zoo.evaluation.ranking import check_embeds

__all__ = ["Probe", "linear_probe"]

_STRENGTHS = tuple(10.0**power for power in range(-2, 6))
_FOLDS = 3


@dataclass(frozen=True, eq=False)
class Probe:
    """What a probe said of each picture; `c` is the inverse of its L2 penalty.

    Args:
        converged: False if the fit stopped at its most steps, so that the numbers may be too low.
    """

    classification: Classification
    c: float
    converged: bool


def linear_probe(
    train_embeds: Float[Tensor, "train dim"],
    train_labels: Int[Tensor, " train"],
    image_embeds: Float[Tensor, "pictures dim"],
    labels: Int[Tensor, " pictures"],
    classes: Sequence[str],
    *,
    c: float | None = None,
    steps: int = 1000,
) -> Probe:
    """Fit a linear classifier to unit vectors, and judge it on other pictures.

    Args:
        labels: the right class of each picture, as a row of `classes`; likewise `train_labels`.
        c: inverse strength of the L2 penalty; if None, of 1e-2 to 1e5 the one that is best in three
            folds of the training pictures.
        steps: of L-BFGS, at most.

    Raises:
        MissingExtraError: scikit-learn is not installed.
        DataError: a class has too few training pictures, or an embedding has no direction.

    Source: Radford et al. 2021, arXiv 2103.00020, appendix A.3.
    """
    linear_model, model_selection, not_converged = _sklearn()
    check_embeds(train_embeds, "training pictures")
    check_embeds(image_embeds, "pictures")
    if c is not None and not c > 0:
        raise DataError(f"the probe's c is more than 0, not {c}")
    counts = torch.bincount(train_labels, minlength=len(classes))
    least = 1 if c else _FOLDS
    if len(classes) < 2:
        raise DataError(f"a probe tells classes apart, and there are {len(classes)}")
    if counts.min() < least:
        raise DataError(
            f"the class {classes[int(counts.argmin())]!r} has {int(counts.min())} training "
            f"pictures, and this takes {least} of each{'' if c else '; with a given c, one'}"
        )
    train, test = (
        F.normalize(each.double(), dim=1).numpy() for each in (train_embeds, image_embeds)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", not_converged)  # said by `converged`
        if c is None:
            search = model_selection.GridSearchCV(
                linear_model.LogisticRegression(max_iter=steps),
                {"C": list(_STRENGTHS)},
                cv=model_selection.StratifiedKFold(_FOLDS, shuffle=True, random_state=0),
            )
            c = float(search.fit(train, train_labels.numpy()).best_params_["C"])
        fitted = linear_model.LogisticRegression(C=c, max_iter=steps)
        fitted.fit(train, train_labels.numpy())
    scores = torch.from_numpy(np.log(fitted.predict_proba(test).clip(1e-300)))
    return Probe(
        classification([scores], labels, classes, width=1e-9), c, bool(fitted.n_iter_.max() < steps)
    )


def _sklearn() -> tuple[Any, Any, type[Warning]]:
    try:
        from sklearn import exceptions, linear_model, model_selection
    except ImportError as missing:
        raise MissingExtraError(
            "a linear probe needs scikit-learn: pip install 'clip-zoo[eval]'"
        ) from missing
    return linear_model, model_selection, exceptions.ConvergenceWarning
