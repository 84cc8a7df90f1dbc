"""Every row of every family keeps what it promises."""

import keras
import pytest

from tests.checks import check_backbone, check_numbers
from tltk.backbones import names
from tltk.backbones.image.keras_applications_table import APPLICATIONS, Application, efficient_stages, stages

# Networks with preprocessing in another channel order or inside, with layers of their own (LayerScale, StochasticDepth,
# CustomScaleLayer), with operations that are no layers, and those that tltk or KerasHub builds. The other families are
# made of the same stock layers.
SAVED = (
    "resnet50", "efficientnet_b0", "convnext_tiny", "inception_resnet_v2", "mobilenet_v3_small", "efficientnet_lite0",
    "resnet_18_imagenet",
)  # fmt: skip


@pytest.mark.parametrize("name", names("image"))
def test_row(name):
    check_backbone(name)


@pytest.mark.parametrize("name", SAVED)
def test_a_network_is_flat_and_loads_with_the_same_outputs(name, tmp_path):
    check_numbers(name, tmp_path)


class _AskedError(Exception):
    pass


@pytest.mark.parametrize("name", APPLICATIONS)
def test_the_weight_file_is_the_one_that_keras_downloads(name, monkeypatch):
    row: Application = APPLICATIONS[name]

    def asked(file, *_, **__):
        raise _AskedError(file)

    monkeypatch.setattr(keras.src.utils.file_utils, "get_file", asked)
    numberless = keras.StatelessScope(initialize_variables=False)
    with pytest.raises(_AskedError, match=f"^{row.file}$"), numberless:
        getattr(keras.applications, row.function)(
            include_top=False, weights="imagenet", input_shape=(row.size, row.size, 3)
        )


@pytest.mark.parametrize("name", APPLICATIONS)
def test_keras_refuses_sizes_below_the_minimum(name):
    row = APPLICATIONS[name]
    with pytest.raises(ValueError, match=f"at least {row.minimum}"):
        getattr(keras.applications, row.function)(
            include_top=False, weights=None, input_shape=(row.minimum - 1, row.minimum - 1, 3)
        )


def test_stages_are_named_as_in_the_resnet_paper():
    assert [stage.name for stage in stages("a", "b", "c")] == ["stem", "conv2", "conv3"]


def test_efficientnet_groups_four_and_five_share_a_resolution():
    lasts = [stage.last for stage in efficient_stages((1, 2, 2, 3, 3, 4, 1))]
    assert lasts == ["block1a_project_bn", "block2b_add", "block3b_add", "block5c_add", "top_activation"]
