"""The message passing in compiled passes over the rows of one event: for a CPU without gradients.

A block of rows goes through several layers while it is in the first-level cache. Every sum over channels depends on its
own row alone, and sums over pairs are added up in the order of the pairs: results do not depend on the batch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mlreco.compiled import compiled
from mlreco.sparse import Dense, add_products, kernel, room_for_lists

CHANNELS = 8
"""Number of channels of the state of a pair that share one weight."""
BOUND = 8.0
"""Bound of the absolute value of the logarithm of a weight."""
LEAST_WEIGHT = 1e-4
"""Smaller than any weight; added to the sums of weights so that they are not 0."""
_ROWS = 96
"""Rows of a block, a multiple of the heights of all register tiles of AVX-512."""
_LISTS = room_for_lists(_ROWS)
_ORDER_IS_FREE = {"contract", "reassoc", "nsz"}
"""Compiler flags that allow sums over channels to be vectorised."""
_ONE, _ZERO, _HALF = np.float32(1), np.float32(0), np.float32(0.5)
_BOUND, _LEAST = np.float32(BOUND), np.float32(LEAST_WEIGHT)
_PER_LOG2 = np.float32(1.44269504)
_LOG2 = np.float32(0.693359375), np.float32(-2.12194440e-4)
"""Natural logarithm of 2 in two parts, the first of few bits (Cody and Waite 1980)."""
_SERIES = tuple(np.float32(1 / number) for number in (5040, 720, 120, 24, 6, 2))
"""Taylor series of the exponential function; up to half the logarithm of 2 the rest is below float32 rounding."""
_EXPONENT_BIAS, _FRACTION_BITS = 127, 23


class Norm(NamedTuple):
    """A normalisation over channels: (C,) float32 scale and shift, and what is added to the variance."""

    scale: np.ndarray
    shift: np.ndarray
    epsilon: np.float32


class Encoder(NamedTuple):
    """Standardisation by (C,) float32 mean and deviation, and two layers."""

    mean: np.ndarray
    deviation: np.ndarray
    first: Dense
    second: Dense


class LinkStep(NamedTuple):
    """How pairs are updated.

    Attributes:
        of_nodes: from the state of a fragment to what enters the update of its pairs, as the larger one and as the
            smaller one.
        of_link: from the state of the pair.
        norm: of the sum of the three.
        out: from that to what is added to the state.
    """

    of_nodes: Dense
    of_link: Dense
    norm: Norm
    out: Dense


class NodeStep(NamedTuple):
    """How fragments are updated.

    Attributes:
        weights: from the state of a pair to the logarithms of its weights for the larger fragment, then the smaller.
        inner: from the state of a fragment and the means over its pairs.
        norm: of that.
        out: from that to what is added to the state.
    """

    weights: Dense
    inner: Dense
    norm: Norm
    out: Dense


class Answer(NamedTuple):
    """From a state to outputs."""

    norm: Norm
    first: Dense
    second: Dense


@kernel
def encode(values: np.ndarray, layers: Encoder, width: int) -> np.ndarray:
    """Return (R, width) float32 states of rows of features.

    Args:
        values: (R, C) float32.
        layers: what makes the states.
        width: of a state.
    """
    states, lists = np.empty((len(values), width), np.float32), np.empty(_LISTS, np.int64)
    shifted = np.empty((_ROWS, values.shape[1]), np.float32)
    hidden = np.empty((_ROWS + 1, len(layers.first.bias)), np.float32)
    result = np.empty((_ROWS + 1, len(layers.second.bias)), np.float32)
    for begin in range(0, len(values), _ROWS):
        rows = min(_ROWS, len(values) - begin)
        for row in range(rows):
            for c in range(values.shape[1]):
                shifted[row, c] = (values[begin + row, c] - layers.mean[c]) / layers.deviation[c]
        _two_layers(shifted, rows, layers.first, layers.second, hidden, result, lists)
        states[begin : begin + rows] = result[:rows, :width]
    return states


@kernel
def answer(states: np.ndarray, layers: Answer, outputs: int) -> np.ndarray:
    """Return (R, outputs) float32 of (R, C) states."""
    answers, lists = np.empty((len(states), outputs), np.float32), np.empty(_LISTS, np.int64)
    normed = np.empty((_ROWS, states.shape[1]), np.float32)
    hidden = np.empty((_ROWS + 1, len(layers.first.bias)), np.float32)
    result = np.empty((_ROWS + 1, len(layers.second.bias)), np.float32)
    for begin in range(0, len(states), _ROWS):
        rows = min(_ROWS, len(states) - begin)
        normed[:rows] = states[begin : begin + rows]
        _normalise(normed, rows, layers.norm, -np.inf)
        _two_layers(normed, rows, layers.first, layers.second, hidden, result, lists)
        answers[begin : begin + rows] = result[:rows, :outputs]
    return answers


@kernel
def _two_layers(
    values: np.ndarray,
    rows: int,
    first: Dense,
    second: Dense,
    hidden: np.ndarray,
    result: np.ndarray,
    lists: np.ndarray,
) -> None:
    _fill(hidden, rows, first.bias)
    _fill(result, rows, second.bias)
    add_products(values, 0, rows, first, hidden, 0, lists)
    for row in range(rows):
        for c in range(hidden.shape[1]):
            hidden[row, c] = max(hidden[row, c], _ZERO)
    add_products(hidden, 0, rows, second, result, 0, lists)


@compiled
def _fill(values: np.ndarray, rows: int, bias: np.ndarray) -> None:
    """Write a bias into each of the first rows; assigning whole rows checks shapes every time."""
    for row in range(rows):
        for c in range(len(bias)):
            values[row, c] = bias[c]


@compiled(fastmath=_ORDER_IS_FREE)
def _normalise(values: np.ndarray, rows: int, norm: Norm, least: float) -> None:
    """Normalise the first rows over as many channels as the norm has; results below ``least`` become that."""
    scale, shift, epsilon = norm
    width, bound = len(scale), np.float32(least)
    count = np.float32(width)
    for row in range(rows):
        total, squared = _ZERO, _ZERO
        for c in range(width):
            total += values[row, c]
        mean = total / count
        for c in range(width):
            step = values[row, c] - mean
            squared += step * step
        factor = _ONE / np.sqrt(squared / count + epsilon)
        for c in range(width):
            values[row, c] = max((values[row, c] - mean) * factor * scale[c] + shift[c], bound)


@kernel
def update_links(nodes: np.ndarray, links: np.ndarray, edges: np.ndarray, step: LinkStep) -> None:
    """Update the states of pairs from these states and the states of their fragments.

    Args:
        nodes: (F, W) float32.
        links: (E, C) float32, written.
        edges: (E, 2) int64 rows of ``nodes``.
        step: the layers.
    """
    width, lists = links.shape[1], np.empty(_LISTS, np.int64)
    heard = _heard(nodes, step.of_nodes, lists)
    hidden = np.empty((_ROWS + 1, len(step.of_link.bias)), np.float32)
    added = np.empty((_ROWS + 1, len(step.out.bias)), np.float32)
    for begin in range(0, len(links), _ROWS):
        rows = min(_ROWS, len(links) - begin)
        _fill(hidden, rows, step.of_link.bias)
        _fill(added, rows, step.out.bias)
        for row in range(rows):
            a, b = edges[begin + row, 0], edges[begin + row, 1]
            for c in range(width):
                hidden[row, c] += heard[a, c] + heard[b, width + c]
        add_products(links, begin, rows, step.of_link, hidden, 0, lists)
        _normalise(hidden, rows, step.norm, 0.0)
        add_products(hidden, 0, rows, step.out, added, 0, lists)
        for row in range(rows):
            for c in range(width):
                links[begin + row, c] += added[row, c]


@kernel
def _heard(nodes: np.ndarray, layer: Dense, lists: np.ndarray) -> np.ndarray:
    """Return what enters the updates of pairs from every fragment, padded by some columns and a row."""
    heard = np.zeros((len(nodes) + 1, len(layer.bias)), np.float32)
    for begin in range(0, len(nodes), _ROWS):
        rows = min(_ROWS, len(nodes) - begin)
        add_products(nodes, begin, rows, layer, heard[begin:], 0, lists)
        heard[begin + rows] = _ZERO
    return heard


@kernel
def update_nodes(nodes: np.ndarray, links: np.ndarray, edges: np.ndarray, step: NodeStep) -> None:
    """Update the states of fragments from these states and the states of their pairs.

    Args:
        nodes: (F, W) float32, written.
        links: (E, C) float32.
        edges: (E, 2) int64 rows of ``nodes``.
        step: the layers.
    """
    width, lists = nodes.shape[1], np.empty(_LISTS, np.int64)
    told = _told(links, edges, len(nodes), step.weights, lists)
    inner = np.empty((_ROWS, step.inner.inputs), np.float32)
    hidden = np.empty((_ROWS + 1, len(step.inner.bias)), np.float32)
    added = np.empty((_ROWS + 1, len(step.out.bias)), np.float32)
    for begin in range(0, len(nodes), _ROWS):
        rows = min(_ROWS, len(nodes) - begin)
        _fill(hidden, rows, step.inner.bias)
        _fill(added, rows, step.out.bias)
        for row in range(rows):
            inner[row, :width], inner[row, width:] = nodes[begin + row], told[begin + row]
        add_products(inner, 0, rows, step.inner, hidden, 0, lists)
        _normalise(hidden, rows, step.norm, 0.0)
        add_products(hidden, 0, rows, step.out, added, 0, lists)
        for row in range(rows):
            for c in range(width):
                nodes[begin + row, c] += added[row, c]


@kernel
def _told(links: np.ndarray, edges: np.ndarray, count: int, layer: Dense, lists: np.ndarray) -> np.ndarray:
    """Return what enters the update of fragments from their pairs, (count, 2 * (heads * CHANNELS + heads)) float32.

    First as the larger, then as the smaller one: the weighted means of the states of the pairs, 0 without pairs, and
    the logarithms of the sums of the weights.
    """
    channels, heads = links.shape[1], links.shape[1] // CHANNELS
    told = np.zeros((count, 2 * (channels + heads)), np.float32)
    weights = np.empty((_ROWS + 1, len(layer.bias)), np.float32)
    powers = np.empty(weights.shape, np.int32)
    for begin in range(0, len(links), _ROWS):
        rows = min(_ROWS, len(links) - begin)
        _fill(weights, rows, layer.bias)
        add_products(links, begin, rows, layer, weights, 0, lists)
        _exponentiate(weights[:rows].ravel(), powers[:rows].ravel())
        _add_up(links, edges, begin, rows, weights, told)
    _take_means(told, channels)
    return told


@compiled(fastmath={"contract"})
def _exponentiate(values: np.ndarray, powers: np.ndarray) -> None:
    """Replace float32 numbers by the exponential of what is within ``BOUND`` either way.

    Args:
        values: (N,) float32, contiguous, written.
        powers: (N,) int32 likewise, scratch memory.
    """
    for i in range(len(values)):
        value = min(max(values[i], -_BOUND), _BOUND)
        whole = np.floor(value * _PER_LOG2 + _HALF)
        rest = (value - whole * _LOG2[0]) - whole * _LOG2[1]
        total = _SERIES[0]
        for factor in _SERIES[1:]:
            total = total * rest + factor
        values[i] = (total * rest + _ONE) * rest + _ONE
        powers[i] = (np.int32(whole) + _EXPONENT_BIAS) << _FRACTION_BITS
    factors = powers.view(np.float32)
    for i in range(len(values)):
        values[i] *= factors[i]


@compiled(fastmath=_ORDER_IS_FREE)
def _add_up(links: np.ndarray, edges: np.ndarray, begin: int, rows: int, weights: np.ndarray, told: np.ndarray) -> None:
    """Add the weights of a block of pairs, and the weighted states, to the sums of both their fragments."""
    channels, heads = links.shape[1], links.shape[1] // CHANNELS
    for row in range(rows):
        a, b = edges[begin + row, 0], edges[begin + row, 1]
        for h in range(heads):
            one, other = weights[row, h], weights[row, heads + h]
            told[a, channels + h] += one
            told[b, 2 * channels + heads + h] += other
            for c in range(h * CHANNELS, h * CHANNELS + CHANNELS):
                told[a, c] += one * links[begin + row, c]
                told[b, channels + heads + c] += other * links[begin + row, c]


@compiled
def _take_means(told: np.ndarray, channels: int) -> None:
    """Divide the sums of both sides by those of the weights, and take the logarithms of these."""
    heads = channels // CHANNELS
    for node in range(len(told)):
        for first in (0, channels + heads):
            for h in range(heads):
                total = told[node, first + channels + h] + _LEAST
                for c in range(first + h * CHANNELS, first + h * CHANNELS + CHANNELS):
                    told[node, c] /= total
                told[node, first + channels + h] = np.log(total)
