"""Images: the modality of `ImageSpec`."""

import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import tensorflow as tf
from PIL import Image

from tltk.data.formats.arrays import as_pixels, check_pixels, from_arrays
from tltk.data.formats.folder import from_files
from tltk.data.source import Source
from tltk.foundation import display
from tltk.foundation.errors import InvalidInput, InvalidType
from tltk.modalities.augmentation import check_augmentations
from tltk.modalities.context import Context
from tltk.modalities.image import pictures, registration
from tltk.modalities.image.augment import Augmentation, standard
from tltk.modalities.image.channels import FILE_CHANNELS, NAMES, RGB, check_channels
from tltk.modalities.image.chunks import resize_chunk
from tltk.modalities.image.contents import content_digests
from tltk.modalities.image.dataset import from_dataset, pixel_problem
from tltk.modalities.image.decode import DEEP_RANGE, FILE_RANGES
from tltk.modalities.image.reader import READERS
from tltk.modalities.image.requests import read_requests
from tltk.modalities.image.sizes import image_sizes
from tltk.modalities.image.traits import scaling_note, traits_of
from tltk.modalities.image.validate import invalid_files, is_deep_png
from tltk.modalities.modality import Modality, register_modality
from tltk.modalities.requests import Request
from tltk.modalities.traits import Traits
from tltk.pipeline.batching import Size, examples_per_batch
from tltk.pipeline.readers import Reader
from tltk.pipeline.user_dataset import UserDataset, parts_of
from tltk.specs import ImageSpec, InvalidExample
from tltk.specs.image import PIXEL_RANGE

_NOTED_FILES = 32  # files whose bit depth is looked at before training


class ImageModality(Modality):
    """Modality of images of any number of channels, in files, in memory, or in a TensorFlow Datasets builder."""

    name: ClassVar[str] = "image"
    spec_type: ClassVar[type] = ImageSpec
    default_backbone: ClassVar[str] = "resnet50"
    has_pictures: ClassVar[bool] = True
    max_difference: ClassVar[float] = 0.02  # 98 % of the pairs below it are planted ones on Fashion-MNIST

    def validate(self, source: Source) -> tuple[Source, tuple[InvalidExample, ...]]:
        """Check image files by their headers and ends; images in memory were checked when the source was created."""
        if source.storage != "files":
            return source, ()
        reasons = invalid_files([str(path) for path in source.examples])
        invalid = tuple(InvalidExample(source.id_of(row), reason) for row, reason in enumerate(reasons) if reason)
        return (source.subset(np.array([not reason for reason in reasons])) if invalid else source), invalid

    def reader(self, source: Source, spec: ImageSpec) -> Reader:
        """Return the reader of files, arrays or streams, by the storage of the source."""
        if source.storage == "arrays":
            check_channels(source.examples.shape[-1], spec.channels)
            _check_same_range(source.value_range or PIXEL_RANGE, spec.value_range)
        elif not self.request_names(spec):
            low, high = spec.value_range
            raise InvalidInput(
                "image files are read as grey, RGB or RGBA (1, 3 or 4 channels) with values in (0, 255) or (0, 65535). "
                f"The model takes {spec.channels} channels with values in ({low:g}, {high:g}). Pass arrays, such as "
                "tltk.from_arrays(np.load(file), labels), or a tf.data.Dataset."
            )
        return READERS[source.storage](source.examples, spec)

    def from_dataset(self, dataset: tf.data.Dataset, spec: ImageSpec, *, batch_size: Size) -> UserDataset:
        """Resize the images of a user's dataset, [h, w, c] or batches of them, to the input size of the model."""
        return from_dataset(dataset, spec, batch_size=examples_per_batch(batch_size, 1))

    def input_problem(self, spec: ImageSpec, low: float, high: float, *, is_first: bool) -> str:
        """Require finite pixels in the range of the spec, and notice images that were already scaled for a network."""
        return pixel_problem(low, high, is_first=is_first, value_range=spec.value_range)

    def dataset_note(self, spec: ImageSpec) -> str:
        """Say how files are decoded where the model is used: a dataset may have decoded them in another way."""
        return (
            "Training on images of a tf.data.Dataset. `predict` on files and exports decode them as tltk does: "
            "transparent pixels become white, EXIF orientation is applied, and resizing is antialiased. If the dataset "
            "decodes in another way, predictions can differ; tltk.from_folder or source.to_dataset(model) do not."
        )

    def source(self, inputs: Any, spec: ImageSpec) -> Source:
        """Convert paths, folders, pixels [n, height, width, channels], PIL images, or a single image."""
        paths = inputs if isinstance(inputs, list | tuple) else [inputs]
        if all(isinstance(path, str | Path) for path in paths):
            return from_files(inputs)
        own_range = None if spec.value_range == PIXEL_RANGE else spec.value_range
        if isinstance(inputs, list | tuple | Image.Image):
            images, sizes = _images_of_one_size(paths, spec, own_range)
            return replace(from_arrays(images, value_range=own_range), original_sizes=sizes)
        pixels = np.asarray(inputs)
        if pixels.ndim == 0:
            raise InvalidType(
                "`inputs` must be paths, pixels [n, height, width, channels], PIL images, a source or a "
                f"tf.data.Dataset. Received: {type(inputs).__name__}"
            )
        if pixels.ndim == 3 and pixels.shape[-1] == spec.channels:
            pixels = pixels[None] if min(pixels.shape[:2]) > 4 else pixels
        return from_arrays(pixels, value_range=own_range)

    def example_input(self, source: Source, index: int) -> np.ndarray:
        """Return the pixels of one image in its own size, uint8 [height, width, 3]; arrays as they are."""
        if source.storage == "arrays":
            return source.examples[index]
        return pictures.decoded(_encoded_image(source, index), source.id_of(index))

    def picture(self, source: Source, index: int) -> np.ndarray | None:
        """Return the pixels of one image in its own size; None for arrays of other channels than grey, RGB and RGBA."""
        pixels = self.example_input(source, index)
        return pictures.rgb(pixels, source.value_range or PIXEL_RANGE) if source.storage == "arrays" else pixels

    def traits(self, source: Source, spec: ImageSpec | None = None) -> Traits:
        """Decode every image to 32 pixels and hash it, and compare its header and range with those of the others."""
        return traits_of(source, spec)

    def content_digests(self, source: Source, rows: np.ndarray) -> list[str]:
        """Digest decoded pixels, so that a copy in another file format is found."""
        return content_digests(source, rows)

    def differences(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Register images of 32 pixels with each other, and return what the best affine map does not explain."""
        return registration.differences(first, second)

    def cell(self, value: np.ndarray) -> Any:
        """Return an image of at most 96 pixels a side; other arrays by dtype and shape."""
        if value.dtype != np.uint8 or value.shape[-1] not in (1, 3):
            return super().cell(value)
        image = Image.fromarray(value[..., 0] if value.shape[-1] == 1 else value)
        image.thumbnail((96, 96))
        data = io.BytesIO()
        image.save(data, format="PNG")
        return display.picture(data.getvalue())

    def context(self, source: Source, reader: Reader, examples: np.ndarray, elements: np.ndarray) -> Context:
        """Return the number of images and, if they are letterboxed, their original sizes."""
        count, spec = tf.constant(len(examples), tf.int64), cast(Any, reader).spec
        if spec.resize != "pad":
            return Context(count)
        return Context(count, image_sizes=tf.constant(image_sizes(source, reader, examples), tf.int32))

    def dataset_context(self, data: tf.data.Dataset, spec: ImageSpec, count: int) -> Context:
        """Return the number of images and, if they are letterboxed, their size, which all must share.

        Raises:
            InvalidInput: If images are letterboxed and their sizes are not known before they are resized.
        """
        if spec.resize != "pad":
            return super().dataset_context(data, spec, count)
        shape = parts_of(data.element_spec)[0].shape
        if None in shape[-3:-1]:
            raise InvalidInput(
                "boxes and masks are returned in pixels of the original images, and the size of those of a "
                f"tf.data.Dataset is not known before they are read. Received: images of shape {shape}. Pass files or "
                "a list of arrays, or resize the images to one size, which the dataset states: "
                "dataset.map(lambda image: tf.ensure_shape(image, [480, 640, 3]))."
            )
        return Context(tf.constant(count, tf.int64), image_sizes=tf.tile(tf.constant([shape[-3:-1]]), [count, 1]))

    def with_letterbox(self, spec: ImageSpec, task: str) -> ImageSpec:
        """Fit images by bars."""
        return replace(spec, resize="pad")

    def spec_from_shape(self, shape: tuple[int | None, ...], dtype: str) -> ImageSpec | None:
        """Return a spec for [height, width, channels], floats, if all three are known."""
        if len(shape) != 3 or None in shape or "float" not in dtype:
            return None
        height, width, channels = (size or 0 for size in shape)
        return ImageSpec(height, width, channels)

    def default_augmentation(self) -> tuple[Augmentation, ...]:
        """Return a flip, mild crops and mild color changes."""
        return standard()

    def check_augmentation(self, augmentations: Sequence[Any], spec: ImageSpec) -> None:
        """Raise unless all are `Augmentation` objects that apply to images."""
        check_augmentations(augmentations, self.name)

    def value_range(self, spec: ImageSpec) -> tuple[float, float]:
        """Return the range of pixels."""
        return spec.value_range

    def training_note(self, source: Source, spec: ImageSpec) -> str:
        """Say how many of a few files have 16 bits, of which 8 are used, and how many arrays were scaled before."""
        if source.storage == "arrays":
            return scaling_note(source)
        if source.storage != "files" or spec.value_range != PIXEL_RANGE:
            return ""
        rows = np.unique(np.linspace(0, len(source) - 1, _NOTED_FILES).astype(int))
        count = sum(is_deep_png(Path(source.examples[row])) for row in rows)
        return (
            f"{count} of {len(rows)} examined files have 16 bits, of which 8 are used. To use all: "
            "tltk.backbone(name, value_range=(0, 65535))"
            if count
            else ""
        )

    def request_names(self, spec: ImageSpec) -> tuple[str, ...]:
        """Return the name of the only input, the encoded images; none for channels or values that no file has."""
        return ("image_bytes",) if spec.channels in FILE_CHANNELS and spec.value_range in FILE_RANGES else ()

    def request_reader(self, spec: ImageSpec) -> tuple[Callable[..., Request], list[Any]]:
        """Return a function that decodes requests exactly as in training; it needs no lookup tables."""
        return lambda image_bytes: read_requests(image_bytes, spec), []

    def sample_requests(self, spec: ImageSpec, *, count: int, seed: int) -> list[tuple[bytes, ...]]:
        """Generate JPEG and PNG images that need resizing, and two requests that cannot be decoded."""
        generator = np.random.default_rng(seed)
        height, width = spec.height + 13, spec.width + 40
        channels = max(spec.channels, RGB)
        gradient = np.linspace(0, 255, width)[None, :, None] * np.linspace(0, 1, height)[:, None, None]
        files = []
        for index in range(count):
            image = np.clip(gradient + generator.normal(0, 30, (height, width, channels)), 0, 255).astype("uint8")
            deep = (image.astype("uint16") * 257 + 3) if spec.value_range == DEEP_RANGE else image
            encoded = tf.io.encode_png(deep) if index % 2 else tf.io.encode_jpeg(image[..., :RGB])
            files.append(encoded.numpy())
        truncated = files[:2][-1][:200]
        return [(data,) for data in (*files, b"not an image", truncated)]

    def sample_inputs(self, spec: ImageSpec, *, count: int, seed: int) -> np.ndarray:
        """Read sample requests, or generate images of channels that files do not have."""
        if self.request_names(spec):
            return super().sample_inputs(spec, count=count, seed=seed)
        low, high = self.value_range(spec)
        return np.random.default_rng(seed).uniform(low, high, (count, *spec.shape)).astype(spec.dtype)

    def from_requests(self, requests: Sequence[tuple[bytes, ...]], spec: ImageSpec, folder: Path) -> Source:
        """Write each image to a file."""
        names = [str(index) for index in range(len(requests))]
        paths = np.array([str(folder / name) for name in names], object)
        for path, (data,) in zip(paths, requests, strict=True):
            Path(path).write_bytes(data)
        return Source(self.name, "files", paths, ids=np.array(names, object))

    def to_config(self, spec: ImageSpec, folder: Path) -> dict[str, Any]:
        """Return the fields of the spec."""
        return asdict(spec)

    def from_config(self, config: dict[str, Any], folder: Path) -> ImageSpec:
        """Rebuild a spec from its fields."""
        return ImageSpec(**config)  # JSON has a list for the range, which the spec turns into a tuple

    def describe_input(self, spec: ImageSpec) -> dict[str, Any]:
        """Describe the network's input, including how images are resized to it."""
        channels = f"{NAMES.get(spec.channels, spec.channels)}, last"
        return {**super().describe_input(spec), **asdict(spec), "range": list(spec.value_range), "channels": channels}


def _images_of_one_size(
    images: Sequence[Any], spec: ImageSpec, value_range: tuple[float, float] | None
) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Return the pixels of images in memory; if their shapes differ, each is resized as a file would be.

    The second value is then the original height and width of each, int32 [n, 2]; None otherwise.

    Args:
        images: PIL images, or pixels [height, width] or [height, width, channels] each.
        spec: Input format of the model.
        value_range: Range of the pixels; None for (0, 255).

    Raises:
        InvalidType: If an item is not an image, such as a path among images.
        InvalidInput: If the pixels of an image are invalid.
    """
    pixels = []
    for index, image in enumerate(images):
        try:
            pixels.append(np.asarray(as_pixels(image)))
        except ValueError as error:  # nested lists
            raise InvalidInput(f"`inputs`[{index}] is not an array [height, width, channels]: {error}") from error
    if len({array.shape for array in pixels}) == 1:
        return pixels, None
    for index, array in enumerate(pixels):
        if array.ndim not in (2, 3) or array.dtype.kind not in "uif":
            raise InvalidType(
                "`inputs` must be paths only, or PIL images and pixels [height, width, channels] only. Received: item "
                f"{index} is {images[index]!r:.60}, unlike the others."
            )
    sizes = np.array([array.shape[:2] for array in pixels], np.int32)
    return [resize_chunk(check_pixels([array], value_range), spec)[0] for array in pixels], sizes


def _encoded_image(source: Source, index: int) -> bytes:
    """Return the bytes of an image in a file or a stream."""
    if source.storage == "files":
        return pictures.encoded(source.examples[index])
    return next(images[0] for _, images in source.examples[np.array([index])].read())


def _check_same_range(value_range: tuple[float, float], expected: tuple[float, float]) -> None:
    """Raise unless the values of images in memory have the range that a model was built for."""
    if value_range != expected:
        (low, high), (model_low, model_high) = value_range, expected
        raise InvalidInput(
            f"the images have values in ({low:g}, {high:g}), and the model takes ({model_low:g}, {model_high:g}). "
            "State the range of both: tltk.from_arrays(x, y, value_range=…), "
            f"tltk.backbone(name, value_range=({low:g}, {high:g}))."
        )


register_modality(ImageModality())
