"""A small network overfits a few events with every mask loss: what is minimised is what is wanted."""

import numpy as np
import pytest
import torch

from mlreco.models.chain import Chain, ChainLoss
from mlreco.models.losses import MASK_LOSSES
from mlreco.post_processing import GreedyClusterer
from mlreco.post_processing.metrics import adjusted_rand_index
from mlreco.voxels import ImageMeta, VoxelBatch

EDGE, EVENTS, TRACKS, STEPS = 32, 4, 4, 90


def make_events(seed=0):
    """Straight tracks of two classes, which may touch; rows are sorted and no voxel occurs twice."""
    rng = np.random.default_rng(seed)
    tables = []
    for event in range(EVENTS):
        sites = {}
        for track in range(TRACKS):
            start, end = rng.uniform(0, EDGE - 1, (2, 3))
            for place in np.linspace(start, end, 60):
                sites.setdefault(tuple(np.round(place).astype(int)), (track, 1 + track % 2))
        tables.append([(event, *site, *label) for site, label in sorted(sites.items())])
    rows = torch.tensor(np.concatenate(tables))
    counts, metas = tuple(len(table) for table in tables), (ImageMeta((EDGE,) * 3),) * EVENTS

    def table(column, name):
        values = torch.ones(len(rows), 1) if column is None else rows[:, column : column + 1].float()
        return VoxelBatch(rows[:, :4], values, (name,), counts, metas)

    return {
        "input_data": table(None, "value"),
        "segment_label": table(5, "value"),
        "cluster_label": table(4, "cluster"),
    }


@pytest.mark.parametrize("name", MASK_LOSSES)
def test_training_reaches_the_true_instances(name):
    batch = make_events()
    modules = {"spice": {"filters": 8, "depth": 4, "semantics": "true"}, "spice_loss": {"mask_loss": name}}
    inputs = {"network_input": ["input_data"], "loss_input": ["segment_label", "cluster_label"]}
    model = {"modules": modules, **inputs}
    torch.manual_seed(0)
    chain, loss = Chain.from_config(model), ChainLoss.from_config(model)
    optimizer = torch.optim.Adam(chain.parameters(), 5e-3)
    for _ in range(STEPS):
        products = chain(batch)
        optimizer.zero_grad()
        loss(products, products["labels"])["loss"].backward()
        optimizer.step()
    chain.eval()
    with torch.no_grad():
        products = chain(batch)
    arrays = [products[key].numpy() for key in ("embeddings", "margins", "seediness")]
    coordinates, semantics = batch["input_data"].coordinates, batch["segment_label"].features[:, 0]
    scores = []
    for event in range(EVENTS):
        for number in semantics.unique():
            rows = ((coordinates[:, 0] == event) & (semantics == number)).numpy()
            truth = batch["cluster_label"].features[:, 0].numpy()[rows].astype(int)
            labels = GreedyClusterer(0.5, 0.3).fit_predict(*(values[rows] for values in arrays))
            scores.append(adjusted_rand_index(truth, labels))
    assert np.mean(scores) > 0.95
