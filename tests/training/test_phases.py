from dataclasses import asdict

from tltk.training.phase import PhaseResult
from tltk.training.phases import earlier_results


def test_results_of_phases_before_a_checkpoint():
    result = PhaseResult("probe", 3, 2, True, (0.5, -0.7), 1.5)
    assert earlier_results({"before": {"results": [asdict(result)]}}) == [result]
    assert earlier_results(None) == []
