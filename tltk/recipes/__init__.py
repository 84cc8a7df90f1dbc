"""Recipes: the named fine-tuning methods, each a list of phases."""

from tltk.recipes.general import (
    bit_hyperrule,
    fine_tune,
    full,
    gradual_unfreeze,
    linear_probe,
    one_phase,
    refine,
    tuned_probe,
)
from tltk.recipes.recipe import Phase, Recipe
from tltk.recipes.texts import bert, few_shot

__all__ = [
    "Phase",
    "Recipe",
    "bert",
    "bit_hyperrule",
    "few_shot",
    "fine_tune",
    "full",
    "gradual_unfreeze",
    "linear_probe",
    "one_phase",
    "refine",
    "tuned_probe",
]
