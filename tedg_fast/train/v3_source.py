"""A checkpoint of V3 to go on from: what ``resume.Source`` is to the package's own."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tedg_fast.legacy import V3Checkpoint, V3Hypergraph, V3Policy
from tedg_fast.train.checkpoint import CheckpointError
from tedg_fast.train.config import TrainConfig
from tedg_fast.train.model import load_rules
from tedg_fast.train.run_folder import RunFolder

if TYPE_CHECKING:
    from tedg_fast.train.trainer import Trainer


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

    def goes_on_in(self, folder: RunFolder) -> bool:
        """Whether the run's own files are in ``folder``; V3's folders are not like ours."""
        return False

    def check_takeover(self, config: TrainConfig) -> None:
        """Raise ``CheckpointError`` if ``config`` cannot go on from here."""
        if config.num_experts != self.v3.num_experts:
            raise CheckpointError(
                f"{self.path} has {self.v3.num_experts} experts and --num-experts is "
                f"{config.num_experts}: leave it out"
            )

    def restore(self, trainer: "Trainer") -> None:
        """Give a new trainer V3's weights, what it has of Adam's state, and its episode count."""
        self.v3.load_weights(trainer.policy)
        optimizer = trainer.ppo.optimizer
        optimizer.load_state_dict(self.v3.adam_state_dict(trainer.policy, optimizer))
        trainer.progress.completed = self.completed
        trainer.next_episode = self.completed + trainer.world.rank
        log = trainer.recorder.log
        log.first_episode, log.parent = self.completed, str(self.path)
