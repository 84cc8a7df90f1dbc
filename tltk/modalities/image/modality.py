"""Images: the modality of `ImageSpec`."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tltk.data.formats.arrays import from_arrays
from tltk.data.formats.folder import from_files
from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.modalities.image import dataset
from tltk.modalities.image.augment import Augmentation, standard
from tltk.modalities.image.reader import READERS
from tltk.modalities.image.requests import read_requests
from tltk.modalities.image.validate import invalid_files
from tltk.modalities.modality import Modality, UserDataset, register_modality
from tltk.modalities.requests import Request
from tltk.pipeline.batching import Size, examples_per_batch
from tltk.pipeline.readers import Reader
from tltk.specs import ImageSpec, InvalidExample


class ImageModality(Modality):
    """RGB images in files, in memory, or in a TensorFlow Datasets builder."""

    name: ClassVar[str] = "image"
    spec_type: ClassVar[type] = ImageSpec
    default_backbone: ClassVar[str] = "resnet50"

    def validate(self, source: Source) -> tuple[Source, tuple[InvalidExample, ...]]:
        """Look at headers, sizes and ends of image files; what is in memory was checked when it came."""
        if source.storage != "files":
            return source, ()
        reasons = invalid_files([str(path) for path in source.examples])
        invalid = tuple(InvalidExample(source.id_of(row), reason) for row, reason in enumerate(reasons) if reason)
        return (source.subset(np.array([not reason for reason in reasons])) if invalid else source), invalid

    def reader(self, source: Source, spec: ImageSpec) -> Reader:
        """Read files, arrays or a stream."""
        if spec.channels != 3:
            raise ValueError(f"`spec.channels` must be 3. Received: {spec.channels}")
        return READERS[source.storage](source.examples, spec)

    def from_dataset(self, dataset_: tf.data.Dataset, spec: ImageSpec, *, batch_size: Size) -> UserDataset:
        """See `Modality`: images [h, w, c] or batches of them, resized to what the model takes."""
        return dataset.adopt(dataset_, spec, batch_size=examples_per_batch(batch_size, 1))

    def source(self, inputs: Any, spec: ImageSpec) -> Source:
        """Take paths, folders, or pixels [n, height, width, 3]."""
        return from_arrays(inputs) if isinstance(inputs, np.ndarray) else from_files(inputs)

    def default_augmentation(self) -> tuple[Augmentation, ...]:
        """Flip, a gentle crop, gentle color."""
        return standard()

    def check_augmentation(self, augmentations: Sequence[Any]) -> None:
        """Accept every `Augmentation`."""
        for augmentation in augmentations:
            check.instance_of("augment", augmentation, Augmentation, hint="Pass the likes of tltk.augment.flip().")

    def request_names(self, spec: ImageSpec) -> tuple[str, ...]:
        """Encoded images."""
        return ("image_bytes",)

    def request_reader(self, spec: ImageSpec) -> tuple[Callable[..., Request], list[Any]]:
        """Decode with the decoder of training."""
        return lambda image_bytes: read_requests(image_bytes, spec), []

    def sample_requests(self, spec: ImageSpec, *, count: int, seed: int) -> list[tuple[bytes, ...]]:
        """Make JPEG and PNG images of another size than the model's, and two that cannot be read."""
        generator = np.random.default_rng(seed)
        rows, columns = spec.height + 13, spec.width + 40
        ramp = np.linspace(0, 255, columns)[None, :, None] * np.linspace(0, 1, rows)[:, None, None]
        requests = []
        for index in range(count):
            image = np.clip(ramp + generator.normal(0, 30, (rows, columns, 3)), 0, 255).astype("uint8")
            requests.append((tf.io.encode_png if index % 2 else tf.io.encode_jpeg)(image).numpy())
        return [(data,) for data in (*requests, b"not an image", requests[1][:200])]

    def from_requests(self, requests: Sequence[tuple[bytes, ...]], spec: ImageSpec, folder: Path) -> Source:
        """Write each image into a file."""
        paths = np.array([str(folder / str(number)) for number in range(len(requests))], object)
        for path, (data,) in zip(paths, requests, strict=True):
            Path(path).write_bytes(data)
        return Source(self.name, "files", paths, ids=np.array(list(map(str, range(len(paths)))), object))

    def to_config(self, spec: ImageSpec, folder: Path) -> dict[str, Any]:
        """Return the fields of the spec."""
        return asdict(spec)

    def from_config(self, config: dict[str, Any], folder: Path) -> ImageSpec:
        """Bring the spec back."""
        return ImageSpec(**config)

    def about(self, spec: ImageSpec) -> dict[str, Any]:
        """Add how images are brought to the network's input."""
        return {**super().about(spec), **asdict(spec), "range": [0, 255], "channels": "RGB, last"}


register_modality(ImageModality())
