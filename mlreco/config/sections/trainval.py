"""Section ``trainval``: optimisation, checkpoints, logs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from mlreco.config.sections.base import Call, Count, Integer, Named, Names, Positive, Section

IGNORED = ("concat_result", "debug", "minibatch_size", "restore_optimizer", "unwrapper")
"""Keys for parts of lartpc_mlreco3d that this program does not have."""


def _gpus(value: Any) -> Any:
    """Return the GPU numbers as text: ``0`` -> ``'0'``, ``[0, 1]`` -> ``'0,1'``, nothing -> ``''``."""
    if value is None:
        return ""
    items = value if isinstance(value, list) else [value]
    text = ",".join(str(item) for item in items).replace(" ", "")
    if any(isinstance(item, bool) for item in items) or (text and not all(n.isdigit() for n in text.split(","))):
        raise PydanticCustomError("gpus", "expected GPU numbers such as '0' or '0,1', or '' for the CPU")
    return text


def _amp(value: Any) -> Any:
    """Return the text of a bare ``off``, which YAML reads as false."""
    return "off" if value is False else value


class Validation(Section):
    """Validation on other events during the training.

    Attributes:
        data_keys: files, patterns, folders or ``.txt`` lists; the schema is that of the training.
        step: iterations between validations.
        events: at most so many events, evenly spread over the files.
        background: whether a separate process validates on the CPU while the training goes on. Its numbers come later,
            and `patience` is checked when the next validation is due. It needs a core that the training does not use.
        clustering: whether the post-processing runs and its instances are compared with the true ones.
    """

    data_keys: Annotated[Names, Field(min_length=1)]
    step: Positive = 1000
    events: Positive = 200
    clustering: bool = True
    background: bool = False


class TrainVal(Section):
    """How the chain is trained and run.

    Attributes:
        train: whether ``run.py CONFIG`` trains or infers.
        seed: of all random numbers; negative for a new one each time.
        gpus: numbers of the GPUs, separated by commas; empty for the CPU.
        iterations: batches to train on, or to run inference on; all events once if absent.
        epochs: passes over the events to train for, instead of `iterations`.
        report_step: iterations between rows of the log, which are means over them.
        checkpoint_step: iterations between checkpoints.
        keep_last: number of checkpoints that are kept beside the best one; older ones are removed. All are kept if
            absent.
        validation: events that are validated on while training.
        best: number of the validation that decides on the best checkpoint, ``<weight_prefix>-best.ckpt``: the smallest
            loss, or the largest value of any other number.
        patience: validations without a better one after which the training ends; none if absent.
        weight_prefix: path and beginning of the names of checkpoints.
        log_dir: folder of the logs; a run leaves there its CSV log, its configuration and its circumstances.
        tensorboard: whether the numbers of the log are also written for TensorBoard, into `log_dir`.
        model_path: checkpoint to begin from; empty for none.
        optimizer: a class of `torch.optim` and its arguments.
        freeze: exact names of modules that keep their weights, such as ``spice.seediness_decoder``.
        amp: mixed precision: ``off``, ``fp16`` or ``bf16``.
        tf32: whether float32 products on CUDA may round to TF32.
        max_grad_norm: gradients are scaled down to this norm where theirs is larger; no limit if absent.
        lr_scheduler: a class of `torch.optim.lr_scheduler`, stepped once an iteration (`ReduceLROnPlateau`: once a
            validation, by `best`), and its arguments; the length of
            `CosineAnnealingLR`, `OneCycleLR` and `PolynomialLR` is that of the training where it is not given.
        warmup: iterations in which the learning rate rises: that of the schedule times (iteration + 1) / `warmup`.
        ema: decay of the moving average of the weights, such as 0.999; checkpoints then hold it as their weights.
        sync_batch_norm: whether batch normalisation is over the voxels of all processes that train together, as one
            process would with the whole batch; slower.
        loss_weights: name of a stage -> factor of its loss; 1 if absent.
    """

    train: bool = True
    seed: Integer = 0
    gpus: Annotated[str, BeforeValidator(_gpus)] = ""
    iterations: Positive | None = None
    epochs: Annotated[float, Field(gt=0)] | None = None
    report_step: Positive = 1
    checkpoint_step: Positive = 500
    keep_last: Positive | None = None
    validation: Validation | None = None
    best: str = "loss"
    patience: Positive | None = None
    weight_prefix: str = "weights/snapshot"
    log_dir: str = "log"
    tensorboard: bool = False
    model_path: str | None = ""
    optimizer: Call = Named(name="Adam", args={"lr": 0.001})
    lr_scheduler: Call | None = None
    warmup: Count = 0
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    sync_batch_norm: bool = False
    loss_weights: dict[str, Annotated[float, Field(ge=0)]] = {}
    freeze: Names = []
    amp: Annotated[Literal["off", "fp16", "bf16"], BeforeValidator(_amp)] = "off"
    tf32: bool = False
    max_grad_norm: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _old_forms(cls, values: Any) -> Any:
        """Drop the keys without effect; turn the ``learning_rate`` of 2020 into the optimiser's ``lr``."""
        if not isinstance(values, dict):
            return values
        kept = {key: value for key, value in values.items() if key not in IGNORED}
        rate = kept.pop("learning_rate", None)
        if rate is not None:
            if "optimizer" in kept:
                raise PydanticCustomError(
                    "twice", "learning_rate and optimizer are two ways to say one thing: give one"
                )
            kept["optimizer"] = {"name": "Adam", "args": {"lr": rate}}
        if kept.get("epochs") is not None and kept.get("iterations") is not None:
            raise PydanticCustomError("twice", "epochs and iterations are two ways to say one thing: give one")
        return kept
