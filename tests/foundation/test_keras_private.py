"""The private attributes of Keras and KerasHub that tltk relies on; run with the oldest and the newest versions."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import ROOT
from tests.conftest import conv_net
from tltk.foundation import keras_private as private
from tltk.foundation.errors import IncompatibleKeras


def two_calls():
    """A functional model that calls one layer twice."""
    x = keras.Input((3,), name="x")
    dense = keras.layers.Dense(3, name="dense")
    return keras.Model(x, keras.layers.Add(name="add")([dense(dense(x)), x]))


def variables_after(optimizer, *, steps=1):
    """Two variables that start at 1, after some steps of the optimizer with gradient 1."""
    variables = [keras.Variable(np.ones(2, "float32"), name=name) for name in ("a", "b")]
    optimizer.build(variables)
    for _ in range(steps):
        optimizer.apply([keras.ops.ones(2)] * 2)
    return variables


# Errors


@pytest.mark.parametrize(("function", "attribute"), [
    (private.nodes_by_depth, "_nodes_by_depth"),
    (private.direct_sublayers, "_layers"),
    (private.flattened_sublayers, "_flatten_layers"),
    (private.own_trainable_variables, "_trainable_variables"),
    (private.own_state_variables, "_non_trainable_variables"),
    (private.seed_generators, "_seed_generators"),
    (private.kernel_variable, "_kernel"),
    (private.optimizer_variables, "_trainable_variables"),
    (private.batch_counter, "_iterations"),
    (private.accumulated_gradients, "_accumulated_gradients"),
    (private.moving_averages, "_model_variables_moving_average"),
    (private.assign_moving_averages, "_overwrite_model_variables_with_average_value"),
    (private.learning_rate_of, "_learning_rate"),
    (private.feedforward_layer, "_feedforward_intermediate_dense"),
])  # fmt: skip
def test_a_missing_attribute_raises_with_its_name(function, attribute):
    with pytest.raises(IncompatibleKeras, match=rf"builtins.object has no '{attribute}'.*keras \d.*keras-hub \d.*pip"):
        function(object())


def test_only_the_operation_of_stft_is_a_short_time_fourier_transform():
    real, _ = keras.ops.stft(keras.Input((64,)), 16, 8, 16)
    transform = private.producing_node(real).operation
    assert private.is_short_time_fourier_transform(transform)
    assert (transform.sequence_length, transform.sequence_stride, transform.fft_length) == (16, 8, 16)
    assert (transform.window, transform.center) == ("hann", True)
    assert not private.is_short_time_fourier_transform(keras.layers.Dense(1))


def test_another_backend_of_keras_is_refused_in_one_sentence():
    code = """
import keras
keras.config.backend = lambda: "jax"
import tltk
try:
    tltk.fit(None, None)
except tltk.errors.IncompatibleKeras as error:
    print(error)
tltk.assemble(None, None)
"""
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    for last in (process.stdout.strip(), process.stderr.strip().splitlines()[-1]):
        assert "tltk needs Keras with the TensorFlow backend. Received: KERAS_BACKEND='jax'" in last


def test_a_missing_attribute_of_another_backend_is_explained_by_the_backend(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "torch")
    with pytest.raises(IncompatibleKeras, match=r"Received: KERAS_BACKEND='torch'"):
        private.nodes_by_depth(object())


def test_removing_a_weight_raises_if_keras_lacks_the_method():
    with pytest.raises(IncompatibleKeras, match="_untrack_variable"):
        private.remove_weight(object(), "kernel")


def test_finding_the_position_of_a_variable_raises_if_keras_lacks_the_method():
    with pytest.raises(IncompatibleKeras, match="_get_variable_index"):
        private.variable_index(object(), None)


def test_a_missing_function_or_module_of_kerashub_raises_with_its_name(monkeypatch):
    with pytest.raises(IncompatibleKeras, match=r"preset_utils has no 'load_yaml'"):
        private.preset_function("load_yaml")
    monkeypatch.setattr(private, "_PRESET_MODULE", "keras_hub.src.utils.moved")
    with pytest.raises(IncompatibleKeras, match=r"KerasHub has no 'keras_hub.src.utils.moved'"):
        private.preset_function("load_json")


@pytest.mark.parametrize("hook", private.OPTIMIZER_HOOKS)
def test_overriding_a_missing_optimizer_hook_raises(hook):
    others = {name: lambda self, variables: None for name in private.OPTIMIZER_HOOKS if name != hook}
    renamed = type("Renamed", (), others)
    with pytest.raises(IncompatibleKeras, match=f"no '{hook}'"):
        type("Optimizer", (private.PerVariableHooks, renamed), {})


# Graphs of operations


def test_nodes_are_grouped_by_depth_and_have_operations_and_tensors():
    model = two_calls()
    by_depth = private.nodes_by_depth(model)
    order = [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]
    assert [node.operation.name for node in order] == ["x", "dense", "dense", "add"]
    assert [node.is_input for node in order] == [True, False, False, False]
    assert order[2].input_tensors[0] is order[1].outputs[0]
    fresh = keras.Input((3,))
    args, kwargs = order[1].arguments.fill_in({id(order[0].outputs[0]): fresh})
    assert args == (fresh,)
    assert kwargs == {}


def test_the_producing_node_of_a_tensor_belongs_to_its_own_call():
    model = two_calls()
    node = private.producing_node(model.output)
    assert node.operation is model.get_layer("add")
    second = private.producing_node(node.input_tensors[0])
    first = private.producing_node(second.input_tensors[0])
    assert first.operation is second.operation is model.get_layer("dense")
    assert private.producing_node(first.input_tensors[0]).operation.name == "x"
    assert private.producing_node(np.ones(3)) is None


def test_an_operation_can_be_renamed_through_its_node():
    x = keras.Input((3,))
    tensor = keras.ops.flip(x, axis=-1)
    private.producing_node(tensor).operation.name = "flipped"
    assert keras.Model(x, tensor).operations[-1].name == "flipped"


def test_a_model_without_its_calls_still_runs_and_its_layers_belong_to_the_other_model():
    first = two_calls()
    y = keras.Input((3,), name="y")
    second = first.call(y)
    private.forget_calls(first)
    model = keras.Model(y, second)
    dense = model.get_layer("dense")
    assert len(dense._inbound_nodes) == 2, "the model itself calls it twice"
    assert dense.output is dense._inbound_nodes[0].outputs[0]
    data = np.ones((2, 3), "float32")
    np.testing.assert_array_equal(first(data), model(data))
    np.testing.assert_array_equal(keras.Model(y, dense.output)(data), dense(data))
    copy = keras.Model.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(copy(data), model(data))


def test_the_second_model_on_shared_layers_can_lose_its_calls_and_still_be_trained():
    net = conv_net()
    nodes_before = {layer.name: [id(node) for node in layer._inbound_nodes] for layer in net.layers}
    x = keras.Input((16, 16, 3))
    second = keras.Model(x, net.call(x))
    private.forget_calls(second)
    assert {layer.name: [id(node) for node in layer._inbound_nodes] for layer in net.layers} == nodes_before
    assert [len(layer._outbound_nodes) for layer in net.layers] == [1] * (len(net.layers) - 1) + [0]
    second.compile("sgd", "mse")
    second.fit(np.ones((2, 16, 16, 3)), np.ones((2, 4, 4, 8)), verbose=0)


def test_the_variables_of_a_renamed_layer_have_the_new_name_in_their_paths():
    query = keras.Input((4, 8))
    attention = keras.layers.MultiHeadAttention(2, 4, name="attention")
    output = attention(query, query)
    private.rename(attention, "renamed")
    assert keras.Model(query, output).get_layer("renamed") is attention
    assert {variable.path.split("/")[0] for variable in attention.variables} == {"renamed"}
    dense = attention.query_dense
    dense.enable_lora(2)
    assert {variable.path.split("/")[0] for variable in dense.variables} == {"renamed"}


def test_layers_built_without_weights_are_not_initialized_later():
    with private.without_weights():
        net = conv_net()
    keras.Model(net.input, net.output).compute_output_shape((None, 16, 16, 3))
    with keras.StatelessScope():
        pass  # initializes the variables that are still declared
    assert net.count_params() > 0
    assert net.get_layer("stem_conv").kernel._value is None


# Layers


class Block(keras.layers.Layer):
    """A layer that holds a layer, a list of layers and a model."""

    def __init__(self):
        super().__init__(name="block")
        self.dense = keras.layers.Dense(2, name="dense")
        self.several = [keras.layers.ReLU(name="relu"), self.dense]
        self.inner = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.5, name="drop")], name="inner")


def test_sublayers_are_found_in_attributes_and_lists_and_at_any_depth():
    block = Block()
    assert {layer.name for layer in private.direct_sublayers(block)} == {"dense", "relu", "inner"}
    names = [layer.name for layer in private.flattened_sublayers(block)]
    assert names[0] == "block"
    assert sorted(names[1:]) == sorted({"dense", "relu", "inner", "drop"} | {n for n in names if "input" in n})
    assert private.direct_sublayers(keras.layers.Dense(1)) == []


def test_own_variables_of_a_layer_do_not_depend_on_trainable_flags():
    layer = keras.layers.BatchNormalization()
    layer.build((None, 4))
    layer.trainable = False
    layer.gamma.trainable = False
    assert [variable.name for variable in private.own_trainable_variables(layer)] == ["gamma", "beta"]
    assert [variable.name for variable in private.own_state_variables(layer)] == ["moving_mean", "moving_variance"]


def test_a_model_has_no_variables_of_its_own():
    model = conv_net()
    assert private.own_trainable_variables(model) == private.own_state_variables(model) == []


def test_layers_that_draw_random_numbers_have_seed_generators():
    assert private.seed_generators(keras.layers.Dropout(0.5))
    assert private.seed_generators(keras.layers.RandomFlip())
    assert private.seed_generators(keras.layers.Dense(1)) == []


LORA = [
    (keras.layers.Dense(4), (None, 3)),
    (keras.layers.EinsumDense("ab,bc->ac", output_shape=4), (None, 3)),
    (keras.layers.Embedding(5, 4), (None, 3)),
    (keras.layers.Conv1D(4, 3), (None, 5, 3)),
    (keras.layers.Conv2D(4, 3), (None, 5, 5, 3)),
    (keras.layers.Conv3D(4, 3), (None, 5, 5, 5, 3)),
]


@pytest.mark.parametrize(("layer", "shape"), LORA, ids=lambda value: type(value).__name__)
def test_lora_adds_to_the_kernel_variable_and_is_removed_completely(layer, shape):
    layer = type(layer).from_config(layer.get_config())
    layer.build(shape)
    names_before = {name for name, value in vars(layer).items() if isinstance(value, keras.Variable)}
    layer.enable_lora(2)
    name = "embeddings" if isinstance(layer, keras.layers.Embedding) else "kernel"
    kernel = private.kernel_variable(layer)
    assert isinstance(kernel, keras.Variable)
    assert not isinstance(getattr(layer, name), keras.Variable)
    first, second = (getattr(layer, f"lora_{name}_{side}") for side in ("a", "b"))
    second.assign(keras.ops.ones(second.shape))
    merged = kernel.numpy() + (layer.lora_alpha / layer.lora_rank) * np.matmul(first.numpy(), second.numpy())
    np.testing.assert_allclose(keras.ops.convert_to_numpy(getattr(layer, name)), merged, rtol=1e-5, atol=1e-6)
    for side in ("a", "b"):
        private.remove_weight(layer, f"lora_{name}_{side}")
    layer.lora_enabled = False
    assert {name for name, value in vars(layer).items() if isinstance(value, keras.Variable)} == names_before
    assert not any("lora" in weight.name for weight in (*layer.weights, *private.own_trainable_variables(layer)))
    assert getattr(layer, name) is kernel


def test_every_keras_layer_with_lora_is_tested():
    with_lora = {
        layer
        for layer in vars(keras.layers).values()
        if isinstance(layer, type) and issubclass(layer, keras.layers.Layer) and hasattr(layer, "enable_lora")
    }
    tested = tuple(type(layer) for layer, _ in LORA)
    assert all(issubclass(layer, tested) for layer in with_lora)


# Compilation


def test_a_model_evaluates_with_the_compilation_of_another_and_gets_its_own_back():
    model, other = two_calls(), two_calls()
    x, y = np.ones((2, 3), "float32"), np.zeros((2, 3), "float32")
    model.compile("adam", "mae")
    expected, config = model.evaluate(x, y, verbose=0), model.get_compile_config()
    before = private.compilation(model)
    for loss in ("mse", "log_cosh"):
        other.compile("sgd", loss)
        other.set_weights(model.get_weights())
        private.set_compilation(model, private.shared_compilation(other))
        assert model.evaluate(x, y, verbose=0) == pytest.approx(other.evaluate(x, y, verbose=0))
        assert model.get_compile_config() == {}
        assert model.optimizer is other.optimizer
    private.set_compilation(model, before)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(expected)
    assert model.get_compile_config() == config


# Optimizers


def test_per_variable_state_has_the_order_of_the_optimizer_variables():
    optimizer = keras.optimizers.AdamW(0.1)
    variables = variables_after(optimizer)
    assert [id(variable) for variable in private.optimizer_variables(optimizer)] == list(map(id, variables))
    assert [private.variable_index(optimizer, variable) for variable in variables] == [0, 1]
    assert [private.variable_index(optimizer, variable.value) for variable in variables] == [0, 1]
    moments = private.update_state(optimizer)
    np.testing.assert_allclose(moments["momentums"][1].numpy(), 0.1, rtol=1e-5)
    np.testing.assert_allclose(moments["velocities"][1].numpy(), 0.001, rtol=1e-4)


def test_muon_decays_the_variables_that_it_updates_as_adamw_does_by_their_own_weight_decay():
    matrix, bias = (keras.Variable(np.ones(shape, "float32"), name="w") for shape in ((2, 2), (2,)))
    muon = keras.optimizers.Muon(0.1, weight_decay=0.5, adam_weight_decay=0.25)
    assert [private.weight_decay_of(muon, variable) for variable in (matrix, bias)] == [0.5, 0.25]
    assert private.weight_decay_of(keras.optimizers.Adam(0.1), matrix) == 0.0


def test_variables_excluded_from_weight_decay_are_recognized():
    optimizer = keras.optimizers.AdamW(0.1)
    assert private.weight_decay_exclusions(optimizer) == (False, "")
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    assert private.weight_decay_exclusions(optimizer) == (False, "bias")


def test_the_learning_rate_is_the_schedule_and_not_its_current_value():
    rate = keras.optimizers.schedules.CosineDecay(0.1, 10)
    assert private.learning_rate_of(keras.optimizers.Adam(rate)) is rate
    assert float(private.learning_rate_of(keras.optimizers.Adam(0.5)).numpy()) == 0.5


def test_nadam_multiplies_a_scalar_with_every_step():
    optimizer = keras.optimizers.Nadam(0.1)
    variables_after(optimizer, steps=2)
    (product,) = private.step_products(optimizer)
    assert float(product.numpy()) == pytest.approx(0.9 * (1 - 0.5 * 0.96) * 0.9 * (1 - 0.5 * 0.96**2))
    assert private.step_products(keras.optimizers.Adam(0.1)) == []


def test_an_unbuilt_optimizer_has_no_variables():
    assert private.optimizer_variables(keras.optimizers.Adam()) == []


def test_the_batch_counter_and_accumulated_gradients_can_be_read_and_assigned():
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=3)
    variables = variables_after(optimizer, steps=2)
    counter, gradients = private.batch_counter(optimizer), private.accumulated_gradients(optimizer)
    assert int(counter) == 2
    assert int(optimizer.iterations) == 0
    np.testing.assert_array_equal([gradient.numpy() for gradient in gradients], 2.0)
    gradients[0].assign(keras.ops.full((2,), 5.0))
    optimizer.apply([keras.ops.ones(2)] * 2)
    np.testing.assert_allclose(variables[0].numpy(), 1 - 0.1 * (5 + 1) / 3, rtol=1e-6)
    counter.assign(7)
    assert int(optimizer.iterations) == 2


def test_weights_are_overwritten_with_their_moving_averages():
    optimizer = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5)
    variables = variables_after(optimizer, steps=2)
    averages = private.moving_averages(optimizer)
    np.testing.assert_allclose(averages[0].numpy(), 0.85, rtol=1e-6)
    np.testing.assert_allclose(variables[0].numpy(), 0.8, rtol=1e-6)
    private.assign_moving_averages(optimizer)
    np.testing.assert_allclose(variables[0].numpy(), 0.85, rtol=1e-6)


@pytest.mark.parametrize(("name", "state"), [
    ("Adam", {"momentums", "velocities"}),
    ("Adamax", {"m", "u"}),
    ("Adagrad", {"accumulators"}),
    ("RMSprop", {"velocities"}),
    ("Lion", {"momentums"}),
])  # fmt: skip
def test_the_state_of_an_update_rule_is_found_and_bookkeeping_is_left_out(name, state):
    options = {"use_ema": True, "gradient_accumulation_steps": 2}
    optimizer = getattr(keras.optimizers, name)(0.1, **options)
    variables = variables_after(optimizer)
    update_state = private.update_state(optimizer)
    assert set(update_state) == state
    assert all(len(values) == len(variables) for values in update_state.values())


class Clipping(private.PerVariableHooks, keras.optimizers.SGD):
    """SGD of Keras with hooks that leave everything but clipping to `update_step`."""


def test_hooks_clip_and_leave_decay_and_averages_to_update_step():
    optimizer = Clipping(1.0, global_clipnorm=1.0, weight_decay=0.5, use_ema=True, ema_momentum=0.5)
    variables = variables_after(optimizer)
    # A gradient of four ones has norm 2. The weight decay of Keras would halve the weights in addition.
    np.testing.assert_allclose(variables[0].numpy(), 0.5, rtol=1e-6)
    np.testing.assert_array_equal(private.moving_averages(optimizer)[0].numpy(), 0.0)
    optimizer.finalize_variable_values(variables[::-1])
    np.testing.assert_array_equal(variables[0].numpy(), 0.0)


# tf.data


def test_the_steps_of_a_dataset_have_their_operations_and_order():
    dataset = tf.data.Dataset.range(4).shuffle(4).map(lambda x: -x, num_parallel_calls=2, deterministic=False).batch(2)
    batch, negate, shuffle, source = private.dataset_steps(dataset)
    assert (batch.name, source.name) == ("_BatchDataset", "_RangeDataset")
    assert "Neg" in negate.operations and negate.deterministic == "false"
    assert shuffle.reshuffles and not batch.reshuffles and source.deterministic == "default"


# KerasHub


def test_the_files_of_a_preset_folder_are_read_by_kerashub(tmp_path):
    from keras_hub.models import BertBackbone

    options = {"num_layers": 1, "num_heads": 2, "hidden_dim": 4, "intermediate_dim": 8, "max_sequence_length": 6}
    BertBackbone(vocabulary_size=20, **options).save_to_preset(str(tmp_path))
    assert private.preset_function("check_file_exists")(str(tmp_path), "config.json")
    assert "registered_name" in private.preset_function("load_json")(str(tmp_path), "config.json")
    loader = private.preset_function("get_preset_loader")(str(tmp_path))
    assert loader.check_backbone_class() is BertBackbone


def blocks():
    from keras_hub import layers
    from keras_hub.models import DebertaV3Backbone

    deberta = DebertaV3Backbone(20, 1, 2, 4, 8, max_sequence_length=6, bucket_size=4)
    yield layers.TransformerEncoder(8, 2)
    yield layers.TransformerDecoder(8, 2)
    yield next(layer for layer in deberta.layers if layer.name.startswith("disentangled_attention_encoder_layer_"))


@pytest.mark.parametrize("number", range(3), ids=["encoder", "decoder", "deberta"])
def test_a_transformer_block_applies_the_activation_of_its_feedforward_layer(number):
    block = list(blocks())[number]
    x = np.random.default_rng(0).normal(size=(1, 6, 4)).astype("float32")
    arguments = {"rel_embeddings": keras.ops.ones((1, 8, 4)), "padding_mask": np.ones((1, 6))} if number == 2 else {}
    before = keras.ops.convert_to_numpy(block(x, **arguments))
    private.feedforward_layer(block).activation = keras.activations.tanh
    after = keras.ops.convert_to_numpy(block(x, **arguments))
    assert np.abs(before - after).max() > 1e-4


@pytest.mark.parametrize("backend", ["torch", "unknown"])
def test_a_backend_that_is_not_installed_is_refused_before_keras_is_imported(backend):
    environment = {**os.environ, "KERAS_BACKEND": backend}
    command = [sys.executable, "-c", "import tltk; tltk.assemble"]
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert f"KERAS_BACKEND={backend!r}" in process.stderr.strip().splitlines()[-1]
