"""The heads of a discriminator: a score and, where a method asks for it, a classifier on the same features."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from modecover.errors import UserError
from modecover.networks.arguments import count, size
from modecover.networks.spectral import SpectralLinear


class HeadedDiscriminator(nn.Module):
    """A trunk's features under linear heads, which share every layer but the last.

    `forward(x, head=...)` returns for rows x of shape (B, *shape)

    - "adversarial" (the default): one score a row, a logit, (B,);
    - "classes": the classifier's logits, (B, classes); `UserError` where it was built with `classes=0`;
    - "features": what the heads read, (B, features).

    The heads draw their first weights after the trunk, the classifier last: with and without one, a seed gives
    the same trunk and the same score.

    Args:
        layers: the trunk, from data rows (B, *shape) to features (B, ...), flattened to (B, features).
        features: how many numbers the trunk returns for one row.
        classes: size of the classifier head; 0 for none.
        initialize: sets the first weights of a head, where PyTorch's own are not wanted.
        spectral: heads with spectral normalisation.
    """

    def __init__(
        self,
        layers: nn.Module,
        features: int,
        classes: int = 0,
        initialize: Callable[[nn.Module], object] | None = None,
        *,
        spectral: bool = False,
    ):
        super().__init__()

        def head(outputs: int) -> nn.Linear:
            linear = (SpectralLinear if spectral else nn.Linear)(features, outputs)
            if initialize is not None:
                initialize(linear)
            return linear

        self.classes = count("classes", classes)
        self.layers = layers
        self.adversarial_head = head(1)
        self.classes_head = head(classes) if classes else None

    def features(self, x: Tensor) -> Tensor:
        """Data rows (B, *shape) to features (B, F)."""
        found: Tensor = self.layers(x)
        return found.flatten(1)

    def forward(self, x: Tensor, head: str = "adversarial") -> Tensor:
        if head == "adversarial":
            return self.judged(x, self.adversarial_head).squeeze(1)
        if head == "features":
            return self.features(x)
        if head != "classes":
            raise UserError(f'There is no head {head!r}; the heads are "adversarial", "classes" and "features".')
        if self.classes_head is None:
            raise UserError("This discriminator has no classifier head: build it with the method's number of classes.")
        return self.judged(x, self.classes_head)

    def judged(self, x: Tensor, head: nn.Module) -> Tensor:
        """What `head` says of the features of data rows x."""
        said: Tensor = head(self.features(x))
        return said


class TwoHeads(HeadedDiscriminator):
    """Your own trunk as a discriminator: a score and a classifier on top of what it returns.

    Args:
        trunk: any module from data rows (B, *shape) to features (B, ...), flattened to (B, F) here.
        features: F, how many numbers the trunk returns for one row.
        classes: how many classes the classifier tells apart (for block interventions, the number of blocks).
    """

    def __init__(self, trunk: nn.Module, features: int, classes: int):
        super().__init__(trunk, size("features", features), classes)
        self.told = int(features)

    def features(self, x: Tensor) -> Tensor:
        found = super().features(x)
        if found.shape[1] != self.told:
            raise UserError(
                f"The trunk returned {found.shape[1]} features for a row, but TwoHeads was told {self.told}: "
                f"write TwoHeads(trunk, features={found.shape[1]}, classes={self.classes})."
            )
        return found
