"""Boxes and masks of TensorFlow Datasets builders with the features of COCO, VOC and Oxford-IIIT Pet."""

import io

import numpy as np
import pytest
from PIL import Image

import tltk
from tltk.data.formats.tfds import from_tfds

tfds = pytest.importorskip("tensorflow_datasets")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::ResourceWarning")
BOXES = [[0.1, 0.2, 0.5, 0.8], [0.0, 0.0, 1.0, 1.0], [0.5, 0.5, 0.5, 0.9]]


def jpeg(number):
    """Return an image with 10 rows and 20 columns; the last one is stored so that viewers turn it to the right."""
    exif = Image.Exif()
    exif[0x0112] = 6 if number == 3 else 1
    file = io.BytesIO()
    Image.new("RGB", (20, 10), (50 * number,) * 3).save(file, "JPEG", exif=exif)
    file.seek(0)
    return file


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    class Objects(tfds.core.GeneratorBasedBuilder):
        """Images with boxes and masks."""

        VERSION = tfds.core.Version("1.0.0")
        code_path = None
        url_infos = {}  # noqa: RUF012 - nothing is downloaded
        pkg_dir_path = None

        def _info(self):
            label = tfds.features.ClassLabel(names=["cat", "dog"])
            box = tfds.features.BBoxFeature()
            features = {
                "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                "objects": tfds.features.Sequence({"bbox": box, "label": label, "is_crowd": np.bool_}),
                "segmentation_mask": tfds.features.Image(shape=(None, None, 1), use_colormap=True),
            }
            return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for number in range(4):
                things = [
                    {"bbox": tfds.features.BBox(*box), "label": row % 2, "is_crowd": row == 1}
                    for row, box in enumerate(BOXES[:number])
                ]
                mask = np.full((10, 20, 1), 2, "uint8")
                mask[1:5, 4:16] = 1 + 2 * (number % 2)
                yield number, {"image": jpeg(number), "objects": things, "segmentation_mask": mask}

    builder = Objects(data_dir=str(tmp_path_factory.mktemp("tfds")), file_format="tfrecord")
    builder.download_and_prepare()
    return builder


def order(source):
    """Return for each number of an image its row in the source: builders shuffle."""
    levels = [round(float(example.input.mean()) / 50) for example in source]
    return [levels.index(number) for number in range(4)]


def test_boxes_in_fractions_become_pixels_of_the_image_as_viewers_show_it(objects):
    source = from_tfds(objects, input="image", label="objects")
    empty, one, two, turned = (source.targets.values[row] for row in order(source))
    assert source.labels == tltk.LabelSpec(("cat", "dog"), "boxes") and source.storage == "stream"
    assert len(empty) == 0 and one.boxes.round(3).tolist() == [[1, 4, 5, 16]]
    assert two.classes.tolist() == [0, 1] and two.ignored.tolist() == [False, True]
    last = order(source)[3]
    assert source[last].input.shape[:2] == (20, 10) and source.targets.sizes[last].tolist() == [20, 10]
    assert turned.boxes.round(3).tolist() == [[4, 5, 16, 9], [0, 0, 20, 10]]
    assert "has no area" in source.invalid[0].reason and source.id_of(last) in source.invalid[0].example_id


def test_the_values_of_masks_are_classes(objects):
    source = from_tfds(objects, input="image", label="segmentation_mask")
    rows = order(source)
    assert source.labels == tltk.LabelSpec(("1", "2", "3"), "masks")
    assert source.counts() == {"1": 2, "2": 4, "3": 2}
    mask = source[rows[0]].label
    assert mask.shape == (10, 20) and mask[2, 5] == 0 and mask[0, 0] == 1
    turned = source[rows[3]].label  # turned to the right with its image: 20 rows, 10 columns
    assert turned.shape == (20, 10) and turned[5, 7] == 2 and turned[5, 2] == 1
    assert source.targets.tobytes() != source.targets.take(rows[::-1]).tobytes()
