"""Post-processing of a batch before it is copied to the host gives what post-processing event by event gives."""

import numpy as np
import pytest
import torch
from test_inference import infer, make_event, weights, write  # noqa: F401

from mlreco.errors import UserError
from mlreco.inference.on_device import process_batch, remaining
from mlreco.iotools import HDF5Reader
from mlreco.post_processing.factories import build_post_processors
from mlreco.semantics import PILARNET
from mlreco.sparse import SparseConvTensor

ENGINE = "post_processing.greedy_clusterer.engine="


def events_of(path):
    with HDF5Reader(path) as reader:
        return list(reader)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_output_is_that_of_the_host(tmp_path, weights, batch_size):  # noqa: F811
    source = write(tmp_path / "in.h5", [make_event(50, 1), make_event(0), make_event(1, 2), make_event(300, 3)])
    for engine in ("numba", "torch"):
        infer(source, tmp_path / f"{engine}.h5", weights, f"iotool.batch_size={batch_size}", ENGINE + engine)
    for host, device in zip(events_of(tmp_path / "numba.h5"), events_of(tmp_path / "torch.h5"), strict=True):
        assert host.keys() == device.keys()
        for name in host.keys() - {"times"}:
            assert host[name].dtype == device[name].dtype
            assert host[name].shape == device[name].shape, name
            assert host[name].tobytes() == device[name].tobytes(), name
        assert (device["times"] > 0).all()


def test_an_unknown_engine_is_told(tmp_path, weights):  # noqa: F811
    source = write(tmp_path / "in.h5", [make_event(5)])
    with pytest.raises(UserError, match="greedy_clusterer: engine is 'trch'; did you mean 'torch'"):
        infer(source, tmp_path / "out.h5", weights, ENGINE + "trch")


def products_of(rows):
    indices = torch.zeros(rows, 4, dtype=torch.int64)
    return {
        "image": SparseConvTensor(torch.zeros(rows, 1), indices, (8, 8, 8), 1),
        "semantics": torch.zeros(rows, dtype=torch.int64),
        "embeddings": torch.zeros(rows, 3),
        "margins": torch.ones(rows),
        "seediness": torch.ones(rows),
    }


def processors_of(**config):
    return build_post_processors(config, PILARNET)


def test_only_processors_that_come_first_take_the_batch():
    greedy, after = {"greedy_clusterer": {"engine": "torch"}}, {"dbscan": {}}
    products = products_of(4)
    assert list(process_batch(processors_of(**greedy, **after), products, 1, PILARNET)) == ["fragments"]
    assert process_batch(processors_of(**after, **greedy), products, 1, PILARNET) == {}
    assert process_batch(processors_of(greedy_clusterer={"engine": "auto"}), products, 1, PILARNET) == {}
    del products["semantics"]
    assert process_batch(processors_of(**greedy), products, 1, PILARNET) == {}


def test_a_bad_event_is_left_to_the_turn_that_can_name_it():
    processors = processors_of(greedy_clusterer={"engine": "torch"}, dbscan={})
    products = products_of(4)
    assert [type(p).__name__ for p in remaining(processors, {"fragments": 0})] == ["DbscanFragments"]
    products["seediness"][1] = torch.nan
    assert process_batch(processors, products, 1, PILARNET) == {}
    event = {name: tensor.numpy() for name, tensor in products.items() if name != "image"}
    event["event_id"] = np.array([[7, 8, 9]])
    assert remaining(processors, event) == processors
    with pytest.raises(UserError, match="run 7 subrun 8 event 9: seediness hold nan in row 1"):
        processors[0](event, PILARNET)
