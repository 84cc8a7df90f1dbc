"""Sources from TensorFlow Datasets builders; the dataset is prepared in a temporary folder, without a network."""

import numpy as np
import pytest

import tltk
from tltk.data.formats.tfds import from_tfds
from tltk.data.split import split
from tltk.modalities.batches import batches
from tltk.modalities.modality import modality_of
from tltk.pipeline.batching import Order
from tltk.specs import AudioSpec, ImageSpec

tfds = pytest.importorskip("tensorflow_datasets")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::ResourceWarning")
SPEC = ImageSpec(8, 8)
COUNT = 24


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    """A prepared dataset of 24 images of two classes; image i has grey level 5 i."""

    class Squares(tfds.core.GeneratorBasedBuilder):
        """Grey squares."""

        VERSION = tfds.core.Version("1.0.0")
        code_path = None
        url_infos = {}  # noqa: RUF012 - nothing is downloaded
        pkg_dir_path = None

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(8, 8, 3)),
                "label": tfds.features.ClassLabel(names=["dark", "light"]),
                "level": tfds.features.Scalar(np.float32),
            }
            return self.dataset_info_from_configs(
                features=tfds.features.FeaturesDict(features), supervised_keys=("image", "label")
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for number in range(COUNT):
                image = np.full((8, 8, 3), 5 * number, "uint8")
                yield number, {"image": image, "label": number % 2, "level": float(5 * number)}

    builder = Squares(data_dir=str(tmp_path_factory.mktemp("tfds")), file_format="tfrecord")
    builder.download_and_prepare()
    return builder


def read(source, **options):
    read_batches = [(images.numpy()[:, 0, 0, 0], y.numpy()) for images, y in batches(source, SPEC, **options).dataset()]
    return np.concatenate([levels for levels, _ in read_batches]), np.concatenate([y for _, y in read_batches])


def test_images_keep_their_labels(squares):
    source = from_tfds(squares)
    assert (source.modality, source.storage) == ("image", "stream") and source.labels.names == ("dark", "light")
    assert source.counts() == {"dark": 12, "light": 12}
    for options in ({}, {"shuffle": True, "batch_size": 5}):
        levels, targets = read(source, **options)
        assert sorted(levels) == [5 * number for number in range(COUNT)]
        np.testing.assert_array_equal(targets, levels // 5 % 2)


def test_the_parts_of_a_split_read_every_example_once(squares):
    parts = split(from_tfds(squares), val=0.25, test=0.25)
    levels = [read(part)[0].tolist() for part in parts]
    assert sorted(level for part_levels in levels for level in part_levels) == [5 * number for number in range(COUNT)]
    assert [len(part) for part in levels] == [12, 6, 6]
    for part in parts:
        part_levels, targets = read(part, shuffle=True)
        np.testing.assert_array_equal(targets, part_levels // 5 % 2)


def test_shuffling_is_seeded_and_differs_between_epochs(squares):
    source = from_tfds(squares)
    first, again, other = (read(source, shuffle=True, seed=seed)[0].tolist() for seed in (1, 1, 2))
    assert first == again != other
    loader = batches(source, SPEC, shuffle=True, seed=1)
    one, two = ([images.numpy()[:, 0, 0, 0].tolist() for images, _ in loader.dataset(epoch)] for epoch in range(2))
    assert one != two


def test_a_prepared_folder_and_a_slice_can_be_read(squares):
    source = from_tfds(str(squares.data_path), split="train[:50%]")
    assert len(source) == COUNT // 2


def test_a_numeric_feature_is_a_regression_target(squares):
    source = from_tfds(squares, label="level")
    assert source.labels.type == "regression" and source.targets.shape == (COUNT, 1)


def test_unknown_features_and_names_raise(squares):
    with pytest.raises(ValueError, match=r"(?s)`input` must be a feature.*'image'.*`label` must be a feature"):
        from_tfds(squares, input="imag", label="labe")
    with pytest.raises(TypeError, match="`input` must be an Image, Text or Audio feature"):
        from_tfds(squares, input="level")
    with pytest.raises(ValueError, match=r"must be a folder or a registered dataset.*Did you mean"):
        from_tfds("cifar100x")
    with pytest.raises(TypeError, match="`name_or_builder` must be"):
        from_tfds(3)


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    """A prepared dataset of 8 sounds of two classes, as speech_commands: sound i has 400 + 100 i samples of 1000 i."""

    class Tones(tfds.core.GeneratorBasedBuilder):
        """Constant sounds."""

        VERSION = tfds.core.Version("1.0.0")
        code_path = None
        url_infos = {}  # noqa: RUF012 - nothing is downloaded
        pkg_dir_path = None

        def _info(self):
            features = {
                "audio": tfds.features.Audio(file_format="wav", sample_rate=8000),
                "stereo": tfds.features.Audio(shape=(None, 2), dtype=np.float32),
                "label": tfds.features.ClassLabel(names=["even", "odd"]),
            }
            return self.dataset_info_from_configs(
                features=tfds.features.FeaturesDict(features), supervised_keys=("audio", "label")
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for number in range(8):
                samples = np.full(400 + 100 * number if number != 5 else 0, 1000 * number, "int64")
                samples[:1] *= 40 if number == 7 else 1
                stereo = np.stack([np.full(500, 0.1 * number), np.zeros(500)], 1).astype("float32")
                yield number, {"audio": samples, "stereo": stereo, "label": number % 2}

    builder = Tones(data_dir=str(tmp_path_factory.mktemp("tfds")), file_format="tfrecord")
    builder.download_and_prepare()
    return builder


def test_sounds_are_streamed_with_the_rate_of_their_feature(tones):
    spec = AudioSpec(8000, 0.05)
    source = from_tfds(tones)
    assert (source.modality, source.storage) == ("audio", "stream") and source.counts() == {"even": 4, "odd": 4}
    assert repr(source) == "<Source of 8 sounds in a stream, 2 classes>"
    for options in ({}, {"shuffle": True, "batch_size": 3}):
        loader = batches(source, spec, **options)
        values = {int(np.round(x[200] * 32.768)): int(y) for x, y in loader.dataset().unbatch().as_numpy_iterator()}
        assert values == {number: number % 2 for number in (0, 1, 2, 3, 4, 6)}
    half = split(source, val=0, test=2)[2]
    assert len(list(batches(half, spec).dataset().unbatch())) <= 2
    reader = modality_of(spec).reader(source, spec)
    invalid = {row: reason for part in reader.partial_batches(Order(8)) for row, reason in part.invalid.items()}
    assert sorted(invalid.values()) == ["no samples", "samples beyond 16 bits, up to 280,000"]
    samples = source[next(row for row in range(8) if row not in invalid)].input
    assert samples.tolist() == [10 * (len(samples) - 400) / 32_768] * len(samples)
    assert reader.fingerprint() != modality_of(spec).reader(half, spec).fingerprint()
    with pytest.raises(ValueError, match="windows need files or sounds in memory"):
        tltk.windows(source, seconds=0.01)


def test_floats_in_stereo_need_a_rate(tones, squares):
    with pytest.raises(ValueError, match="`sample_rate` is missing: the feature 'stereo' does not state it"):
        from_tfds(tones, input="stereo")
    source = from_tfds(tones, input="stereo", sample_rate=16_000)
    levels = {float(example.input.max()): example.label for example in source}
    assert sorted(levels) == pytest.approx([0.05 * number for number in range(8)])
    assert [levels[level] for level in sorted(levels)] == ["even", "odd"] * 4
    with pytest.raises(ValueError, match="`sample_rate` is for sounds; 'image' is a feature of type Image"):
        from_tfds(squares, sample_rate=8000)
