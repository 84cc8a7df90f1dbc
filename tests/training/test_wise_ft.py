from dataclasses import replace

import numpy as np

import tltk
from tests.conftest import squares, squares_model
from tltk.optimizers.spec import adamw
from tltk.recipes import Phase, Recipe
from tltk.trainability.plan import freeze, train_all
from tltk.training.wise_ft import interpolate


def test_alpha_0_and_1_return_the_weights_themselves_and_integers_are_not_interpolated():
    start, end = [np.array([0.1], "float32"), np.array([1])], [np.array([0.7], "float32"), np.array([4])]
    assert interpolate(start, end, 0)[0] is start[0]
    assert interpolate(start, end, 1)[0] is end[0]
    middle = interpolate(start, end, 0.5)
    np.testing.assert_allclose(middle[0], [0.4], rtol=1e-6)
    assert middle[0].dtype == "float32"
    assert middle[1] == 4


def test_wise_ft_is_not_worse_than_either_end_of_a_phase():
    good = Phase("good", freeze("backbone"), epochs=8, optimizer=adamw(3e-2))
    far = Phase("far", train_all(), 1, adamw(0.5), schedule="constant", warmup=0.0)
    scores, start = {}, squares_model().keras.get_weights()
    for wise_ft in (False, True):
        model, val = squares_model(), squares(24, seed=1)
        model.keras.set_weights(start)
        phases = (good, replace(far, wise_ft=wise_ft))
        run = tltk.fit(model, squares(48), val, recipe=Recipe("r", phases), batch_size=8, seed=1)
        scores[wise_ft] = run.phases[1].score
        assert (run.phases[1].wise_ft_alpha > 0) == run.phases[1].kept
        assert wise_ft or run.phases[1].wise_ft_alpha in (0, 1)
    assert scores[True] >= scores[False]


def test_the_model_has_the_interpolated_weights_after_the_fit(tmp_path):
    model, val = squares_model(), squares(24, seed=1)
    phase = Phase("one", train_all(), 2, adamw(1e-1), schedule="constant", warmup=0.0, wise_ft=True)
    run = tltk.fit(model, squares(48), val, recipe=Recipe("r", (phase,)), batch_size=8, out=tmp_path / "run")
    metrics = tltk.evaluate(model, val).metrics
    np.testing.assert_allclose(metrics["accuracy"], run.phases[0].score[0], atol=1e-6)
    assert tltk.load_run(tmp_path / "run").phases[0].wise_ft_alpha == run.phases[0].wise_ft_alpha
