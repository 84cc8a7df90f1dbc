"""Tests of `tltk.advice.records`."""

from tltk.advice.records import Advice, Choice, Depth
from tltk.advice.shift import Shift

CHOICE = Choice("tiny", "probe", 0.9, 0.85, 0.94, 1.25, 2_500_000, 3.5, top1=0.7)


def test_a_table_and_what_follows_from_it_are_described():
    depth = Depth(3, 1e-4, 0.5, 0.02, 0.01, 0.03, 8.0)
    advice = Advice(
        (CHOICE,),
        "tiny",
        "the best",
        (),
        "90 % now",
        Shift(0.5, 0.4),
        ("big: too slow",),
        (depth,),
        "fine-tune",
        90,
        200,
    )
    assert advice.describe().splitlines() == [
        "choice  method  accuracy  80 % interval  seconds  MB  ms/example  top-1",
        "tiny    probe   0.900     0.850 – 0.940  1.2      10  3.5         0.700",
        "method       layers  learning rate  epochs  regularization  points over the probe  80 % interval  seconds",
        "fine-tuning  50%     1.0e-04        3       weight decay    +2.0                   +1.0 – +3.0    8.0",
        "compared on 90 of 200 examples",
        "recommended: tiny: the best",
        "depth: fine-tune",
        "labels: 90 % now",
        "shift: no shift found (told apart with an AUC of 0.50, p = 0.4)",
        "not tried: big: too slow",
    ]
    assert advice["tiny"].megabytes == 10
    assert "no shift" in advice._repr_html_()
