import keras

from tests.conftest import WithStages, conv_net, transformer
from tltk.trainability.plan import Plan, Rule, layer_decay, lora


def lines(plan, model):
    return {line.split()[0]: line.split() for line in plan.describe(model).splitlines()}


def test_the_table_has_a_line_per_layer_with_weights_and_totals():
    model = WithStages(transformer())
    table = lines(layer_decay(0.75), model)
    assert table["layer"] == ["layer", "stage", "state", "lr", "multiplier", "trained", "parameters"]
    assert table["block2_up"] == ["block2_up", "block2", "train", "0.75", "544", "544"]
    assert table["embedding"] == ["embedding", "embedding", "train", "0.4219", "480", "480"]
    assert table["head_output"][3] == "1"
    total = f"{model.keras.count_params():,}"
    assert table["total"] == ["total", total, "of", total, "trained", total, total]
    assert "head_pool" not in table


def test_the_table_counts_lora_weights_before_they_exist():
    model = WithStages(transformer())
    table = lines(lora(2, target="query"), model)
    assert table["block1_attention"][2:] == ["lora,", "rank", "2", "1", "80", "1,088"]
    assert table["block1_up"][2:] == ["frozen", "(no", "lora)", "-", "0", "544"]
    assert table["total"][1] == "211"  # two queries and the head's 16 · 3 + 3
    assert not any("lora" in variable.path for variable in model.keras.weights)


def test_describing_a_plan_does_not_change_the_model():
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
