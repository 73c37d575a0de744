"""What treats every entry alike: normalisation of features, ReLU, dropout."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from graphlab.weightgraph.mlp_weights import MLPWeights


class BatchNorm(nn.Module):
    """Batch normalisation of the features of each weight and of each bias, over networks and positions."""

    def __init__(self, features: int, num_layers: int) -> None:
        super().__init__()
        self.weights_bn = nn.ModuleList(nn.BatchNorm1d(features) for _ in range(num_layers))
        self.biases_bn = nn.ModuleList(nn.BatchNorm1d(features) for _ in range(num_layers))

    def forward(self, x: MLPWeights) -> MLPWeights:
        """Raises ``ValueError`` in training, naming the tensor, for one that has a single position in all networks."""
        if self.training:
            for name, tensor in x.named().items():
                if tensor[..., 0].numel() == 1:
                    raise ValueError(
                        f"{name}: batch normalisation in training needs more than one value a feature, got one network "
                        "with one entry; use more networks a batch, or evaluation mode"
                    )

        def normalised(module: nn.Module, tensor: Tensor) -> Tensor:
            result: Tensor = module(tensor.reshape(-1, tensor.shape[-1]))
            return result.view(tensor.shape)

        return MLPWeights(
            tuple(map(normalised, self.weights_bn, x.weights)), tuple(map(normalised, self.biases_bn, x.biases))
        )


class ReLU(nn.Module):
    """``max(x, 0)`` of every entry."""

    def forward(self, x: MLPWeights) -> MLPWeights:
        return x.map(F.relu)


class Dropout(nn.Module):
    """Dropout of every feature.

    Args:
        p: Probability of zero.
        always: Also in evaluation mode, as the published code does by mistake.

    Raises:
        ValueError: for a probability outside [0, 1].
    """

    def __init__(self, p: float, always: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout: expected a probability in [0, 1], got {p}")
        self.p, self.always = p, always

    def forward(self, x: MLPWeights) -> MLPWeights:
        if not self.p or not (self.training or self.always):
            return x
        return x.map(lambda tensor: F.dropout(tensor, self.p))
