"""A checkpoint of V3: what ``source.Source`` is to the package's own."""

from dataclasses import dataclass
from pathlib import Path

from tedg_fast.legacy import V3Checkpoint, V3Hypergraph, V3Policy
from tedg_fast.runs.checkpoint import CheckpointError
from tedg_fast.runs.config import TrainConfig
from tedg_fast.runs.model import load_rules


@dataclass(frozen=True)
class V3Source:
    """V3's checkpoint at ``path``; its methods are those of ``Source``."""

    path: Path
    v3: V3Checkpoint

    @property
    def completed(self) -> int:
        """Episodes finished."""
        return self.v3.completed

    def settings(self) -> TrainConfig:
        """The settings that are kept where no others are given: the number of experts."""
        return TrainConfig(num_experts=self.v3.num_experts)

    def rules(self, path: str | None) -> tuple[V3Hypergraph, str]:
        """V3's rules at ``path``, a folder with its two files, and in words which these are.

        Raises ``CheckpointError`` where it is none, or ``LegacyError``.
        """
        rules = load_rules(path)
        if not isinstance(rules, V3Hypergraph):
            raise CheckpointError(
                f"{self.path} is a checkpoint of V3: give the folder with the two hypergraph files "
                "that it was trained with by --hypergraph"
            )
        return rules, f"by V3's rules from {path}"

    def policy(self, rules: V3Hypergraph) -> V3Policy:
        """Its network. Raises ``LegacyError`` where it was trained with other rules."""
        return V3Policy.of(self.v3, rules)
