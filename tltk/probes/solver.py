"""The solver of a linear probe: L2-regularized regression on features in the coordinates of their principal axes.

The solution of a ridge penalty lies in the span of the examples and does not depend on a rotation of the features. In
the coordinates of the principal axes there are at most as many columns as examples, and their scale is known, so that
L-BFGS needs few iterations.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from tltk.probes.links import gradient, link

_BIAS_PENALTY = 1e-5  # keeps the bias finite of a class that does not occur
_MAX_ITERATIONS = 200
_TOLERANCE = 1e-4  # of the gradient, in scaled coordinates


@dataclass(frozen=True)
class Axes:
    """Features in the coordinates of their principal axes.

    Args:
        coordinates: float32 [n, rank].
        directions: float32 [channels, rank]: (features - center) · directions = coordinates.
        center: float32 [channels].
        variances: Mean square of each coordinate, float64 [rank].
    """

    coordinates: np.ndarray
    directions: np.ndarray
    center: np.ndarray
    variances: np.ndarray


def principal_axes(features: np.ndarray, *, scaling: str = "standard", weight: np.ndarray | None = None) -> Axes:
    """Center, scale and rotate features, so that their total variance is 1.

    Args:
        features: float32 [n, channels].
        scaling: "standard" divides each channel by its standard deviation first; "global" does not.
        weight: Weights of the examples, float [n], in mean and deviation; None for equal ones.
    """
    share = np.full(len(features), 1 / len(features)) if weight is None else weight / weight.sum()
    center = share @ features.astype(np.float64)
    centered = features - center
    deviation = np.sqrt(share @ np.square(centered))
    if scaling == "standard":
        # A channel that hardly varies carries little information, and is not scaled up.
        scales = 1 / np.maximum(deviation, max(1e-3 * float(deviation.max(initial=0)), 1e-12))
    else:
        scales = np.ones(features.shape[1])
    scales = scales / max(float(np.sqrt(((deviation * scales) ** 2).sum())), 1e-12)
    scaled = (centered * scales).astype(np.float32)
    if len(scaled) <= scaled.shape[1]:
        values, vectors = np.linalg.eigh((scaled @ scaled.T).astype(np.float64))
        kept = values > max(values.max(initial=0), 0) * 1e-7
        rotation = scaled.T @ (vectors[:, kept] / np.sqrt(values[kept]))
    else:
        values, vectors = np.linalg.eigh((scaled.T @ scaled).astype(np.float64))
        rotation = vectors[:, values > max(values.max(initial=0), 0) * 1e-7]
    coordinates = (scaled @ rotation.astype(np.float32)).astype(np.float32)
    directions = (scales[:, None] * rotation).astype(np.float32)
    return Axes(coordinates, directions, center.astype(np.float32), np.square(coordinates, dtype=np.float64).mean(0))


def solve(
    coordinates: np.ndarray,
    targets: np.ndarray,
    *,
    kind: str,
    penalty: float,
    variances: np.ndarray,
    weight: np.ndarray | None = None,
    offset: np.ndarray | None = None,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """Minimize the mean loss + penalty / 2 · |weights|².

    Args:
        coordinates: float32 [n, rank], see `Axes`.
        targets: float32 [n, outputs].
        kind: See `tltk.probes.links.link`.
        penalty: Strength of the regularization, above 0; not of the bias.
        variances: Scale of the coordinates, float [rank]; only the number of iterations depends on it.
        weight: Weights of the examples, float [n]; None for equal ones.
        offset: Added to the logits while fitting and not part of the result, float [outputs]: log priors make a
            classifier for equal priors (logit adjustment, Menon et al. 2021).
        start: Result for another penalty, [rank + 1, outputs]; None starts at zero.

    Returns:
        Weights and, in the last row, bias: float32 [rank + 1, outputs].
    """
    outputs = targets.shape[1]
    connection = link(kind, outputs)
    share = np.full(len(targets), 1 / len(targets)) if weight is None else weight / weight.sum()
    share = share.astype(np.float32)
    scales = np.append(np.sqrt(connection.curvature * variances + penalty), np.sqrt(connection.curvature))[:, None]
    penalties = np.append(np.full(coordinates.shape[1], penalty), _BIAS_PENALTY)[:, None]
    added = np.zeros(outputs, np.float32) if offset is None else np.asarray(offset, np.float32)

    def value_and_slope(flat: np.ndarray) -> tuple[float, np.ndarray]:
        solution = flat.reshape(-1, outputs) / scales
        weights = solution.astype(np.float32)
        logits = coordinates @ weights[:-1] + (weights[-1] + added)
        slopes = gradient(kind, connection.predict(logits), targets) * share[:, None]
        slope = np.concatenate([coordinates.T @ slopes, slopes.sum(0, keepdims=True)]).astype(np.float64)
        value = float(share @ connection.losses(logits, targets)) + 0.5 * float((penalties * solution**2).sum())
        return value, ((slope + penalties * solution) / scales).ravel()

    first = np.zeros((len(scales), outputs)) if start is None else start * scales
    options = {"maxiter": _MAX_ITERATIONS, "gtol": _TOLERANCE, "ftol": 1e-7, "maxcor": 10}
    solution = minimize(value_and_slope, first.ravel(), jac=True, method="L-BFGS-B", options=options).x
    return (solution.reshape(-1, outputs) / scales).astype(np.float32)
