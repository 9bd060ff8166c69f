"""Slow, obvious versions of what the CPU engine computes, in float64 and Python loops."""

import itertools

import numpy as np
import torch


def random_sites(rng, events, voxels, shape):
    """Distinct sites (N, 4) int64 in ascending order, about ``voxels`` in each event."""
    parts = []
    for event in range(events):
        sites = np.unique(rng.integers(0, shape, size=(voxels, 3)), axis=0)
        parts.append(np.column_stack([np.full(len(sites), event), sites]))
    return np.concatenate(parts).astype(np.int64) if parts else np.zeros((0, 4), np.int64)


def submanifold_pairs(sites, size):
    """For every offset, the list of (input row, output row)."""
    row_of = {tuple(site): row for row, site in enumerate(sites.tolist())}
    pairs = []
    for offset in itertools.product(range(size), repeat=3):
        found = []
        for row, (batch, *place) in enumerate(sites.tolist()):
            neighbour = (batch, *(p + o - size // 2 for p, o in zip(place, offset, strict=True)))
            if neighbour in row_of:
                found.append((row_of[neighbour], row))
        pairs.append(found)
    return pairs


def strided_pairs(sites, size, stride, padding, shape=None):
    """For every offset, the list of (input row, output row), and the output sites."""
    reached = []
    for offset in itertools.product(range(size), repeat=3):
        found = []
        for row, (batch, *place) in enumerate(sites.tolist()):
            steps = [divmod(p + padding - o, stride) for p, o in zip(place, offset, strict=True)]
            site = tuple(step for step, _ in steps)
            limits = shape or (float("inf"),) * 3
            if all(rest == 0 for _, rest in steps) and all(0 <= s < n for s, n in zip(site, limits, strict=True)):
                found.append((row, (batch, *site)))
        reached.append(found)
    coarse = sorted({site for found in reached for _, site in found})
    row_of = {site: row for row, site in enumerate(coarse)}
    pairs = [sorted(((row, row_of[site]) for row, site in found), key=lambda pair: pair[1]) for found in reached]
    return pairs, np.array(coarse, dtype=np.int64).reshape(-1, 4)


def pairs_of(kernel_map):
    """The pairs of a kernel map in the form of the functions above."""
    bounds = kernel_map.starts.tolist()
    return [
        list(zip(kernel_map.in_rows[a:b].tolist(), kernel_map.out_rows[a:b].tolist(), strict=True))
        for a, b in itertools.pairwise(bounds)
    ]


def forward(x, weight, kernel_map):
    """Output (n_out, Cout) of the weight (K, Cin, Cout) in float64."""
    out = np.zeros((kernel_map.n_out, weight.shape[2]))
    for k, pairs in enumerate(pairs_of(kernel_map)):
        for source, target in pairs:
            out[target] += x[source].astype(np.float64) @ weight[k].astype(np.float64)
    return out


def input_gradient(grad, weight, kernel_map):
    """Gradient (n_in, Cin) of the input in float64."""
    gradient = np.zeros((kernel_map.n_in, weight.shape[1]))
    for k, pairs in enumerate(pairs_of(kernel_map)):
        for source, target in pairs:
            gradient[source] += weight[k].astype(np.float64) @ grad[target].astype(np.float64)
    return gradient


def weight_gradient(x, grad, kernel_map):
    """Gradient (K, Cin, Cout) of the weight in float64."""
    gradient = np.zeros((len(kernel_map.starts) - 1, x.shape[1], grad.shape[1]))
    for k, pairs in enumerate(pairs_of(kernel_map)):
        for source, target in pairs:
            gradient[k] += np.outer(x[source].astype(np.float64), grad[target].astype(np.float64))
    return gradient


def dense_convolution(x, sites, weight, size, stride, padding, shape, batch):
    """conv3d of the dense image in float64, (B, Cout, X, Y, Z), with autograd through x and weight."""
    image = torch.zeros(batch, x.shape[1], *shape, dtype=torch.float64)
    b, i, j, k = torch.from_numpy(sites).unbind(1)
    image = image.permute(0, 2, 3, 4, 1).index_put((b, i, j, k), x).permute(0, 4, 1, 2, 3)
    kernel = weight.reshape(size, size, size, *weight.shape[1:]).permute(4, 3, 0, 1, 2)
    return torch.nn.functional.conv3d(image, kernel, stride=stride, padding=padding)


def assert_close(ours, reference, scale):
    """Float32 sums of terms whose absolute values add up to ``scale``: their error is a few units in the last place."""
    assert np.abs(np.asarray(ours, np.float64) - reference).max(initial=0) <= 4e-7 * max(scale, 1e-30)
