"""Validation of a network in training on other events: losses, classes and instances."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlreco.checkpoints.fingerprint import fingerprint
from mlreco.errors import UserError
from mlreco.inference.on_device import process_batch, remaining
from mlreco.inference.products import events_of, other_products, voxel_products
from mlreco.iotools import Loader, loader_factory
from mlreco.iotools.workers import WaitEnded
from mlreco.models.chain import Chain, ChainLoss
from mlreco.models.layers.precision import autocast
from mlreco.models.transfer import to_device
from mlreco.post_processing.evaluation.evaluate import MIN_VOXELS, event_rows
from mlreco.post_processing.evaluation.summary import ALL
from mlreco.post_processing.factories import build_post_processors
from mlreco.post_processing.predicted import predicted_instances
from mlreco.training.generators import random_state, restore_random_state
from mlreco.training.parts import Terms

CLUSTERING = ("purity", "efficiency", "ari")
_PREDICTED, _TRUE, _INSTANCES = "semantics_predicted", "semantics_true", "instances_true"


class Validator:
    """Validates networks on events that they are not trained on.

    The numbers are the terms of the loss, as means over all events; with a segmentation ``segmentation_accuracy`` and
    ``recall_<class>``; with clusterers in ``post_processing`` and labels ``purity``, ``efficiency`` and ``ari``, as
    ``<metric>_<class>`` and ``<metric>_all``, means over events. For fragment graphs they are only the terms of the
    loss.

    Args:
        config: the whole configuration; ``trainval.validation`` says which events, and how many.
        loss: that of the training.

    Attributes:
        files: that are validated on.
        digest: of their events, whatever the files are called.

    Raises:
        UserError: the events cannot be read, or there are none.
    """

    def __init__(self, config: Mapping[str, Any], loss: ChainLoss) -> None:
        self._config, self._loss = config, loss
        self._wanted = config["trainval"]["validation"]
        self._loader = self._make_loader()
        self.files: list[Path] = list(self._loader.dataset.files)
        self.digest = fingerprint(self._loader.dataset, config["model"]["network_input"][0]).digest
        processors = config.get("post_processing") or {}
        self._processors = processors if self._wanted["clustering"] else {}

    def close(self) -> None:
        """Close the files and end the workers."""
        self._loader.close()

    def numbers(
        self, chain: Chain, ended: Callable[[], bool] = lambda: False, most: int | None = None
    ) -> dict[str, float]:
        """Return the numbers of a network, without changing it or the random generators.

        Args:
            chain: the network, in training or not.
            ended: called before every batch; returns whether to stop.
            most: number of batches with voxels after which to stop; all if None.

        Raises:
            WaitEnded: ``ended`` said so.
            UserError: an event cannot be read, or none has voxels.
        """
        looked_at = 0
        terms, tally = Terms(self._loss), _Tally(chain.scheme.classes)
        processors = build_post_processors(self._processors, chain.scheme)
        device, amp = next(chain.parameters()).device, self._config["trainval"]["amp"]
        with _at_rest(chain), torch.no_grad():
            for batch in self._loader:
                if ended():
                    raise WaitEnded
                if looked_at == most:
                    break
                looked_at += len(chain.events(batch)) > 0
                weights = self._loss.weights(chain.labels(batch), chain.events(batch))
                with autocast(amp, device):
                    products = chain(to_device(batch, device))
                found = self._loss(products, products["labels"])
                terms.add(found, {name: weight.to(device) for name, weight in weights.items()})
                if not chain.of_graphs(batch):
                    for event in _reconstructed(batch, products, chain, processors):
                        tally.add(event)
        if not looked_at:
            raise UserError(f"trainval.validation: none of the {len(self._loader.dataset)} events has voxels")
        return {**terms.numbers()[0], **tally.numbers()}

    def _make_loader(self) -> Loader:
        """Return a loader of the wanted events, evenly spread over the files."""
        iotool, model = self._config["iotool"], self._config["model"]
        dataset = {key: value for key, value in iotool["dataset"].items() if key not in ("event_list", "entry_range")}

        def make(events: list[int] | None) -> Loader:
            return loader_factory(
                {**iotool, "dataset": dataset | ({"event_list": events} if events else {})},
                train=False,
                sources=list(self._wanted["data_keys"]),
                class_scheme=model["class_scheme"],
                energies=model["network_input"][0],
            )

        try:
            whole = make(None)
            total, most = len(whole.dataset), self._wanted["events"]
            if total <= most:
                return whole
            whole.close()
            return make(np.linspace(0, total - 1, most).astype(np.int64).tolist())
        except UserError as error:
            raise UserError(f"trainval.validation: {error}") from error


def _reconstructed(
    batch: Mapping[str, Any], products: dict[str, Any], chain: Chain, processors: Sequence[Any]
) -> Iterator[dict[str, Any]]:
    """Yield the events of a batch of voxels after the post-processing, as arrays by name."""
    voxels = chain.voxels(batch)
    products = products | process_batch(processors, products, voxels.batch_size, chain.scheme)
    for event in events_of(batch, voxels, voxel_products(voxels, products), other_products(products)):
        for processor in remaining(processors, event):
            event.update(processor(event, chain.scheme))
        yield event


@contextmanager
def _at_rest(chain: Chain) -> Iterator[None]:
    """Put a network into inference mode; afterwards it and the random generators are as they were."""
    training, generators = chain.training, random_state()
    chain.eval()
    try:
        yield
    finally:
        chain.train(training)
        restore_random_state(generators)


class _Tally:
    """Counts of classes and means of metrics over events."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        self._classes = classes
        self._right, self._voxels = np.zeros(len(classes), np.int64), np.zeros(len(classes), np.int64)
        self._metrics: dict[str, list[float]] = defaultdict(list)

    def add(self, event: Mapping[str, np.ndarray]) -> None:
        if _PREDICTED in event and _TRUE in event:
            known = event[_TRUE] >= 0
            truth, right = event[_TRUE][known], (event[_TRUE] == event[_PREDICTED])[known]
            self._voxels += np.bincount(truth, minlength=len(self._classes))
            self._right += np.bincount(truth[right], minlength=len(self._classes))
        instances = predicted_instances(event)
        if instances in event and _INSTANCES in event and _TRUE in event:
            rows = event_rows(event[_TRUE], event[_INSTANCES], event[instances], len(self._classes), MIN_VOXELS)
            for row in rows:
                name = "all" if row["class"] == ALL else self._classes[int(row["class"])]
                for metric in CLUSTERING:
                    self._metrics[f"{metric}_{name}"].append(row[metric])

    def numbers(self) -> dict[str, float]:
        found = {}
        if self._voxels.sum():
            found["segmentation_accuracy"] = float(self._right.sum() / self._voxels.sum())
            found |= {
                f"recall_{name}": float(right / voxels)
                for name, right, voxels in zip(self._classes, self._right, self._voxels, strict=True)
                if voxels
            }
        means = {
            name: float(np.nanmean(values)) for name, values in self._metrics.items() if not np.isnan(values).all()
        }
        return found | dict(sorted(means.items()))


def overlap(validation: list[Path], training: list[Path]) -> list[Path]:
    """Return the files that are used for both validation and training, whatever their names are."""
    trained = {_identity(path) for path in training}
    return [path for path in validation if _identity(path) in trained]


def _identity(path: Path) -> tuple[int, int] | Path:
    """Return what identifies a file; the name where there is no file, as for events that are simulated."""
    try:
        found = path.stat()
    except OSError:
        return path
    return found.st_dev, found.st_ino
