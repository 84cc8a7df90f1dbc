"""The record of the boxes of one image: those that were annotated, or those that a model predicts."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, eq=False)
class Boxes:
    """The boxes of one image, in pixels of the image as a viewer shows it, after its EXIF orientation is applied.

    Pixel i spans i to i + 1: the whole of an image with 480 rows and 640 columns is the box (0, 0, 480, 640).

    Args:
        boxes: Edges (y_min, x_min, y_max, x_max) of each box, float32 [k, 4]. A list is stored as an array.
        classes: Index of its label, int32 [k].
        ignored: Whether it counts neither as an object nor as missed, bool [k]: a crowd in COCO, a difficult object
            in Pascal VOC. None means that no box is ignored.
        area: Area of the object in pixels, float32 [k]; None means that of the box.

    Raises:
        InvalidInput: If a shape is wrong, a number is not finite, a box ends before it begins, or a class is negative;
            all problems are listed.

    Examples:
        >>> boxes = Boxes([[10, 20, 30, 60]], [0])
        >>> len(boxes), boxes.area.tolist(), boxes.ignored.tolist()
        (1, [800.0], [False])
    """

    boxes: Any
    classes: Any
    ignored: Any = None
    area: Any = None

    def __post_init__(self) -> None:
        import numpy as np  # here, so that the table of backbones needs no NumPy

        boxes = _array("boxes", self.boxes, "float32", columns=4)
        classes = _array("classes", self.classes, "int32")
        ignored = np.zeros(len(boxes), bool) if self.ignored is None else _array("ignored", self.ignored, "bool")
        sides = boxes[:, 2:] - boxes[:, :2]
        area = sides.prod(1) if self.area is None else _array("area", self.area, "float32")
        problems = check.Problems()
        for name, values in (("classes", classes), ("ignored", ignored), ("area", area)):
            if len(values) != len(boxes):
                problems.add(f"`{name}` must have {len(boxes)} values, one per box. Received: {len(values)}")
        for row in np.flatnonzero(~(np.isfinite(boxes).all(1) & (sides >= 0).all(1))):
            problems.add(
                f"`boxes`[{row}] must be finite, with y_min <= y_max and x_min <= x_max. Received: "
                f"{boxes[row].tolist()}"
            )
        if not np.isfinite(area).all():
            problems.add(f"`area` must be finite. Received: {area[~np.isfinite(area)][0]}")
        if (classes < 0).any():
            problems.add(f"`classes` must be indices of labels. Received: {classes.min()}")
        problems.raise_if_any()
        for name, values in (("boxes", boxes), ("classes", classes), ("ignored", ignored), ("area", area)):
            object.__setattr__(self, name, values)

    def __len__(self) -> int:
        return len(self.boxes)

    def __repr__(self) -> str:
        return f"<Boxes: {len(self)} box{'es' * (len(self) != 1)}>"

    def tobytes(self) -> bytes:
        """Return bytes that differ whenever the boxes do."""
        return b"".join(values.tobytes() for values in (self.boxes, self.classes, self.ignored, self.area))

    def take(self, rows: Any) -> "Boxes":
        """Return the boxes at these indices, or those for which an array of bools is true."""
        return Boxes(self.boxes[rows], self.classes[rows], self.ignored[rows], self.area[rows])


def _array(name: str, values: Any, dtype: str, *, columns: int = 0) -> "np.ndarray":
    """Return values as an array [k], or [k, columns].

    Raises:
        InvalidInput: If they have another shape or are not numeric.
    """
    import numpy as np

    expected = f"[k, {columns}]" if columns else "[k]"
    try:
        with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite, and is refused
            array: np.ndarray = np.asarray(values, dtype)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"`{name}` must be numbers {expected}. Received: {values!r:.60}") from error
    if array.size == 0:
        return np.zeros((0, columns) if columns else 0, dtype)
    if array.shape[1:] != ((columns,) if columns else ()) or array.ndim == 0:
        raise InvalidInput(f"`{name}` must be {expected}. Received: {list(array.shape)}")
    return array
