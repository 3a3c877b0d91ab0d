"""What a run did, as sums that add: of rows, of shards, of the whole. Small whatever the size of the run."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from metaner_core import schema


@dataclass(frozen=True)
class Summary:
    """Counts of rows. Adding is associative and commutative, and how rows were split before leaves no trace."""

    documents: int = 0
    outcomes: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(schema.OUTCOMES, 0))

    @staticmethod
    def of(rows: Iterable[Mapping[str, Any]]) -> "Summary":
        """The summary of rows of `tagging.tag_documents`."""
        outcomes = dict.fromkeys(schema.OUTCOMES, 0)
        for row in rows:
            outcomes[row["outcome"]] += 1
        return Summary(sum(outcomes.values()), outcomes)

    def __add__(self, other: "Summary") -> "Summary":
        outcomes = {name: n + other.outcomes[name] for name, n in self.outcomes.items()}
        return Summary(self.documents + other.documents, outcomes)

    def to_dict(self) -> dict[str, Any]:
        return {"documents": self.documents, "outcomes": dict(self.outcomes)}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "Summary":
        return Summary(values["documents"], dict(values["outcomes"]))
