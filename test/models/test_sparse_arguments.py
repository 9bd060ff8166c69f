"""What does not fit is refused at the door, with one clear line; spconv's forms of arguments are taken."""

import numpy as np
import pytest
import torch
from torch import nn

from mlreco.sparse import SparseConv3d, SparseConvTensor, SparseInverseConv3d, SubMConv3d, UNetEncoder
from mlreco.sparse.cpu import kernels as backend
from mlreco.sparse.cpu.ops import normalisation
from mlreco.sparse.cpu.ops.convolution import Source, convolve
from mlreco.sparse.cpu.ops.epilogue import Activation, Epilogue
from mlreco.sparse.cpu.ops.normalisation import Norm, Running
from mlreco.sparse.cpu.ops.panels import pack
from mlreco.sparse.cpu.ops.weight_gradient import weight_gradient
from mlreco.sparse.maps.kernel_map import keys_from_coordinates, submanifold_map

SITES = [(0, 0, 0, 0), (0, 1, 1, 1), (1, 7, 7, 7)]


def tensor(sites=SITES, shape=(8, 8, 8), batch_size=2, features=None, dtype=torch.int32):
    indices = torch.tensor(sites, dtype=dtype)
    return SparseConvTensor(torch.ones(len(sites), 2) if features is None else features, indices, shape, batch_size)


@pytest.mark.parametrize("size", [3, (3, 3, 3), [3, 3, 3], torch.Size([3, 3, 3]), np.int64(3)], ids=str)
def test_sizes_may_be_given_as_spconv_takes_them(size):
    torch.manual_seed(0)
    expected = SubMConv3d(2, 4, 3)
    layer = SubMConv3d(2, 4, size, stride=(1, 1, 1), padding=[1, 1, 1], dilation=1)
    layer.load_state_dict(expected.state_dict())
    assert torch.equal(layer(tensor()).features, expected(tensor()).features)
    down = SparseConv3d(2, 2, size, stride=[2, 2, 2], padding=(1, 1, 1), indice_key="d")
    up = SparseInverseConv3d(2, 2, size, "d")
    assert (down.kernel_size, down.stride, down.padding, up.kernel_size) == (3, 2, 1, 3)
    assert len(up(down(tensor())).features) == 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SubMConv3d(2, 2, (3, 3, 1)), r"kernel_size must be one number, or three equal ones, not \(3, 3, 1\)"),
        (lambda: SubMConv3d(2, 2, [3, 3]), "kernel_size must be one number"),
        (lambda: SubMConv3d(2, 2, 3.0), "kernel_size must be an integer, not 3.0"),
        (lambda: SubMConv3d(2, 2, "3"), "kernel_size must be an integer"),
        (lambda: SubMConv3d(2, 2, True), "kernel_size must be an integer"),
        (lambda: SubMConv3d(2, 2, 0), "kernel_size must be an integer of at least 1"),
        (lambda: SubMConv3d(0, 2, 3), "in_channels must be an integer of at least 1"),
        (lambda: SubMConv3d(2, -1, 3), "out_channels must be an integer of at least 1"),
        (lambda: SparseConv3d(2, 2, 2, stride=0), "stride must be an integer of at least 1"),
        (lambda: SparseConv3d(2, 2, 2, stride=(2, 2, 1)), "stride must be one number"),
        (lambda: SparseConv3d(2, 2, 2, padding=-1), "padding must be an integer of at least 0"),
        (lambda: SubMConv3d(2, 2, 3, stride=(2, 2, 2)), r"stride=\(2, 2, 2\) is not supported, only 1"),
    ],
)
def test_layers_that_there_are_not_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tensor([(0, 8, 0, 0)]), r"site \(8, 0, 0\) of image 0 lies outside: images are 8 x 8 x 8 sites"),
        (lambda: tensor([(0, 0, 0, 0), (2, 1, 1, 1)]), r"site \(1, 1, 1\) of image 2 .* there are 2 in the batch"),
        (lambda: tensor([(0, 0, -1, 0)]), r"site \(0, -1, 0\)"),
        (lambda: tensor([(-1, 0, 0, 0)]), "of image -1"),
        (lambda: tensor(batch_size=0), "there are 0 in the batch"),
        (lambda: tensor(batch_size=-1), "batch_size must be an integer of at least 0, not -1"),
        (lambda: tensor(batch_size=1.5), "batch_size must be an integer, not 1.5"),
        (lambda: tensor(shape=(8, 8, 8.5)), "spatial_shape must be an integer, not 8.5"),
        (lambda: tensor(shape=8), "spatial_shape must be three integers"),
        (lambda: tensor(features=torch.ones(len(SITES), 2).to_sparse()), "must be a dense table of the sites"),
        (lambda: tensor(features=np.ones((len(SITES), 2))), "features and indices must be tensors"),
        (lambda: UNetEncoder(2, 4, 3)(tensor([(0, 0, 0, 0)], (8, 6, 8))), r"give it the spatial shape \[8, 8, 8\]"),
        (lambda: UNetEncoder(3, 4, 3).eval()(tensor()), "takes 3 features a site, the image has 2"),
        (lambda: tensor(shape=(8, 8)), "spatial_shape must be three integers of at least 1"),
        (lambda: tensor(shape=(8, 8, 0)), "spatial_shape must be an integer of at least 1, not 0"),
        (lambda: tensor(dtype=torch.float32), r"indices must be \(N, 4\) integers, not \(3, 4\) of torch.float32"),
        (lambda: tensor(features=torch.ones(2, 2)), r"features must be \(3, C\) floating point .* not \(2, 2\)"),
        (lambda: tensor(features=torch.ones(3)), "features must be"),
        (lambda: tensor(features=torch.ones(3, 2, dtype=torch.int64)), "not .* of torch.int64"),
        (lambda: tensor().replace_feature(torch.ones(4, 2)), r"features must be \(3, C\)"),
        (lambda: SubMConv3d(4, 2, 3)(tensor()), "SubMConv3d takes 4 features a site, the image has 2"),
        (
            lambda: SparseConv3d(2, 2, 2, 2)(tensor([(0, 0, 0, 0)], (1, 1, 1))),
            "a kernel of 2 .* image of 1 x 1 x 1",
        ),
        (
            lambda: SparseConv3d(2, 2, 3, 2)(tensor([(0, 0, 0, 0)], (8, 2, 8))),
            "a kernel of 3 .* image of 8 x 2 x 8",
        ),
    ],
)
@pytest.mark.parametrize("records", [False, True])
def test_images_and_layers_that_do_not_fit_are_refused(make, message, records):
    with torch.set_grad_enabled(records), pytest.raises(ValueError, match=message):
        make()


@torch.no_grad()
@pytest.mark.parametrize("name", ["weight", "bias"])
def test_parameters_of_another_shape_are_refused(name):
    layer = SubMConv3d(2, 4, 3)
    setattr(layer, name, nn.Parameter(getattr(layer, name)[:1].clone()))
    with pytest.raises(ValueError, match=f"the {name} of SubMConv3d.* has the shape"):
        layer(tensor())


def test_every_integer_type_holds_sites():
    expected = SubMConv3d(2, 2, 3)
    found = [expected(tensor(dtype=d)).features for d in (torch.int64, torch.int32, torch.int16, torch.uint8)]
    assert all(torch.equal(features, found[0]) for features in found)


def floats(*shape):
    return torch.ones(shape)


def problem():
    kernel_map = submanifold_map(keys_from_coordinates(np.array(SITES)))
    return kernel_map, floats(3, 5), pack(floats(27, 5, 4))


def convolve_with(**changes):
    kernel_map, x, panels = problem()
    arguments = {"sources": [Source(x, panels)], "out": floats(3, 4), "active": None, "shortcuts": ()}
    epilogue = {"bias": None, "residual": None, "activation": None, "moments": None}
    for name, value in changes.items():
        (arguments if name in arguments else epilogue)[name] = value
    convolve(**arguments, kernel_map=kernel_map, epilogue=Epilogue(**epilogue))


def activation(columns):
    return Activation(np.ones(columns, np.float32), np.zeros(columns, np.float32), 0.33)


NORM = Norm(floats(4), floats(4), 1e-4, 0.33)


@pytest.mark.parametrize(
    "call",
    {
        "rows of the input": lambda: convolve_with(sources=[Source(floats(2, 5), problem()[2])]),
        "channels of the input": lambda: convolve_with(sources=[Source(floats(3, 4), problem()[2])]),
        "rows of the output": lambda: convolve_with(out=floats(2, 4)),
        "columns of the output": lambda: convolve_with(out=floats(3, 3)),
        "activated output": lambda: convolve_with(active=floats(3, 3), activation=activation(4)),
        "activated output without activation": lambda: convolve_with(active=floats(3, 4)),
        "bias": lambda: convolve_with(bias=floats(3)),
        "residual": lambda: convolve_with(residual=floats(2, 4)),
        "activation": lambda: convolve_with(active=floats(3, 4), activation=activation(3)),
        "moments": lambda: convolve_with(moments=floats(11)),
        "rows of a shortcut": lambda: convolve_with(shortcuts=[Source(floats(2, 5), pack(floats(1, 5, 4)))]),
        "offsets of a shortcut": lambda: convolve_with(shortcuts=[Source(floats(3, 5), problem()[2])]),
        "weight of two dimensions": lambda: pack(floats(5, 4)),
        "double precision": lambda: convolve_with(out=floats(3, 4).double()),
        "strides": lambda: convolve_with(out=floats(4, 3).T),
        "rows of x": lambda: weight_gradient(floats(2, 5), floats(3, 4), problem()[0]),
        "rows of the gradient": lambda: weight_gradient(floats(3, 5), floats(4, 4), problem()[0]),
        "backward rows": lambda: backend.conv_backward(floats(3, 5), floats(2, 4), floats(27, 5, 4), problem()[0]),
        "backward features": lambda: backend.conv_backward(floats(4, 5), floats(3, 4), floats(27, 5, 4), problem()[0]),
        "activated rows": lambda: normalisation.activate(floats(3, 4), activation(4), floats(2, 4)),
        "activated columns": lambda: normalisation.activate(floats(3, 4), activation(3), floats(3, 4)),
        "normalised rows": lambda: normalisation.normalise(floats(3, 4), NORM, floats(2, 4)),
        "no rows": lambda: normalisation.normalise(floats(0, 4), NORM, floats(0, 4)),
        "one row moves nothing": lambda: normalisation.normalise(
            floats(1, 4), NORM, floats(1, 4), running=Running(floats(4), floats(4), 0.1)
        ),
        "sums of chunks": lambda: normalisation.normalise(floats(3, 4), NORM, floats(3, 4), sums=floats(11)),
        "running": lambda: normalisation.normalise(
            floats(3, 4), NORM, floats(3, 4), running=Running(floats(3), floats(4), 0.1)
        ),
        "gradient of a norm": lambda: normalisation.gradients(
            floats(3, 4), floats(2, 4), normalisation.Moments(torch.ones(2, 4, dtype=torch.float64)), NORM, floats(3, 4)
        ),
        "moments of a norm": lambda: normalisation.gradients(
            floats(3, 4), floats(3, 4), normalisation.Moments(torch.ones(2, 3, dtype=torch.float64)), NORM, floats(3, 4)
        ),
        "beside a gradient": lambda: normalisation.gradients(
            floats(3, 4),
            floats(3, 4),
            normalisation.Moments(torch.ones(2, 4, dtype=torch.float64)),
            NORM,
            floats(3, 4),
            beside=floats(3, 3),
        ),
    }.items(),
    ids=lambda case: case[0],
)
def test_kernels_are_given_nothing_that_does_not_fit(call):
    with pytest.raises(ValueError):
        call[1]()
