"""The Ray Train trainer of training jobs."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from jobs.common.imports import gc_paused
from jobs.common.options import greatest, in_words
from jobs.training.options import TrainingRun
from metaner_core import storage
from metaner_core.command import USERS_ERRORS, Ended

if TYPE_CHECKING:
    import torch
    from ray.train import ControllerError, WorkerGroupError
    from ray.train.torch import TorchTrainer


# Between two looks whether there is room for more workers. To take them all begin again from the newest checkpoint, so
# machines that come one after another should be taken together.
GROW_SECONDS = 300.0
# Ray counts machines whole, whoever uses them, and a lost one for up to 20 seconds: then workers may not find the room
# that was counted on. Each try to start them takes a minute.
STARTS = 30


def fit(job: TrainingRun, name: str, worker: Callable[[Mapping[str, Any]], None], config: Mapping[str, Any]) -> None:
    """Run `worker(config)` on each of the job's workers. name: see `trainer`.

    Raises users' errors as they are; Ended when a machine has no memory left, and when workers whose number may change
    do not find the room that Ray counts.
    """
    from ray.train import ControllerError, WorkerGroupError  # late: seconds, and what is wrong so far is told at once

    try:
        trainer(job, name, worker, config).fit()
    except WorkerGroupError as error:
        raise _without_memory(error) or _users_error(error) from error
    except ControllerError as error:
        raise _without_memory(error) or _without_room(job, error) or error from error


def _without_memory(error: Exception) -> Ended | None:
    """The end of a training whose processes Ray killed lest a machine run out of memory, as Ray's text says."""
    if "running low on memory" not in str(error):
        return None
    return Ended(
        "a machine ran low on memory, and Ray ended processes of this training there. Give it fewer --workers, a "
        "smaller batch, or a machine that does less else; the same command goes on from the newest checkpoint"
    )


def _without_room(job: TrainingRun, error: "ControllerError") -> Ended | None:
    if isinstance(job.workers, int) or not type(error.controller_failure).__name__.startswith("WorkerGroupStartup"):
        return None
    return Ended(
        f"{in_words(job.workers)} workers: more than {STARTS} times there was no room for as many as the cluster's "
        "machines should carry. On machines that do other work too give one number of --workers, or a smaller MAX; "
        "the same command goes on from the newest checkpoint"
    )


def _users_error(error: "WorkerGroupError") -> Exception:
    """What a worker found wrong with what the user gave, if that is why training failed; else the failure itself."""
    causes = (getattr(failure, "cause", failure) for failure in error.worker_failures.values())
    return next((cause for cause in causes if isinstance(cause, USERS_ERRORS)), error)


def trainer(
    job: TrainingRun, name: str, worker: Callable[[Mapping[str, Any]], None], config: Mapping[str, Any]
) -> "TorchTrainer":
    """A trainer that runs `worker(config)` on each of the job's workers. name: checkpoints of this name are its own."""
    with gc_paused():  # late: torch comes along
        from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer

        from jobs.training.network import OwnNetwork

    fs, path = storage.filesystem(job.storage)
    resources = {"CPU": 1.0, "GPU": 1.0} if job.gpu else {"CPU": 1.0}
    return TorchTrainer(
        worker,
        train_loop_config=dict(config),
        torch_config=OwnNetwork(backend="nccl" if job.gpu else "gloo"),
        scaling_config=ScalingConfig(use_gpu=job.gpu, resources_per_worker=resources, **_workers(job)),
        run_config=RunConfig(
            name=name,
            storage_path=path,
            storage_filesystem=fs,
            failure_config=FailureConfig(max_failures=job.max_failures, **_starts(job)),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
        ),
    )


def _workers(job: TrainingRun) -> dict[str, Any]:
    """How many, as Ray Train's ScalingConfig wants it."""
    if isinstance(job.workers, int):
        return {"num_workers": job.workers}
    return {"num_workers": job.workers, "elastic_resize_monitor_interval_s": GROW_SECONDS}


def _starts(job: TrainingRun) -> dict[str, Any]:
    """How often workers may not come to be, as Ray Train's FailureConfig wants it: without end where all are needed."""
    return {} if isinstance(job.workers, int) else {"controller_failure_limit": STARTS}


def device_of_worker(job: TrainingRun, tell: Callable[[str], object]) -> "torch.device":
    """What a worker trains on: the GPU that Ray Train gave it, else its CPU, with the job's threads.

    tell: takes, on rank 0, how many workers there are where that may change.
    """
    with gc_paused():  # late: the driver needs none of it
        import torch
        from ray.train import get_context
        from ray.train.torch import get_device

    if not isinstance(job.workers, int) and get_context().get_world_rank() == 0:
        tell(f"{get_context().get_world_size()} worker(s) of at most {greatest(job.workers)}")
    if job.gpu:
        return get_device()
    torch.set_num_threads(job.threads)
    return torch.device("cpu")
