import json
from dataclasses import replace

import keras
import numpy as np
import pytest

from tltk import recipes
from tltk.optimizers.spec import sgd
from tltk.recipes.recipe import Phase, Recipe
from tltk.trainability.plan import freeze


def test_numbers_of_numpy_are_stored_as_those_of_python():
    phase = Phase("a", freeze(), np.int64(2), sgd(np.float32(0.5)), warmup=np.int64(3), patience=np.int32(1))
    phase = replace(phase, plan=replace(freeze(), layer_decay=np.float32(0.5)))
    config = Recipe("a", (phase,)).with_last_phase(epochs=np.int64(4), learning_rate=np.float64(0.25)).to_config()
    (stored,) = json.loads(json.dumps(config))["phases"]
    assert (stored["epochs"], stored["warmup"], stored["optimizer"]["learning_rate"]) == (4, 3, 0.25)


def test_wrong_options_of_phases_and_recipes_are_rejected():
    with pytest.raises(ValueError, match=r"(?s)`epochs` must be a whole number above 0. Received: 0.*`patience`"):
        Phase("a", freeze(), epochs=0, optimizer=sgd(), patience=0)
    with pytest.raises(ValueError, match=r"`schedule` must be one of .*Did you mean 'cosine'"):
        Phase("a", freeze(), epochs=1, optimizer=sgd(), schedule="cos")
    with pytest.raises(ValueError, match=r"`warmup` must be at least 0 and below 1"):
        Phase("a", freeze(), epochs=1, optimizer=sgd(), warmup=1.0)
    with pytest.raises(ValueError, match=r"`warmup` must be at least 0\. Received: -1"):
        Phase("a", freeze(), epochs=1, optimizer=sgd(), warmup=-1)
    with pytest.raises(ValueError, match=r"`phases` must hold at least one"):
        Recipe("none", ())
    with pytest.raises(TypeError, match=r"`plan` must be Plan. Received: str"):
        Phase("a", "backbone", epochs=1, optimizer=sgd())
    with pytest.raises(TypeError, match=r"`optimizer` must be Optimizer. Received: float"):
        Phase("a", freeze(), epochs=1, optimizer=0.1)
    with pytest.raises(ValueError, match=r"`optimizer` must be one of .*Received: 'adom'. Did you mean 'adam'"):
        Phase("a", freeze(), epochs=1, optimizer="adom")
    with pytest.raises(TypeError, match=r"`phases` must be Phase. Received: str"):
        Recipe("a", ("x",))
    with pytest.raises(ValueError, match=r"`temperature` must be above 0, such as 1.5. Received: 0"):
        Phase("a", freeze(), epochs=1, optimizer=sgd(), temperature=0)
    with pytest.raises(ValueError, match=r"`temperature` must be 1 in a phase that fits a probe"):
        Phase("a", freeze("backbone"), epochs=1, optimizer=sgd(), solver="probe", temperature=2.0)
    with pytest.raises(ValueError, match=r"`temperature` must be 1 in a contrastive phase"):
        Phase("a", freeze(), epochs=1, optimizer=sgd(), contrastive_temperature=0.1, temperature=2.0)
    phase = Phase("a", freeze(), epochs=1, optimizer=sgd())
    with pytest.raises(ValueError, match=r"must be unique. Received: a, a"):
        Recipe("twice", (phase, phase))


def test_the_epochs_of_a_recipe_are_the_sum_of_its_phases():
    assert recipes.fine_tune(epochs=3, probe_epochs=4).epochs == 7


def test_a_phase_takes_an_optimizer_of_keras_or_its_name():
    assert Phase("a", freeze(), epochs=1, optimizer="lion").optimizer.name == "lion"
    phase = Phase("a", freeze(), epochs=1, optimizer=keras.optimizers.SGD(0.5, nesterov=True))
    assert (phase.optimizer.learning_rate, dict(phase.optimizer.options)["nesterov"]) == (0.5, True)
    stored = json.loads(json.dumps(Recipe("a", (phase,)).to_config()))["phases"][0]["optimizer"]
    assert (stored["name"], stored["options"]["nesterov"]) == ("sgd", True)


def test_only_a_phase_without_schedule_and_warmup_has_a_constant_rate():
    phase = Phase("a", freeze(), epochs=1, optimizer="adam", schedule="constant", warmup=0)
    assert phase.has_constant_rate
    for other in (
        replace(phase, schedule="cosine"),
        replace(phase, warmup=0.1),
        replace(phase, optimizer=sgd(keras.optimizers.schedules.CosineDecay(0.1, 10))),
    ):
        assert not other.has_constant_rate
