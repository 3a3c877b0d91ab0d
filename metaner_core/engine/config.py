"""Which engine computes, and in what precision. Of no weight to import, for those who only pass it on."""

from dataclasses import dataclass

KINDS = ("batched", "reference")
PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True)
class EngineConfig:
    """engine: `batched`, or `reference` for the plain loops that it is checked against. precision: of the matrix
    products of the batched engine and of retrieval. Raises ValueError for what there is not."""

    engine: str = "batched"
    precision: str = "fp32"

    def __post_init__(self) -> None:
        for what, allowed in (("engine", KINDS), ("precision", PRECISIONS)):
            if getattr(self, what) not in allowed:
                raise ValueError(f"{what} {getattr(self, what)!r} is unknown; there are {', '.join(allowed)}")
        if self.precision != "fp32" and self.engine == "reference":
            raise ValueError(f"precision {self.precision} is for the batched engine: the reference is fp32")


BATCHED = EngineConfig()
