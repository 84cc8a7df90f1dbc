import keras
import numpy as np
import pytest

from tests.optimizers.test_per_variable import BATCH, SIZE, batches, fit, gradients, linear_model, mean_output, values
from tltk.optimizers.from_keras import from_keras
from tltk.optimizers.per_variable import KERAS_OPTIMIZERS
from tltk.optimizers.schedules import warmup_linear
from tltk.optimizers.spec import Optimizer, adamw, build, sgd
from tltk.optimizers.state import OptimizerState, optimizer_state, require_unique_paths

HIGH = ("high/kernel", "high/bias")


def two_phases(make, *, keep_state=True, scaled=False, **options):
    """First the upper layer alone, then both; returns the model and the optimizer state of the first phase."""
    model, x = linear_model(), batches(9)
    model.get_layer("low").trainable = False
    first = build(make(0.1), 0.1, model.trainable_variables, loss_scaling=scaled, **options)
    fit(model, first, x[:5])
    state = optimizer_state(first)
    model.get_layer("low").trainable = True
    second = build(
        make(0.1),
        0.1,
        model.trainable_variables,
        previous_state=state if keep_state else None,
        loss_scaling=scaled,
        **options,
    )
    fit(model, second, x[5:])
    return model, state


def uninterrupted(stock, learning, steps):
    """The same gradients through one Keras optimizer' own, which never stops."""
    keras.utils.set_random_seed(0)
    model = linear_model()
    variables = [variable for variable in model.trainable_variables if variable.path in learning]
    stock.build(variables)
    for x in batches(9)[steps]:
        computed = gradients(x)
        stock.apply([keras.ops.convert_to_tensor(computed[variable.path].astype("float32")) for variable in variables])
    return {variable.path: variable.numpy() for variable in variables}


@pytest.mark.parametrize("scaled", [False, True], ids=["plain", "loss scaling"])
@pytest.mark.parametrize(
    ("make", "stock"), [(adamw, keras.optimizers.Adam), (sgd, lambda rate: keras.optimizers.SGD(rate, momentum=0.9))]
)
def test_a_variable_with_previous_state_continues_without_interruption_and_a_new_one_starts_afresh(make, stock, scaled):
    keras.utils.set_random_seed(0)
    model, _ = two_phases(make, scaled=scaled)
    expected = uninterrupted(stock(0.1), HIGH, slice(0, 9))
    expected |= uninterrupted(stock(0.1), ("low/kernel", "low/bias"), slice(5, 9))
    for path, value in expected.items():
        np.testing.assert_allclose(values(model)[path], value, atol=1e-6, rtol=0, err_msg=path)


def test_the_first_step_with_previous_state_is_the_one_computed_by_hand():
    old, new = (keras.Variable(np.zeros(1, "float32"), name=name) for name in ("old", "new"))
    before = {"momentums": np.array([0.5], "float32"), "velocities": np.array([0.02], "float32")}
    optimizer = build(adamw(0.1), 0.1, [old, new], previous_state=OptimizerState("adamw", {"old": before}, {"old": 10}))
    optimizer.apply([keras.ops.ones(1), keras.ops.ones(1)])
    m, v = 0.9 * 0.5 + 0.1, 0.999 * 0.02 + 0.001
    step = 0.1 * (m / (1 - 0.9**11)) / np.sqrt(v / (1 - 0.999**11))
    np.testing.assert_allclose(old.numpy(), [-step], rtol=2e-5)
    np.testing.assert_allclose(new.numpy(), [-0.1], rtol=1e-5)


def test_without_previous_state_the_momentum_is_lost():
    keras.utils.set_random_seed(0)
    model, _ = two_phases(adamw, keep_state=False)
    expected = uninterrupted(keras.optimizers.Adam(0.1), HIGH, slice(0, 9))
    assert np.abs(values(model)["high/kernel"] - expected["high/kernel"]).max() > 1e-3


def test_the_schedule_of_the_new_phase_starts_at_its_beginning():
    model, state = two_phases(adamw)
    before = values(model)
    rate = warmup_linear(0.1, steps=4, warmup=2)
    optimizer = build(adamw(0.1), rate, model.trainable_variables, previous_state=state)
    fit(model, optimizer, batches(1))
    for path, value in values(model).items():
        np.testing.assert_array_equal(value, before[path])  # a warm-up's first rate is 0
    assert optimizer_state(optimizer).steps == {"low/kernel": 1, "low/bias": 1, "high/kernel": 6, "high/bias": 6}


def test_steps_add_up_over_three_phases():
    model, state = two_phases(adamw)
    assert state.steps == {"high/kernel": 5, "high/bias": 5}
    second = optimizer_state(model.optimizer)
    assert second.steps == {"low/kernel": 4, "low/bias": 4, "high/kernel": 9, "high/bias": 9}
    third = build(adamw(0.1), 0.1, model.trainable_variables, previous_state=second)
    assert optimizer_state(third).steps == second.steps


def test_momentum_is_restored_without_the_multiplier_of_the_phase_before():
    variable = keras.Variable(np.zeros(1, "float32"), name="w")
    first = build(sgd(0.1), 0.1, [variable], lr_multipliers={"w": 0.5})
    first.apply([keras.ops.ones(1)])
    state = optimizer_state(first)
    np.testing.assert_allclose(state.values["w"]["momentums"], [-0.1])
    second = build(sgd(0.1), 0.1, [variable], lr_multipliers={"w": 0.25}, previous_state=state)
    second.apply([keras.ops.zeros(1)])
    np.testing.assert_allclose(variable.numpy(), [-0.05 - 0.25 * 0.9 * 0.1], rtol=1e-6)


def test_the_state_of_another_algorithm_is_ignored():
    variable = keras.Variable(np.zeros(1, "float32"), name="w")
    first = build(sgd(0.1), 0.1, [variable])
    first.apply([keras.ops.ones(1)])
    second = optimizer_state(build(adamw(0.1), 0.1, [variable], previous_state=optimizer_state(first)))
    assert not second.values["w"]["momentums"].any()
    assert second.steps == {"w": 0}


def test_an_optimizer_state_is_a_copy_that_training_does_not_change():
    model, state = two_phases(adamw)
    copy = {path: {name: array.copy() for name, array in arrays.items()} for path, arrays in state.values.items()}
    flat = batches(1).reshape(-1, 2 * SIZE)
    model.fit(flat, np.zeros((BATCH, 1)), verbose=0)
    assert all((state.values[path][name] == copy[path][name]).all() for path in copy for name in copy[path])


def test_earlier_steps_survive_saving(tmp_path):
    model, _ = two_phases(adamw)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", custom_objects={"mean_output": mean_output})
    assert optimizer_state(loaded.optimizer).steps == optimizer_state(model.optimizer).steps


def test_a_changed_shape_is_reported():
    state = optimizer_state(build(sgd(), 0.1, [keras.Variable(np.zeros(2, "float32"), name="w")]))
    with pytest.raises(ValueError, match=r"`w` needs momentums of the shape \(3,\), the previous one has \(2,\)"):
        build(sgd(), 0.1, [keras.Variable(np.zeros(3, "float32"), name="w")], previous_state=state)


def test_variables_with_the_same_path_are_an_error():
    twins = [keras.Variable(np.zeros(2, "float32"), name="w") for _ in range(2)]
    optimizer = build(sgd(), 0.1, twins)
    with pytest.raises(ValueError, match=r"have the path w, .*Give their layers unique names"):
        optimizer_state(optimizer)
    with pytest.raises(ValueError, match="several variables have the path w"):
        build(sgd(), 0.1, twins, previous_state=OptimizerState("sgd", {}, {}))


def test_an_optimizer_not_built_by_tltk_is_an_error():
    with pytest.raises(TypeError, match=r"`optimizer` must be built by optimizers.spec.build. Received: Adam"):
        optimizer_state(keras.optimizers.Adam())


def test_frozen_variables_may_share_a_path():
    twins = [keras.Variable(np.zeros(2, "float32"), name="w") for _ in range(2)]
    alone = keras.Variable(np.zeros(2, "float32"), name="v")
    require_unique_paths([alone], among=[*twins, alone])
    with pytest.raises(ValueError, match="several variables have the path w"):
        require_unique_paths([twins[0]], among=[*twins, alone])


KEEPING = {"adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw", "lamb", "lion", "muon", "rmsprop", "sgd"}


@pytest.mark.parametrize("name", sorted(KERAS_OPTIMIZERS))
def test_two_builds_with_the_state_in_between_are_one_uninterrupted_optimizer(name):
    options = {"rmsprop": (("momentum", 0.5), ("centered", True)), "adam": (("amsgrad", True),)}.get(name, ())
    spec, multipliers = Optimizer(name, 0.1, options=options), {} if name == "ftrl" else {"kernel": 0.5}
    steps = [np.random.default_rng(step).normal(size=(3, 2)).astype("float32") for step in range(6)]
    ends = []
    for stops in ((6,), (4, 6)):
        variable, state, start = keras.Variable(np.ones((3, 2), "float32"), name="kernel"), None, 0
        for stop in stops:
            optimizer = build(spec, 0.1, [variable], lr_multipliers=multipliers, previous_state=state)
            for step in steps[start:stop]:
                optimizer.apply([keras.ops.convert_to_tensor(step)])
            state, start = optimizer_state(optimizer), stop
        ends.append(variable.numpy())
    continues = np.allclose(ends[0], ends[1], atol=1e-5)
    assert continues == (name in KEEPING)
    assert state.steps == {"kernel": 6 if name in KEEPING else 2}


def test_an_optimizer_class_of_the_user_starts_every_phase_anew():
    class SGD(keras.optimizers.SGD):
        pass

    variable = keras.Variable(np.zeros(1, "float32"), name="w")
    first = build(from_keras(SGD(0.1, momentum=0.9)), 0.1, [variable])
    first.apply([keras.ops.ones(1)])
    state = optimizer_state(first)
    assert state.algorithm.endswith(".SGD")
    second = build(from_keras(SGD(0.1, momentum=0.9)), 0.1, [variable], previous_state=state)
    assert optimizer_state(second).steps == {"w": 0}
