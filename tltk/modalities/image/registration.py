"""How much two images differ after one was moved onto the other: registration by Lucas and Kanade.

A cropped, resized, re-encoded, brightened or slightly rotated copy of an image is the image itself under an affine map,
a gain and an offset. The map that explains one image best by another is found by least squares on linearized
intensities (Lucas & Kanade 1981, "An iterative image registration technique"), with the gradients of the first image,
which do not change between iterations (Baker & Matthews 2004, "Lucas-Kanade 20 years on", the inverse compositional
algorithm). All functions work on many pairs at once.
"""

import numpy as np

SIDE = 32  # height and width of the images that are compared
TILES = 8  # per side: the difference is that of the worst tile
_COARSE = 0.5  # residual at half the size above which images are not compared any further
_ITERATIONS = 6  # at half the size, then at full size
_MAX_STEP = 0.15  # of an entry of the affine map in one iteration; the half width of the image is 1
_MAX_CHANGE = 0.35  # of an entry of the linear part: rotations by 20°, half or one and a half times the size
_GAINS = (0.5, 2.0)
_MAX_BRIGHTENING = 80.0  # change of the mean, of 255
_MARGIN = 0.09  # of the side, along all edges, that is not compared: a rotation fills it with something else
_MAX_TINT = 5.0  # change of the mean color, of 64
_MIN_OVERLAP = 0.4  # without the margins
_NOISE = 2.0  # standard deviation of pixels that says nothing, such as that of JPEG in even areas
# RGB → luma, and half of the blue and red differences of JPEG (ITU-R BT.601), which it stores coarsely.
_OPPONENT = np.array([[0.299, -0.084, 0.25], [0.587, -0.166, -0.209], [0.114, 0.25, -0.041]], np.float32)


def differences(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return how much of each second image its first image does not explain.

    Args:
        first: uint8 [k, 32, 32, 3].
        second: uint8 [k, 32, 32, 3].

    Returns:
        float32 [k], at least 0: the mean squared residual in the worst of 64 tiles, relative to the variance of the
        image; infinity if the best map is not a small change, or most of the image is outside of the other.

    Examples:
        >>> ramp = np.broadcast_to(np.arange(32, dtype="uint8")[:, None] * 4, (1, 32, 32, 3))
        >>> bool(differences(ramp, ramp + 20)[0] < 0.01)
        True
    """
    images, others = (_smoothed(pixels.astype(np.float32) @ _OPPONENT) for pixels in (first, second))
    small, other_small = (_halved(_smoothed(pixels)) for pixels in (images, others))
    maps = np.zeros((len(first), 2, 3), np.float32)
    maps[:, 0, 0] = maps[:, 1, 1] = 1
    maps = _register(_grey(small), _grey(other_small), maps)
    result = np.full(len(first), np.inf, np.float32)
    similar = np.flatnonzero(_residuals(small, other_small, maps) < _COARSE)  # a few of many: the others are done
    if len(similar):
        images, others = images[similar], others[similar]
        maps = _register(_grey(images), _grey(others), maps[similar])
        result[similar] = _residuals(images, others, maps)
    return result


def _grey(images: np.ndarray) -> np.ndarray:
    return images[..., :1]


def _coordinates(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of the centers of all pixels, float32 [side²]; the image is the square from -1 to 1."""
    centers = ((np.arange(side) - (side - 1) / 2) / (side / 2)).astype(np.float32)
    y, x = np.meshgrid(centers, centers, indexing="ij")
    return x.ravel(), y.ravel()


def _warped(images: np.ndarray, maps: np.ndarray, *, margin: float = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sample images [k, side, side, c] at mapped positions, bilinearly: [k, side², c], and which are inside."""
    count, side, _, channels = images.shape
    x, y = _coordinates(side)
    columns, rows = (
        (maps[:, axis, 0, None] * x + maps[:, axis, 1, None] * y + maps[:, axis, 2, None]) * (side / 2) + (side - 1) / 2
        for axis in (0, 1)
    )
    low, high = margin - 0.5, side - 0.5 - margin
    inside = (columns >= low) & (columns <= high) & (rows >= low) & (rows <= high)
    columns, rows = np.clip(columns, 0, side - 1), np.clip(rows, 0, side - 1)
    left, top = (np.minimum(positions.astype(np.int32), side - 2) for positions in (columns, rows))
    right_share, bottom_share = (columns - left)[..., None], (rows - top)[..., None]
    pixels = images.reshape(-1, channels)
    corner = np.arange(count)[:, None] * side * side + top * side + left
    upper = pixels[corner] * (1 - right_share) + pixels[corner + 1] * right_share
    lower = pixels[corner + side] * (1 - right_share) + pixels[corner + side + 1] * right_share
    return upper * (1 - bottom_share) + lower * bottom_share, inside


def _register(images: np.ndarray, others: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Improve the affine maps from positions in grey images [k, side, side, 1] to positions in the other images."""
    count, side = images.shape[:2]
    x, y = _coordinates(side)
    down, across = (axis.reshape(count, -1) for axis in np.gradient(images[..., 0], 2 / side, axis=(1, 2)))
    values = images.reshape(count, -1)
    columns = [across * x, across * y, across, down * x, down * y, down, values, np.ones_like(values)]
    design = np.stack(columns, axis=1)
    normal = design @ design.transpose(0, 2, 1)
    ridge = np.array([1, 1, 1, 1, 1, 1, 1e-3, 1e-3], np.float32)  # where nothing is to be seen, nothing moves
    scale = 1e-4 * np.trace(normal, axis1=1, axis2=2) / len(ridge)
    normal += np.eye(len(ridge), dtype=np.float32) * (scale[:, None, None] * ridge + 1e-3)
    solver = np.linalg.solve(normal, design)
    gain, offset = np.ones(count, np.float32), np.zeros(count, np.float32)
    for _ in range(_ITERATIONS):
        sampled, inside = _warped(others, maps)
        # Outside, the prediction itself: these pixels do not pull.
        target = np.where(inside, sampled[..., 0], gain[:, None] * values + offset[:, None])
        solution = np.einsum("kpn,kn->kp", solver, target)
        gain, offset = np.clip(solution[:, 6], *_GAINS), solution[:, 7]
        step = np.clip(solution[:, :6] / gain[:, None], -_MAX_STEP, _MAX_STEP)
        maps = _composed(maps, step.reshape(count, 2, 3))
    return maps


def _composed(maps: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Return the maps after the inverse of a step."""
    homogeneous, change = (np.zeros((len(maps), 3, 3), np.float32) for _ in range(2))
    homogeneous[:, :2], homogeneous[:, 2, 2] = maps, 1
    change[:, :2] = step
    change += np.eye(3, dtype=np.float32)
    return (homogeneous @ np.linalg.inv(change))[:, :2]


def _residuals(images: np.ndarray, others: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Return the residual of the worst tile relative to the variance; infinity if a map is not a small change."""
    count, side = images.shape[:2]
    sampled, inside = _warped(others, maps, margin=_MARGIN * side)
    x, y = _coordinates(side)
    inside &= np.maximum(np.abs(x), np.abs(y)) <= 1 - 2 * _MARGIN
    weight = inside[..., None].astype(np.float32)
    total = np.maximum(weight.sum((1, 2)) * images.shape[3], 1)
    means, centered = [], []
    for pixels in (images.reshape(count, side * side, -1), sampled):
        mean = (pixels * weight).sum(1) / np.maximum(weight.sum(1), 1)
        means.append(mean)
        centered.append((pixels - mean[:, None]) * weight)
    variances = [(pixels**2).sum((1, 2)) for pixels in centered]
    floor = _NOISE**2 * total
    gain = (centered[0] * centered[1]).sum((1, 2)) / np.maximum(variances[0], floor)
    is_flat = (variances[0] < floor) & (variances[1] < floor)
    gain = np.where(is_flat, 1, gain)
    residual = ((centered[1] - gain[:, None, None] * centered[0]) ** 2).sum(2)
    tile = side // TILES
    worst = residual.reshape(count, TILES, tile, TILES, tile).sum((2, 4)).max((1, 2))
    # Of both images, so that an image does not explain the even half of another.
    variance = np.minimum(variances[1], variances[0] * np.maximum(gain, 0) ** 2)
    relative = worst / np.maximum(variance, floor) * TILES**2
    linear = np.abs(maps[:, :, :2] - np.eye(2, dtype=np.float32)).max((1, 2))
    is_small = (linear <= _MAX_CHANGE) & (inside.mean(1) >= _MIN_OVERLAP)
    is_small &= (gain >= _GAINS[0]) & (gain <= _GAINS[1]) & (np.abs(means[1] - means[0])[:, 0] <= _MAX_BRIGHTENING)
    is_small &= np.abs(means[1] - gain[:, None] * means[0])[:, 1:].max(1) <= _MAX_TINT
    return np.where(is_small, relative, np.inf).astype(np.float32)


def _smoothed(images: np.ndarray) -> np.ndarray:
    """Filter images [k, h, w, c] by [1, 2, 1] / 4 in both directions."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    rows = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    return (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 4


def _halved(images: np.ndarray) -> np.ndarray:
    count, height, width, channels = images.shape
    return images.reshape(count, height // 2, 2, width // 2, 2, channels).mean((2, 4))
