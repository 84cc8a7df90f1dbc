import pytest

from tltk import recipes


def test_bert_has_the_options_of_the_paper():
    (phase,) = recipes.bert(warmup=500).phases
    assert (phase.optimizer.name, phase.optimizer.learning_rate, phase.optimizer.weight_decay) == ("adamw", 2e-5, 0.01)
    assert (phase.optimizer.clip_norm, phase.schedule, phase.epochs) == (1.0, "linear", 3)
    assert phase.warmup_steps(10_000) == 500
    assert recipes.bert().phases[0].warmup_steps(10_000) == 1_000
    assert [rule.pattern for rule in recipes.bert(top_blocks=2).phases[0].plan.rules] == ["top:2 stages", "*"]
    assert recipes.bert(layer_decay=0.9).phases[0].plan.layer_decay == 0.9
    with pytest.raises(
        ValueError, match=r"either `layer_decay` or `top_blocks`, not both\. Received: layer_decay=0.9, top_blocks=2"
    ):
        recipes.bert(layer_decay=0.9, top_blocks=2)


def test_few_shot_is_a_contrastive_phase_and_a_probe():
    first, second = recipes.few_shot(epochs=3, probe_epochs=4, top_blocks=2).phases
    assert (first.contrastive_temperature, first.epochs, second.epochs) == (0.1, 3, 4)
    assert [rule.pattern for rule in first.plan.rules] == ["top:2 stages", "*"]
    assert second == recipes.linear_probe(epochs=4).phases[0]
    assert [rule.action for rule in recipes.few_shot().phases[0].plan.rules] == ["train"]
    with pytest.raises(ValueError, match="`contrastive_temperature` must be above 0"):
        recipes.few_shot(temperature=0)
    with pytest.raises(ValueError, match="`stages` must be a whole number above 0"):
        recipes.few_shot(top_blocks=0)
