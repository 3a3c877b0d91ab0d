"""A tagging run's sums for Prometheus."""

from ray.util import metrics

from metaner_core.text import schema


class Metrics:
    """The sums of a supervisor, as Ray exports them (`ray_metaner_...`). What is tagged again counts again."""

    def __init__(self) -> None:
        self.documents = metrics.Counter("metaner_documents", "documents, by outcome", tag_keys=("outcome",))
        self.sentences = metrics.Counter("metaner_sentences", "sentences tagged")
        self.support_sets = metrics.Counter("metaner_support_sets", "different support sets, summed over shards")
        self.deaths = metrics.Counter("metaner_worker_deaths", "workers that ended in the middle of a shard")
        self.shards = metrics.Gauge("metaner_shards", "shards, by state", tag_keys=("state",))

    def add(self, name: str, more: int) -> None:
        """name: of a count, as in `jobs.tagging.write.progress`."""
        if more > 0 and name in schema.OUTCOMES:
            self.documents.inc(more, tags={"outcome": name})
        elif more > 0 and name in ("sentences", "support_sets"):
            getattr(self, name).inc(more)
