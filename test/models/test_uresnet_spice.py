"""Class and embedding from one network: its decoders, its products, its loss."""

import pytest
import torch
from conftest import make_batch

from mlreco.errors import UserError
from mlreco.models.chain import Chain, ChainLoss
from mlreco.models.losses import SegmentationLoss, SpiceLoss
from mlreco.models.network_input import sparse_image
from mlreco.semantics import PILARNET
from mlreco.sparse import PLAIN, UNetDecoder, UNetEncoder, level_channels, use_engine

PRODUCTS = ("segmentation", "embeddings", "margins", "seediness")
NETWORK = {"filters": [4, 6, 8, 8], "depth": 4, "own_levels": 2, "reps": 1, "decoder_reps": {"segmentation": 2}}
LOSS = {"segmentation_weight": 3.0, "class_weights": {"Delta": 2.0}, "spice": {"mask_loss": "bce"}}


def model_section(**network):
    return {
        "class_scheme": "pilarnet",
        "modules": {"uresnet_spice": {**NETWORK, **network}, "uresnet_spice_loss": LOSS},
        "network_input": ["input_data"],
        "loss_input": ["segment_label", "cluster_label"],
    }


def build(**network):
    torch.manual_seed(0)
    return Chain.from_config(model_section(**network))


def test_a_decoder_that_ends_early_and_one_that_goes_on_are_the_whole_decoder():
    torch.manual_seed(0)
    encoder, whole = UNetEncoder(4, 4, 4, 1).eval(), UNetDecoder(4, 4, 1).eval()
    coarse, fine = UNetDecoder(4, 4, 1, finest=2).eval(), UNetDecoder(4, 3, 1).eval()
    for name, module in coarse.named_children():
        module.load_state_dict(_shifted(getattr(whole, name).state_dict(), 2))
    for name, module in fine.named_children():
        own = module.state_dict()
        module.load_state_dict({k: v for k, v in getattr(whole, name).state_dict().items() if k in own})
    image = sparse_image(make_batch([80, 40])["input_data"], 4)
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            levels = encoder(image)
            parted = fine([*levels[:2], coarse(levels[2:])])
            torch.testing.assert_close(parted.features, whole(levels).features)


def _shifted(state, by):
    """The state of a list of modules without its first ones."""
    numbered = {key.partition(".")[::2]: value for key, value in state.items()}
    return {f"{int(number) - by}.{rest}": value for (number, rest), value in numbered.items() if int(number) >= by}


@pytest.mark.parametrize("finest", [-1, 3])
def test_a_decoder_ends_at_one_of_its_levels(finest):
    with pytest.raises(ValueError, match="cannot end at level"):
        UNetDecoder(4, 3, finest=finest)


def test_features_of_every_level_can_be_given():
    assert level_channels(4, 3) == [4, 8, 12]
    assert level_channels([4, 6, 6], 3) == [4, 6, 6]
    with pytest.raises(ValueError, match="are those of 2 levels, and depth is 3"):
        level_channels([4, 6], 3)
    with pytest.raises(ValueError, match="at least 1"):
        level_channels([4, 0], 2)


@torch.no_grad()
def test_inference_equals_the_plain_engine():
    chain, batch = build().eval(), make_batch([200, 0, 60])
    found = chain(batch)
    with use_engine(PLAIN):
        expected = chain(batch)
    for name in PRODUCTS:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-4)
    assert torch.equal(found["semantics"], found["segmentation"].argmax(1))


def test_true_classes_are_taken_where_they_are_asked_for():
    batch = make_batch([50])
    with torch.no_grad():
        products = build(semantics=True).eval()(batch)
    assert torch.equal(products["semantics"], products["labels"].semantics)


@torch.no_grad()
def test_further_dimensions_follow_those_that_hold_the_position():
    chain, batch = build(dimensions=5).eval(), make_batch([200, 60])
    found = chain(batch)
    offsets = found["embeddings"][:, :3] - found["image"].features[:, :3]
    assert found["embeddings"].shape == (260, 5) and (offsets.abs() < 1).all()
    assert (found["embeddings"][:, 3:].abs() < 1).all()
    network, head = chain.stages["uresnet_spice"], chain.stages["uresnet_spice"].embedding_head
    less = build().eval()
    states = {name: value for name, value in network.state_dict().items() if not name.startswith("embedding_head")}
    less.stages["uresnet_spice"].load_state_dict(states, strict=False)
    for name, value in less.stages["uresnet_spice"].embedding_head.state_dict().items():
        value.copy_(head.state_dict()[name][: len(value)] if value.shape else head.state_dict()[name])
    expected = less(batch)
    torch.testing.assert_close(found["embeddings"][:, :3], expected["embeddings"])
    torch.testing.assert_close(found["margins"], expected["margins"])


def test_the_loss_is_the_weighted_sum_of_means_over_events():
    chain, batch = build(), make_batch([60, 0, 30])
    products = chain(batch)
    labels, events = products["labels"], products["image"].indices[:, 0]
    section = model_section()
    found = ChainLoss.from_config(section)(products, labels)
    segmentation, spice = SegmentationLoss(PILARNET, {"Delta": 2.0}), SpiceLoss(PILARNET, "bce")
    expected = 0.0
    for event in (0, 2):
        rows = events == event
        expected += 3.0 * segmentation(products["segmentation"][rows], labels.semantics[rows])["loss"]
        outputs = [products[name][rows] for name in PRODUCTS[1:]]
        expected += spice(*outputs, events[rows], labels.semantics[rows], labels.instances[rows])["loss"]
    torch.testing.assert_close(found["loss"], expected / 2)


def test_events_without_an_instance_count_in_the_mean():
    batch = make_batch([60, 30])
    cluster = batch["cluster_label"]
    cluster.features[cluster.coordinates[:, 0] == 1, 0] = -1
    chain = build()
    products = chain(batch)
    labels = products["labels"]
    loss = ChainLoss.from_config(model_section()).losses["uresnet_spice"]
    found = loss(products, labels)
    events = products["image"].indices[:, 0]
    alone = loss.spice(*[products[n] for n in PRODUCTS[1:]], events, labels.semantics, labels.instances)["loss"]
    torch.testing.assert_close(found["spice_loss"], alone / 2)


@pytest.mark.parametrize("dimensions", [3, 5])
def test_every_parameter_learns(dimensions):
    chain, batch = build(dimensions=dimensions), make_batch([60, 30])
    products = chain(batch)
    ChainLoss.from_config(model_section())(products, products["labels"])["loss"].backward()
    still = [name for name, parameter in chain.named_parameters() if parameter.grad is None]
    assert not still
    last = [p.grad for p in chain.stages["uresnet_spice"].embedding_head.parameters()][-1]
    assert (last != 0).all(), "each dimension and the margin have an effect on the loss"


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"dimensions": 2}, "dimensions is 2; it is 3 or more"),
        ({"own_levels": 4}, "own_levels is 4; it is 1 to 3"),
        ({"own_levels": 0}, "own_levels is 0"),
        ({"decoder_reps": {"segmentations": 1}}, "did you mean 'segmentation'"),
        ({"semantics": "perhaps"}, "semantics is 'perhaps'; valid: predicted, true"),
        ({"filters": [4, 6]}, "those of 2 levels, and depth is 4"),
    ],
)
def test_mistakes_are_told(network, message):
    with pytest.raises(UserError, match=message):
        build(**network)
