import keras
import numpy as np
import pytest

from tests.optimizers.test_per_variable import BATCH, SIZE, batches, fit, gradients, linear_model, mean_output, values
from tltk.optimizers.schedules import warmup_linear
from tltk.optimizers.spec import adamw, build, sgd
from tltk.optimizers.state import Slots, require_own_paths, slots

HIGH = ("high/kernel", "high/bias")


def two_phases(make, *, carry=True, scaled=False, **options):
    """First the upper layer alone, then both; returns the model and what the first phase left behind."""
    model, x = linear_model(), batches(9)
    model.get_layer("low").trainable = False
    first = build(make(0.1), 0.1, model.trainable_variables, loss_scaling=scaled, **options)
    fit(model, first, x[:5])
    kept = slots(first)
    model.get_layer("low").trainable = True
    second = build(
        make(0.1), 0.1, model.trainable_variables, carried=kept if carry else None, loss_scaling=scaled, **options
    )
    fit(model, second, x[5:])
    return model, kept


def uninterrupted(stock, learning, steps):
    """The same gradients through one optimizer of Keras' own, which never stops."""
    keras.utils.set_random_seed(0)
    model = linear_model()
    variables = [variable for variable in model.trainable_variables if variable.path in learning]
    stock.build(variables)
    for x in batches(9)[steps]:
        found = gradients(x)
        stock.apply([keras.ops.convert_to_tensor(found[each.path].astype("float32")) for each in variables])
    return {variable.path: variable.numpy() for variable in variables}


@pytest.mark.parametrize("scaled", [False, True], ids=["plain", "loss scaling"])
@pytest.mark.parametrize(
    ("make", "stock"), [(adamw, keras.optimizers.Adam), (sgd, lambda rate: keras.optimizers.SGD(rate, momentum=0.9))]
)
def test_a_carried_variable_goes_on_as_if_never_interrupted_and_a_new_one_starts_afresh(make, stock, scaled):
    keras.utils.set_random_seed(0)
    model, _ = two_phases(make, scaled=scaled)
    expected = uninterrupted(stock(0.1), HIGH, slice(0, 9))
    expected |= uninterrupted(stock(0.1), ("low/kernel", "low/bias"), slice(5, 9))
    for path, value in expected.items():
        np.testing.assert_allclose(values(model)[path], value, atol=1e-6, rtol=0, err_msg=path)


def test_the_first_step_after_carrying_is_the_one_computed_by_hand():
    old, new = (keras.Variable(np.zeros(1, "float32"), name=name) for name in ("old", "new"))
    before = {"momentum": np.array([0.5], "float32"), "velocity": np.array([0.02], "float32")}
    optimizer = build(adamw(0.1), 0.1, [old, new], carried=Slots("adamw", {"old": before}, {"old": 10}))
    optimizer.apply([keras.ops.ones(1), keras.ops.ones(1)])
    m, v = 0.9 * 0.5 + 0.1, 0.999 * 0.02 + 0.001
    step = 0.1 * (m / (1 - 0.9**11)) / np.sqrt(v / (1 - 0.999**11))
    np.testing.assert_allclose(old.numpy(), [-step], rtol=2e-5)
    np.testing.assert_allclose(new.numpy(), [-0.1], rtol=1e-5)


def test_without_carrying_the_momentum_is_lost():
    keras.utils.set_random_seed(0)
    model, _ = two_phases(adamw, carry=False)
    expected = uninterrupted(keras.optimizers.Adam(0.1), HIGH, slice(0, 9))
    assert np.abs(values(model)["high/kernel"] - expected["high/kernel"]).max() > 1e-3


def test_the_schedule_of_the_new_phase_starts_at_its_beginning():
    model, kept = two_phases(adamw)
    before = values(model)
    rate = warmup_linear(0.1, steps=4, warmup=2)
    optimizer = build(adamw(0.1), rate, model.trainable_variables, carried=kept)
    fit(model, optimizer, batches(1))
    for path, value in values(model).items():
        np.testing.assert_array_equal(value, before[path])  # a warm-up's first rate is 0
    assert slots(optimizer).steps == {"low/kernel": 1, "low/bias": 1, "high/kernel": 6, "high/bias": 6}


def test_steps_add_up_over_three_phases():
    model, kept = two_phases(adamw)
    assert kept.steps == {"high/kernel": 5, "high/bias": 5}
    second = slots(model.optimizer)
    assert second.steps == {"low/kernel": 4, "low/bias": 4, "high/kernel": 9, "high/bias": 9}
    third = build(adamw(0.1), 0.1, model.trainable_variables, carried=second)
    assert slots(third).steps == second.steps


def test_momentum_is_carried_without_the_multiplier_of_the_phase_before():
    variable = keras.Variable(np.zeros(1, "float32"), name="w")
    first = build(sgd(0.1), 0.1, [variable], multipliers={"w": 0.5})
    first.apply([keras.ops.ones(1)])
    kept = slots(first)
    np.testing.assert_allclose(kept.values["w"]["momentum"], [-0.1])
    second = build(sgd(0.1), 0.1, [variable], multipliers={"w": 0.25}, carried=kept)
    second.apply([keras.ops.zeros(1)])
    np.testing.assert_allclose(variable.numpy(), [-0.05 - 0.25 * 0.9 * 0.1], rtol=1e-6)


def test_slots_of_another_kind_of_optimizer_are_left_behind():
    variable = keras.Variable(np.zeros(1, "float32"), name="w")
    first = build(sgd(0.1), 0.1, [variable])
    first.apply([keras.ops.ones(1)])
    second = slots(build(adamw(0.1), 0.1, [variable], carried=slots(first)))
    assert not second.values["w"]["momentum"].any()
    assert second.steps == {"w": 0}


def test_slots_are_a_copy_that_training_does_not_change():
    model, kept = two_phases(adamw)
    held = {path: {name: array.copy() for name, array in each.items()} for path, each in kept.values.items()}
    flat = batches(1).reshape(-1, 2 * SIZE)
    model.fit(flat, np.zeros((BATCH, 1)), verbose=0)
    assert all((kept.values[path][name] == held[path][name]).all() for path in held for name in held[path])


def test_carried_steps_survive_saving(tmp_path):
    model, _ = two_phases(adamw)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", custom_objects={"mean_output": mean_output})
    assert slots(loaded.optimizer).steps == slots(model.optimizer).steps


def test_a_changed_shape_is_told():
    kept = slots(build(sgd(), 0.1, [keras.Variable(np.zeros(2, "float32"), name="w")]))
    with pytest.raises(ValueError, match=r"`w` is \(3,\), its carried momentum is \(2,\)"):
        build(sgd(), 0.1, [keras.Variable(np.zeros(3, "float32"), name="w")], carried=kept)


def test_variables_of_one_name_cannot_be_told_apart():
    twins = [keras.Variable(np.zeros(2, "float32"), name="w") for _ in range(2)]
    optimizer = build(sgd(), 0.1, twins)
    with pytest.raises(ValueError, match=r"called w, and one of each is to learn. Give their layers names"):
        slots(optimizer)
    with pytest.raises(ValueError, match="several variables are called w"):
        build(sgd(), 0.1, twins, carried=Slots("sgd", {}, {}))


def test_an_optimizer_of_another_make_is_refused():
    with pytest.raises(TypeError, match=r"`optimizer` must come from optimizers.build. Received: Adam"):
        slots(keras.optimizers.Adam())


def test_those_that_do_not_learn_may_share_a_path():
    twins = [keras.Variable(np.zeros(2, "float32"), name="w") for _ in range(2)]
    alone = keras.Variable(np.zeros(2, "float32"), name="v")
    require_own_paths([alone], among=[*twins, alone])
    with pytest.raises(ValueError, match="several variables are called w"):
        require_own_paths([twins[0]], among=[*twins, alone])
