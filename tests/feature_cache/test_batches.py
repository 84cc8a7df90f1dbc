import numpy as np

import tltk
from tests.conftest import squares, squares_model
from tltk.feature_cache.batches import feature_batches
from tltk.feature_cache.compute import compute
from tltk.modalities.modality import modality_of
from tltk.models.frozen_split import split_frozen_prefix
from tltk.trainability.apply import apply_plan


def test_stored_features_come_in_the_order_of_the_source_with_their_targets():
    model, source = squares_model(), squares(10)
    with apply_plan(tltk.freeze(), model) as plan:
        prefix = split_frozen_prefix(model.keras, plan.decisions).prefix
    reader = modality_of(model.input_spec).reader(source, model.input_spec)
    records = compute(prefix, reader, source, batch_size=4)
    loader = feature_batches(
        records, reader, source, prefix, targets=source.targets, batch_size=4, encode=None, seed=None
    )
    rows = np.concatenate([batch.rows for batch in loader.batches()])
    targets = np.concatenate([batch.targets_and_weights[0] for batch in loader.batches()])
    assert rows.tolist() == list(range(10)) and targets.tolist() == source.targets.tolist()
    features = np.concatenate([batch.values[0] for batch in loader.batches()])
    np.testing.assert_array_equal(features, records.read(np.arange(10))[0])
