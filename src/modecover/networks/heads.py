"""The heads of a discriminator: a score and, where a method asks for it, a classifier on the same features."""

from __future__ import annotations

from torch import Tensor, nn

from modecover.errors import UserError
from modecover.networks.arguments import count, size


class HeadedDiscriminator(nn.Module):
    """A trunk's features under linear heads, which share every layer but the last.

    A subclass says what the features of a batch are. `forward(x, head=...)` returns for rows x of shape (B, *shape)

    - "adversarial" (the default): one score a row, a logit, (B,);
    - "classes": the classifier's logits, (B, classes); `UserError` where it was built with `classes=0`;
    - "features": what the heads read, (B, features).
    """

    def __init__(self, features: int, classes: int = 0):
        super().__init__()
        self.classes = count("classes", classes)
        self.adversarial_head = nn.Linear(features, 1)
        self.classes_head = nn.Linear(features, classes) if classes else None

    def features(self, x: Tensor) -> Tensor:
        """Data rows (B, *shape) to features (B, F)."""
        raise NotImplementedError

    def forward(self, x: Tensor, head: str = "adversarial") -> Tensor:
        if head == "adversarial":
            score: Tensor = self.adversarial_head(self.features(x))
            return score.squeeze(1)
        if head == "features":
            return self.features(x)
        if head != "classes":
            raise UserError(f'There is no head {head!r}; the heads are "adversarial", "classes" and "features".')
        if self.classes_head is None:
            raise UserError("This discriminator has no classifier head: build it with the method's number of classes.")
        logits: Tensor = self.classes_head(self.features(x))
        return logits


class TwoHeads(HeadedDiscriminator):
    """Your own trunk as a discriminator: a score and a classifier on top of what it returns.

    Args:
        trunk: any module from data rows (B, *shape) to features (B, ...), flattened to (B, F) here.
        features: F, how many numbers the trunk returns for one row.
        classes: how many classes the classifier tells apart (for block interventions, the number of blocks).
    """

    def __init__(self, trunk: nn.Module, features: int, classes: int):
        super().__init__(size("features", features), classes)
        self.trunk = trunk
        self.feature_count = features

    def features(self, x: Tensor) -> Tensor:
        found: Tensor = self.trunk(x)
        found = found.flatten(1)
        if found.shape[1] != self.feature_count:
            raise UserError(
                f"The trunk returned {found.shape[1]} features for a row, but TwoHeads was told {self.feature_count}: "
                f"write TwoHeads(trunk, features={found.shape[1]}, classes={self.classes})."
            )
        return found
