"""The meta-training job as its command, but slow, and soon looking for more workers: so that a test can take machines
from it, and give it some, while it trains."""

import time
from collections.abc import Mapping
from typing import Any

from jobs import meta_train
from jobs.training import learning, trainer

PACE = 0.4  # seconds that a meta-update takes more
GROW_SECONDS = 5.0


def worker(config: Mapping[str, Any]) -> None:
    from metaner_core.method.meta_train import MetaTrainer  # late: the driver imports this module too

    update = MetaTrainer.meta_update

    def slow(*given: Any) -> float:
        time.sleep(PACE)
        return update(*given)

    MetaTrainer.meta_update = slow  # type: ignore[method-assign]
    learning.worker(config)


if __name__ == "__main__":
    from metaner_core.command import run
    from tests.support import slow_training as importable  # its function under a name that workers can import

    trainer.GROW_SECONDS = GROW_SECONDS
    learning.worker = importable.worker  # here; the workers' processes have the job's own
    run(meta_train.main)
