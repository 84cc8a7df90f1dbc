"""Each trap first with plain Keras, which says nothing, then with the audit, which names it."""

import warnings

import keras
import numpy as np
import pytest

from tltk.foundation.errors import AuditError
from tltk.trainability.audit.audit import audit
from tltk.trainability.audit.byte_check import MIN_STEPS
from tltk.trainability.audit.gradients import got_gradient

X = np.random.default_rng(0).normal(size=(48, 4)).astype("float32")
Y = X[:, :1] * 2 - 1


def base():
    layers = [keras.layers.Dense(4, name="a"), keras.layers.BatchNormalization(name="bn"),
              keras.layers.Dense(4, activation="tanh", name="b"), keras.layers.Dropout(0.1, name="drop")]  # fmt: skip
    return keras.Sequential([keras.Input((4,)), *layers], name="base")


def functional():
    x = keras.Input((4,))
    return keras.Model(x, keras.layers.Dense(1, name="top", dtype="float32")(base()(x)), name="whole")


def sequential():
    return keras.Sequential([keras.Input((4,)), base(), keras.layers.Dense(1, name="top", dtype="float32")])


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.base, self.top = base(), keras.layers.Dense(1, name="top", dtype="float32")

    def call(self, x, training=None):
        return self.top(self.base(x, training=training))


def subclassed():
    model = Subclassed()
    model(X[:1])
    return model


def part(model, name="base"):
    """The base, or a layer inside it."""
    inner = model.get_layer("base")
    return inner if name == "base" else inner.get_layer(name)


def compiled(model):
    model.compile(keras.optimizers.SGD(0.05), "mse")
    return model


def fit(model):
    """Six steps, in which Keras warns of nothing."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, Y, batch_size=8, verbose=0)
    assert not [warning for warning in caught if issubclass(warning.category, UserWarning)]


def moved_by(model, act):
    """Return the last two parts of the paths of the weights whose bytes `act` changes, without the audit."""
    before = [weight.numpy().tobytes() for weight in model.weights]
    act()
    pairs = zip(model.weights, before, strict=True)
    return {"/".join(weight.path.split("/")[-2:]) for weight, old in pairs if weight.numpy().tobytes() != old}


def problems(model, act=None):
    with audit(model, strict=False) as result:
        (act or (lambda: fit(model)))()
    return result.problems


BASE = {"a/kernel", "a/bias", "bn/gamma", "bn/beta", "bn/moving_mean", "bn/moving_variance", "b/kernel", "b/bias"}
MODELS = pytest.mark.parametrize("make", [functional, sequential, subclassed])


@MODELS
def test_a_correct_fit_has_no_problems_and_lists_what_moved(make):
    model = make()
    part(model).trainable = False
    compiled(model)
    with audit(model) as result:
        fit(model)
    assert {path.split("/")[-2] for path in result.changed} == {"top"}
    assert {"/".join(path.split("/")[-2:]) for path in result.unchanged} == BASE
    assert (result.problems, result.created) == ((), ())


def test_the_seed_of_a_dropout_does_not_count_as_a_weight():
    model = compiled(functional())
    with audit(model) as result:
        fit(model)
    assert len(result.changed) == len(model.weights)
    assert not result.unchanged
    assert not any("seed" in path for path in result.changed)


@MODELS
def test_frozen_after_fit_without_compiling_again(make):
    model = compiled(make())
    fit(model)
    part(model).trainable = False
    assert moved_by(model, lambda: fit(model)) >= BASE  # everything that is flagged frozen moves
    messages = problems(model)
    assert {problem.split(":")[0] for problem in messages} == {"`a`", "`bn`", "`b`"}
    assert all("`trainable` was changed after compile and fit" in problem for problem in messages)
    assert all("compile again, with a new optimizer" in problem for problem in messages)
    assert any("`bn`: its moving statistics drifted" in problem for problem in messages)


def test_frozen_inside_the_block_without_compiling_again():
    model = compiled(functional())

    def act():
        fit(model)
        part(model, "b").trainable = False
        fit(model)

    assert [problem.split(":")[0] for problem in problems(model, act)] == ["`b`"]


def test_frozen_inside_the_block_and_compiled_again_has_no_problems():
    model = compiled(functional())

    def act():
        fit(model)
        part(model).trainable = False
        compiled(model)
        fit(model)

    assert problems(model, act) == ()


@MODELS
def test_unfrozen_after_fit_without_compiling_again(make):
    model = make()
    part(model).trainable = False
    compiled(model)
    fit(model)
    part(model).trainable = True
    assert not moved_by(model, lambda: fit(model)) & BASE  # nothing of what is flagged trainable moves
    messages = problems(model)
    assert {problem.split(":")[0] for problem in messages} == {"`a`", "`bn`", "`b`"}
    assert all("it did not change although it is flagged trainable" in problem for problem in messages)


def test_one_variable_frozen_after_fit():
    model = compiled(functional())
    fit(model)
    part(model, "a").kernel.trainable = False
    assert "a/kernel" in moved_by(model, lambda: fit(model))
    assert [problem.split(":")[0] for problem in problems(model)] == ["`a`"]


@MODELS
def test_a_trainable_child_of_a_frozen_parent(make):
    model = make()
    part(model).trainable = False
    part(model, "b").trainable = True
    compiled(model)
    assert moved_by(model, lambda: fit(model)) & BASE == {"b/kernel", "b/bias"}
    messages = problems(model)
    assert len(messages) == 1
    assert "`b`: it changed although `base` around it is frozen" in messages[0]
    assert "set `trainable` of `b` to False, after that of `base`" in messages[0]


def test_a_trainable_batch_norm_in_a_frozen_base():
    model = functional()
    part(model).trainable = False
    part(model, "bn").trainable = True
    compiled(model)
    assert {"bn/moving_mean", "bn/moving_variance"} <= moved_by(model, lambda: fit(model))
    assert any(
        "`bn`: its moving statistics drifted although `base` around it" in problem for problem in problems(model)
    )


def test_a_batch_norm_whose_scale_and_shift_are_frozen():
    model = functional()
    part(model, "bn").gamma.trainable = part(model, "bn").beta.trainable = False
    compiled(model)
    assert moved_by(model, lambda: fit(model)) & {"bn/gamma", "bn/moving_mean"} == {"bn/moving_mean"}
    messages = problems(model)
    assert len(messages) == 1
    assert "`bn`: its moving statistics drifted although its gamma and beta are frozen" in messages[0]


@pytest.mark.parametrize("trainable", [True, False])
def test_a_trainable_base_called_with_training_false(trainable):
    base = keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization(name="norm")], name="base")
    base.trainable = trainable
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(1)(base(inputs, training=False)))
    model.compile("sgd", "mse")
    generator = np.random.default_rng(0)
    with audit(model, strict=False) as result:
        model.fit(generator.normal(size=(32, 3)), generator.normal(size=(32, 1)), verbose=0)
    reason = "`norm`: its moving statistics drifted although `base` is called with training=False"
    assert [problem.startswith(reason) for problem in result.problems] == ([True] if trainable else [])


def test_a_batch_norm_without_scale_and_shift_may_learn_its_statistics():
    x = keras.Input((4,))
    norm = keras.layers.BatchNormalization(center=False, scale=False, name="bare")
    model = compiled(keras.Model(x, keras.layers.Dense(1)(norm(x))))
    assert problems(model) == ()


def test_a_batch_norm_without_scale_and_shift_that_is_frozen_too_late():
    x = keras.Input((4,))
    norm = keras.layers.BatchNormalization(center=False, scale=False, name="bare")
    model = compiled(keras.Model(x, keras.layers.Dense(1)(norm(x))))
    fit(model)

    def too_late():
        norm.trainable = False
        fit(model)

    assert {path.split("/")[-1] for path in moved_by(model, too_late)} >= {"moving_mean", "moving_variance"}
    norm.trainable = True
    with audit(model, strict=False) as result:
        too_late()
    assert len(result.problems) == 1
    assert "`bare`: its moving statistics drifted although it is flagged frozen" in result.problems[0]


def test_a_batch_norm_without_scale_and_shift_that_is_frozen_in_time():
    x = keras.Input((4,))
    norm = keras.layers.BatchNormalization(center=False, scale=False, name="bare")
    model = compiled(keras.Model(x, keras.layers.Dense(1)(norm(x))))
    with audit(model, strict=False) as result:
        fit(model)
        norm.trainable = False
        compiled(model)
        fit(model)
    assert result.problems == ()
    assert result.changed


class Unheard(keras.layers.Layer):
    """Multiplies what it learned by zero."""

    def build(self, shape):
        self.deaf = self.add_weight(shape=(shape[-1],), name="deaf")

    def call(self, x):
        return x + 0.0 * self.deaf


def deaf_model():
    x = keras.Input((4,))
    return compiled(keras.Model(x, keras.layers.Dense(1, name="top")(Unheard(name="unheard")(x))))


def test_a_trainable_weight_without_a_gradient():
    model = deaf_model()
    assert "unheard/deaf" not in moved_by(model, lambda: fit(model))
    messages = problems(model)
    assert len(messages) == 1
    assert "`unheard`: deaf got no gradient in 6 steps, though it is flagged trainable" in messages[0]


def test_a_missing_gradient_is_not_judged_in_the_first_steps():
    model, few = deaf_model(), 8 * (MIN_STEPS - 1)
    assert problems(model, lambda: model.fit(X[:few], Y[:few], batch_size=8, verbose=0)) == ()
    assert problems(model, lambda: model.fit(X[:few], Y[:few], batch_size=8, verbose=0)) == ()  # nor are they added up


def test_a_zero_head_and_a_warm_up_move_everything_within_the_minimum():
    x = keras.Input((4,))
    below = keras.layers.Dense(4, activation="tanh", name="below")(x)
    model = keras.Model(x, keras.layers.Dense(1, name="top", kernel_initializer="zeros")(below))
    model.get_layer("below").enable_lora(2)
    rate = keras.optimizers.schedules.PolynomialDecay(0.0, MIN_STEPS, end_learning_rate=0.1)
    model.compile(keras.optimizers.SGD(rate), "mse")
    count = 8 * MIN_STEPS
    with audit(model) as result:
        model.fit(X[:count], Y[:count], batch_size=8, verbose=0)
    assert len(result.unchanged) == 1  # the kernel that LoRA froze


def test_a_frozen_weight_that_something_else_wrote():
    model = functional()
    part(model).trainable = False
    compiled(model)
    messages = problems(model, lambda: part(model, "a").kernel.assign(np.ones((4, 4))))
    assert len(messages) == 1
    assert "`a`: it changed although it is flagged frozen, and the optimizer does not train it" in messages[0]


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_is_audited_in_the_same_way(precision):
    keras.config.set_dtype_policy(precision)
    model = compiled(functional())
    with audit(model) as result:
        for _ in range(3):  # the first steps of loss scaling overflow, and count as none
            fit(model)
    assert result.problems == ()
    part(model).trainable = False
    assert {problem.split(":")[0] for problem in problems(model)} == {"`a`", "`bn`", "`b`"}


def test_a_keras_hub_task_is_audited_into_its_backbone():
    from keras_hub.models import BertBackbone, BertTextClassifier

    backbone = BertBackbone(
        vocabulary_size=9, num_layers=1, num_heads=2, hidden_dim=4, intermediate_dim=8, max_sequence_length=6
    )
    task = BertTextClassifier(backbone, num_classes=2, preprocessor=None)
    ids = np.random.default_rng(0).integers(1, 9, (8, 6))
    x = {"token_ids": ids, "segment_ids": ids * 0, "padding_mask": ids > 0}
    backbone.trainable = False
    backbone.get_layer("transformer_layer_0").trainable = True
    with audit(task, strict=False) as result:
        task.fit(x, np.arange(8) % 2, batch_size=2, shuffle=False, verbose=0)
    assert result.problems
    assert all("it changed although `bert_backbone` around it is frozen" in problem for problem in result.problems)
    assert any("/logits/" in f"/{path}" for path in result.changed)


def test_problems_are_raised_all_at_once():
    model = compiled(functional())
    fit(model)
    part(model).trainable = False
    with pytest.raises(AuditError, match=r"(?s)the audit of 'whole' found 4 problems:.*`a`.*`bn`.*`b`"), audit(model):
        fit(model)


def test_an_exception_inside_the_block_is_not_replaced_by_problems_of_the_audit():
    model = compiled(functional())
    fit(model)
    part(model).trainable = False
    with pytest.raises(KeyError), audit(model):
        fit(model)
        raise KeyError


def test_weights_created_inside_the_block_are_listed_and_not_judged():
    model = compiled(functional())
    with audit(model) as result:
        model.get_layer("top").enable_lora(1)
    assert [path.rsplit("/", 1)[-1] for path in result.created] == ["lora_kernel_a", "lora_kernel_b"]


def test_a_value_that_cannot_be_audited_is_an_error_on_entering():
    with (
        pytest.raises(ValueError, match=r"has no weights yet. Call it once on a batch"),
        audit(keras.Sequential([keras.layers.Dense(1)])),
    ):
        pass
    with pytest.raises(TypeError, match=r"`model` must be a keras.Model"), audit("resnet50"):
        pass


def test_a_gradient_too_small_to_change_a_weight_is_no_problem():
    pixels = keras.Input((6,))
    scaled = keras.layers.Dense(4, name="scaled")(pixels)
    scaled = keras.layers.BatchNormalization(epsilon=1e-12, name="scale")(scaled)
    normed = keras.layers.BatchNormalization(epsilon=1e-12, name="norm")(scaled)
    model = keras.Model(pixels, keras.layers.Dense(1, name="out")(normed))
    model.compile(keras.optimizers.SGD(1e-7, momentum=0.9), "mse")
    x = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")
    with audit(model, strict=False) as result:
        model.fit(x, x[:, :1], batch_size=8, epochs=2, verbose=0)
    assert any(path.endswith("scale/gamma") for path in result.unchanged)
    assert result.problems == ()
    assert got_gradient(model.optimizer)[id(model.get_layer("scale").gamma)]


def test_a_weight_that_only_decays_is_a_problem():
    pixels = keras.Input((4,))
    dead = keras.layers.Dense(4, use_bias=False, name="dead")(pixels)
    x = keras.layers.Dense(4, name="alive")(pixels) + keras.ops.relu(dead - 1e6)
    model = keras.Model(pixels, keras.layers.Dense(1, name="out")(x))
    model.compile(keras.optimizers.AdamW(1e-2, weight_decay=0.1), "mse")
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    with audit(model, strict=False) as result:
        model.fit(x, x[:, :1], batch_size=8, verbose=0)
    assert len(result.problems) == 1
    assert "`dead`: kernel changed by weight decay alone, without a gradient in 8 steps" in result.problems[0]


def test_a_plan_that_lets_the_affine_part_of_a_frozen_batch_norm_learn_is_no_problem():
    from tests.conftest import squares, squares_model
    from tltk.trainability.apply import apply_plan
    from tltk.trainability.plan import train_all

    model = squares_model()
    with apply_plan(train_all(batch_norm="affine"), model):
        model.keras.compile(keras.optimizers.SGD(1e-2, momentum=0.9), "categorical_crossentropy")
        source = squares()
        with audit(model) as result:
            model.keras.fit(source.examples, np.eye(3)[np.asarray(source.targets)], batch_size=8, epochs=2, verbose=0)
    assert any(path.endswith("gamma") for path in result.changed)
    assert not [path for path in result.changed if "moving" in path and "head" not in path]


class Temperature(keras.layers.Layer):
    """Multiplies by one learned number."""

    def build(self, shape):
        self.value = self.add_weight(shape=(), initializer="ones", name="value")

    def call(self, x):
        return x * self.value


def test_a_scalar_weight_that_learns_is_no_problem():
    x = keras.Input((4,))
    model = keras.Model(x, Temperature(name="temperature")(keras.layers.Dense(1)(x)))
    model.compile(keras.optimizers.AdamW(1e-3), "mse")
    with audit(model, strict=False) as result:
        fit(model)
    assert result.problems == ()
    assert result.changed


def test_accumulated_gradients_of_plain_sgd_are_no_problem():
    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.Dense(1)(x))
    model.compile(keras.optimizers.SGD(1e-2, gradient_accumulation_steps=2), "mse")
    with audit(model, strict=False) as result:
        model.fit(X, Y, batch_size=4, epochs=3, verbose=0)
    assert result.problems == ()
    assert result.changed


def test_a_loss_that_has_been_zero_for_long_is_no_problem():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, name="out")])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.5), "hinge")
    labels = np.where(X[:, :1] > 0, 1.0, -1.0)
    with audit(model, strict=False) as result:
        model.fit(X, labels, batch_size=48, epochs=20, verbose=0)
        far = np.tile(X * 1e4, (100, 1))  # 1,200 steps; as many epochs of one step would take a minute
        model.fit(far, np.sign(model.predict(far, verbose=0)), batch_size=48, epochs=12, verbose=0)
    assert result.problems == ()
    assert result.changed
