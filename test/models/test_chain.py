"""The chain: what it checks, what its output does not depend on, its labels and frozen parts."""

import copy
from dataclasses import replace

import pytest
import torch
from conftest import make_batch, select_events

from mlreco.errors import UserError
from mlreco.models.chain import Chain, ChainLoss
from mlreco.models.factories import construct
from mlreco.models.labels import labels_from
from mlreco.models.loss_terms import LossTerms

PRODUCTS = ("segmentation", "embeddings", "margins", "seediness")


@pytest.fixture
def chain(model_config):
    torch.manual_seed(0)
    chain = Chain.from_config(model_config)
    for seed in range(3):  # running statistics that are not those of initialisation
        chain.train()(make_batch([120, 80], seed=10 + seed))
    return chain.eval()


@torch.no_grad()
def run(chain, batch):
    return {name: value for name, value in chain(batch).items() if name in PRODUCTS}


def assert_close(found, expected):
    for name in PRODUCTS:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-6)


def test_products_have_the_rows_and_ranges_of_the_contract(chain):
    batch = make_batch([100, 50])
    products = chain(batch)
    assert products["segmentation"].shape == (150, 5)
    assert products["embeddings"].shape == (150, 3)
    assert products["margins"].shape == products["seediness"].shape == (150,)
    assert (products["margins"] > 0).all() and (products["margins"] < 2).all()
    assert (products["seediness"] > 0).all() and (products["seediness"] < 1).all()
    assert torch.equal(products["semantics"], products["segmentation"].argmax(1))


def test_output_does_not_depend_on_the_order_of_rows(chain):
    batch = make_batch([100, 50])
    voxels = batch["input_data"]
    order = torch.randperm(len(voxels), generator=torch.Generator().manual_seed(3))
    shuffled = replace(voxels, coordinates=voxels.coordinates[order], features=voxels.features[order])
    expected = {name: value[order] for name, value in run(chain, batch).items()}
    assert_close(run(chain, {**batch, "input_data": shuffled}), expected)


def test_output_does_not_depend_on_the_order_of_events(chain):
    batch = make_batch([100, 50, 70])
    straight = run(chain, batch)
    swapped = run(chain, select_events(batch, [2, 0, 1]))
    pieces = {name: value.split([100, 50, 70]) for name, value in straight.items()}
    assert_close(swapped, {name: torch.cat([p[2], p[0], p[1]]) for name, p in pieces.items()})


def test_output_does_not_depend_on_the_rest_of_the_batch(chain):
    batch = make_batch([100, 0, 50, 1])
    together = run(chain, batch)
    for number, rows in ((0, slice(0, 100)), (2, slice(100, 150)), (3, slice(150, 151))):
        alone = run(chain, select_events(batch, [number]))
        assert_close(alone, {name: value[rows] for name, value in together.items()})


def test_an_event_keeps_its_own_image_size_in_a_mixed_batch(chain):
    small, large = make_batch([60], shape=(32, 48, 64)), make_batch([60], seed=1, shape=(96, 96, 96))
    mixed = {}
    for name in small:
        moved = large[name].coordinates.clone()
        moved[:, 0] = 1
        mixed[name] = replace(
            small[name],
            coordinates=torch.cat([small[name].coordinates, moved]),
            features=torch.cat([small[name].features, large[name].features]),
            counts=(60, 60),
            metas=small[name].metas + large[name].metas,
        )
    expected = [run(chain, small), run(chain, large)]
    assert_close(run(chain, mixed), {name: torch.cat([e[name] for e in expected]) for name in PRODUCTS})


@pytest.mark.parametrize("sizes", [[0], [1], [0, 0], [1, 0, 1]])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_empty_events_and_single_voxels_pass(chain, model_config, sizes, mode):
    chain.train(mode == "train")
    batch = make_batch(sizes)
    products = chain(batch)
    assert all(len(products[name]) == sum(sizes) for name in PRODUCTS)
    terms = ChainLoss.from_config(model_config)(products, products["labels"])
    assert torch.isfinite(terms["loss"])
    terms["loss"].backward()
    assert all(torch.isfinite(p.grad).all() for p in chain.parameters() if p.grad is not None)


def test_runs_without_labels(chain):
    batch = make_batch([40])
    products = chain({"input_data": batch["input_data"]})
    assert products["labels"].semantics is None and products["labels"].instances is None


def test_a_loss_without_its_labels_names_what_is_missing(chain, model_config):
    batch = make_batch([40])
    del batch["cluster_label"]
    products = chain(batch)
    with pytest.raises(UserError, match=r"spice needs true instances.*parse_cluster3d_clean_full.*model.loss_input"):
        ChainLoss.from_config(model_config)(products, products["labels"])


def test_true_semantics_are_those_of_the_labels(model_config):
    model_config["modules"]["spice"]["semantics"] = True
    chain = Chain.from_config(model_config)
    batch = make_batch([40, 20])
    products = chain(batch)
    assert torch.equal(products["semantics"], products["labels"].semantics)
    with pytest.raises(UserError, match="true semantic classes"):
        chain({"input_data": batch["input_data"]})


def test_labels_find_their_rows_by_coordinates():
    batch = make_batch([30, 20])
    voxels, table = batch["input_data"], batch["cluster_label"]
    known = {tuple(site): row for site, row in zip(table.coordinates.tolist(), table.features.tolist(), strict=True)}
    labels = labels_from(batch, voxels, ["cluster_label"])
    expected = [known[tuple(site)] for site in voxels.coordinates.tolist()]
    assert labels.instances.tolist() == [row[0] for row in expected]
    assert labels.semantics.tolist() == [row[1] for row in expected]
    kept = table.coordinates[:, 3] % 2 == 0
    half = replace(table, coordinates=table.coordinates[kept], features=table.features[kept])
    labels = labels_from({**batch, "cluster_label": half}, voxels, ["cluster_label"])
    odd = voxels.coordinates[:, 3] % 2 == 1
    assert (labels.instances[odd] == -1).all() and (labels.instances[~odd] >= 0).all()


def test_stages_run_after_those_they_depend_on(model_config):
    modules = model_config["modules"]
    model_config["modules"] = {"spice": modules["spice"], "uresnet": modules["uresnet"]}
    assert list(Chain.from_config(model_config).stages) == ["uresnet", "spice"]


def test_a_missing_producer_is_named(model_config):
    del model_config["modules"]["uresnet"]
    with pytest.raises(UserError, match=r"model.modules.spice requires 'segmentation', which no stage"):
        Chain.from_config(model_config)


def test_an_unknown_argument_of_a_stage_is_named(model_config):
    model_config["modules"]["spice"]["dept"] = 3
    with pytest.raises(UserError, match=r"model.modules.spice: .*'dept'"):
        Chain.from_config(model_config)


def test_an_unknown_stage_is_named():
    with pytest.raises(UserError, match="no model 'spicy'; did you mean 'spice'"):
        construct("spicy")


def test_frozen_parts_keep_weights_and_statistics_through_training_and_validation(chain, model_config):
    chain.freeze(["spice.seediness_decoder", "spice.seediness_head"])
    before = copy.deepcopy(chain.state_dict())
    optimizer = torch.optim.Adam([p for p in chain.parameters() if p.requires_grad], lr=0.1)
    loss = ChainLoss.from_config(model_config)
    for mode in (True, False, True):  # a validation pass between two training steps
        chain.train(mode)
        products = chain(make_batch([90, 30], seed=7))
        terms = loss(products, products["labels"])
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
    after = chain.state_dict()
    for name, value in before.items():
        if "seediness" in name:
            assert torch.equal(after[name], value), name
    moved = [name for name, value in before.items() if not torch.equal(after[name], value)]
    assert any("embedding_decoder" in name for name in moved) and any("running_mean" in name for name in moved)


def test_freezing_an_unknown_module_is_an_error(chain):
    with pytest.raises(UserError, match=r"cannot freeze 'spice.seediness'.*did you mean 'spice.seediness_\w+'"):
        chain.freeze(["spice.seediness"])


def test_chain_loss_is_the_sum_of_the_stages(chain, model_config):
    products = chain(make_batch([90, 30]))
    terms = ChainLoss.from_config(model_config)(products, products["labels"])
    torch.testing.assert_close(terms["loss"], terms["uresnet_loss"] + terms["spice_loss"])


class TestTermsOfAStage:
    """What the loss of somebody's own stage returns."""

    def test_numbers_are_scalars(self):
        own = LossTerms({"loss": torch.ones(()), "accuracy": 0.5}, {"accuracy": 7})
        terms = LossTerms.joined({"mine": own, "other": {"loss": torch.zeros(())}})
        assert all(value.shape == () for value in (*terms.values(), *terms.weights.values()))
        assert {name: value.item() for name, value in terms.items()} == {
            "mine_loss": 1.0,
            "mine_accuracy": 0.5,
            "other_loss": 0.0,
        }
        assert {name: weight.item() for name, weight in terms.weights.items()} == {"mine_accuracy": 7.0}

    @pytest.mark.parametrize(
        ("terms", "message"),
        [
            (torch.ones(()), "the loss of mine must return a mapping of scalars in which 'loss' is a tensor"),
            ({"accuracy": torch.ones(())}, "in which 'loss' is a tensor"),
            ({"loss": 1.0}, "in which 'loss' is a tensor"),
            ({"loss": torch.ones(3)}, r"'loss' must be a scalar, not a tensor of shape \(3,\); take its mean"),
            ({"loss": torch.ones(()), "accuracy": "high"}, "'accuracy' must be a scalar, not a str"),
            (LossTerms({"loss": torch.ones(())}, {"loss": torch.ones(2)}), r"weight of 'loss' must be a scalar"),
            (LossTerms({"loss": torch.ones(())}, {"los": 2}), "a weight for 'los', but no such term"),
        ],
    )
    def test_anything_else_is_named(self, terms, message):
        with pytest.raises(UserError, match=message):
            LossTerms.joined({"mine": terms})
