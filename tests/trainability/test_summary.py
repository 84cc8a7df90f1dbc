import keras

from tests.conftest import WithStages, conv_net, transformer
from tltk.trainability.plan import Plan, Rule, layer_decay, lora


def lines(plan, model):
    return {line.split()[0]: line.split() for line in plan.describe(model).splitlines()}


def test_the_table_has_a_line_a_layer_with_weights_and_the_totals():
    model = WithStages(transformer())
    found = lines(layer_decay(0.75), model)
    assert found["layer"] == ["layer", "stage", "state", "multiplier", "learning", "parameters"]
    assert found["block2_up"] == ["block2_up", "block2", "train", "0.75", "544", "544"]
    assert found["embedding"] == ["embedding", "embedding", "train", "0.4219", "480", "480"]
    assert found["head_output"][3] == "1"
    total = f"{model.keras.count_params():,}"
    assert found["total"] == ["total", total, "of", total, "learn", total, total]
    assert "head_pool" not in found


def test_the_table_counts_lora_before_it_is_there():
    model = WithStages(transformer())
    found = lines(lora(2, target="query"), model)
    assert found["block1_attention"][2:] == ["lora,", "rank", "2", "1", "80", "1,088"]
    assert found["block1_up"][2:] == ["frozen", "(no", "lora)", "-", "0", "544"]
    assert found["total"][1] == "211"  # two queries and the head's 16 · 3 + 3
    assert not any("lora" in variable.path for variable in model.keras.weights)


def test_any_model_can_be_described_and_none_is_changed():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = keras.layers.Dense(2, name="inner")

        def call(self, x):
            return self.inner(x)

    model = Own()
    model(keras.ops.ones((1, 3)))
    nested = keras.Sequential([keras.Input((16, 16, 3)), conv_net(), keras.layers.Flatten(name="flat")])
    plan = Plan((Rule("*", "train"),), "affine")
    before = [variable.trainable for variable in nested.weights]
    assert lines(plan, model)["inner"] == ["inner", "train", "1", "8", "8"]
    assert "train (batch norm affine)" in plan.describe(nested)
    assert [variable.trainable for variable in nested.weights] == before
