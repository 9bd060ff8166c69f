"""Models and their losses by name."""

from __future__ import annotations

from mlreco.models.stage import Stage, StageLoss
from mlreco.registry import Registry

MODELS = Registry(
    "model",
    {
        "chain": "mlreco.models.chain:Chain",
        "uresnet": "mlreco.models.uresnet:UResNet",
        "spice": "mlreco.models.spice:Spice",
        "fragmenter": "mlreco.models.grappa:Fragmenter",
        "grappa": "mlreco.models.grappa:Grappa",
        "uresnet_spice": "mlreco.models.uresnet_spice:UResNetSpice",
    },
    "mlreco.models",
)


def construct(name: str) -> tuple[type[Stage], type[StageLoss]]:
    """Return the class of a model and the class of its loss, imported on demand.

    Args:
        name: a built-in name, one that an installed package registers under the entry point group
            ``mlreco.models``, or ``package.module:Class``. The class has its loss in the attribute ``Loss``.

    Raises:
        UserError: there is no such model, or something it needs is not installed.
    """
    model = MODELS.get(name)
    return model, model.Loss
