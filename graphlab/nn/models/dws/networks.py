"""DWSNets: networks on the weights of multilayer perceptrons (Navon et al., ICML 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

from torch import Tensor, nn

from graphlab.nn.models.dws.downsample import DownSampledDWSLayer
from graphlab.nn.models.dws.heads import InvariantHead
from graphlab.nn.models.dws.initialisation import initialise_layer, initialise_skip
from graphlab.nn.models.dws.layer import DWSLayer
from graphlab.nn.models.dws.places import Reduction
from graphlab.nn.models.dws.pointwise import BatchNorm, Dropout, ReLU
from graphlab.nn.pretrained import Pretrained
from graphlab.weightgraph.batch import WeightGraphBatch
from graphlab.weightgraph.mlp_batch import read_mlps, write_mlps
from graphlab.weightgraph.mlp_weights import MLPWeights


class DWSNet(Pretrained):
    """Weights to weights: equivariant layers with batch normalisation, ReLU and dropout between.

    ``layer(in -> hidden)``, then ``n_hidden`` times ``[norm, ReLU, dropout, layer]``, the last to ``out_features`` and
    with one head of attention. Parameters have the published names.

    Args:
        dims: ``d_0, ..., d_L`` of the networks, L >= 1 (published: L >= 3).
        in_features: Of an entry.
        hidden_dim, n_hidden: Features of a hidden layer, and how many there are.
        out_features: Of an entry; default ``hidden_dim``.
        reduction, set_layer, num_heads, n_fc_layers, diagonal, add_layer_skip, full: Of each layer, see
            :class:`~graphlab.nn.models.dws.layer.DWSLayer`.
        bn: Whether to normalise.
        dropout: Probability.
        dropout_in_evaluation: Drop out in evaluation mode too, as the published code does.
        add_skip: Add one linear map of every entry of the input to the result.
        input_dim_downsample: Inputs of each layer, for networks with many
            (:class:`~graphlab.nn.models.dws.downsample.DownSampledDWSLayer`).
        init_scale: Factor of the layers' first weights (published: 1 in the classifier).
        init_off_diagonal: Further factor of those of maps between different layers.

    Raises:
        ValueError: for unknown names and sizes that do not fit.
    """

    def __init__(
        self,
        dims: Sequence[int],
        in_features: int = 1,
        hidden_dim: int = 32,
        n_hidden: int = 4,
        out_features: int | None = None,
        *,
        reduction: Reduction = "max",
        set_layer: str = "sab",
        num_heads: int = 8,
        n_fc_layers: int = 1,
        bn: bool = False,
        dropout: float = 0.0,
        dropout_in_evaluation: bool = False,
        add_skip: bool = False,
        add_layer_skip: bool = False,
        diagonal: bool = False,
        full: bool = False,
        input_dim_downsample: int | None = None,
        init_scale: float = 1e-4,
        init_off_diagonal: float = 1.0,
    ) -> None:
        super().__init__()
        if n_hidden < 0:
            raise ValueError(f"n_hidden: expected 0 or more, got {n_hidden}")
        out_features = hidden_dim if out_features is None else out_features
        options = {
            "reduction": reduction,
            "set_layer": set_layer,
            "n_fc_layers": n_fc_layers,
            "add_layer_skip": add_layer_skip,
            "diagonal": diagonal,
            "full": full,
        }

        def layer(width_in: int, width_out: int, heads: int) -> DWSLayer:
            own: dict[str, Any] = {**options, "num_heads": heads}
            made = (
                DWSLayer(dims, width_in, width_out, **own)
                if input_dim_downsample is None
                else DownSampledDWSLayer(dims, width_in, width_out, input_dim_downsample, **own)
            )
            initialise_layer(made, init_scale, init_off_diagonal)
            return made

        widths = [hidden_dim] * n_hidden + [out_features]
        modules: list[nn.Module] = [layer(in_features, widths[0], num_heads if n_hidden else 1)]
        for depth, width in enumerate(widths[1:], start=1):
            if bn:
                modules.append(BatchNorm(hidden_dim, len(dims) - 1))
            modules += [ReLU(), Dropout(dropout, dropout_in_evaluation)]
            modules.append(layer(hidden_dim, width, 1 if depth == n_hidden else num_heads))
        self.layers = nn.ModuleList(modules)
        self.skip = nn.Linear(in_features, out_features) if add_skip else None
        if self.skip is not None:
            initialise_skip(self.skip, 1)

    @overload
    def forward(self, x: MLPWeights) -> MLPWeights: ...

    @overload
    def forward(self, x: WeightGraphBatch) -> WeightGraphBatch: ...

    def forward(self, x: MLPWeights | WeightGraphBatch) -> MLPWeights | WeightGraphBatch:
        """New features of every entry, in the form in which the networks come.

        Raises:
            ValueError: for networks of another layout or other features than the model is for.
        """
        if isinstance(x, WeightGraphBatch):
            return write_mlps(x, self(read_mlps(x)))
        y = x
        for module in self.layers:
            y = module(y)
        if self.skip is None:
            return y
        return y.map(lambda new, old: new + self.skip(old), x)  # type: ignore[misc]


class DWSClassifier(Pretrained):
    """Weights to a vector: ``head(dropout(relu(DWSNet(x))))``; 552,650 parameters for 2-32-32-1 by default.

    Args:
        dims: ``d_0, ..., d_L`` of the networks.
        num_classes: Outputs.
        in_features, hidden_dim, n_hidden: See :class:`DWSNet`.
        equiv_out_features: Features of an entry that the head reads; default ``hidden_dim``.
        n_out_fc: Linear maps of the head.
        dropout, reduction, dropout_in_evaluation: See :class:`DWSNet`; of the head as well.
        init_scale: See :class:`DWSNet`.
        options: Further ones of :class:`DWSNet`.
    """

    def __init__(
        self,
        dims: Sequence[int],
        num_classes: int = 10,
        in_features: int = 1,
        hidden_dim: int = 32,
        n_hidden: int = 4,
        equiv_out_features: int | None = None,
        *,
        reduction: Reduction = "max",
        set_layer: str = "sab",
        num_heads: int = 8,
        n_fc_layers: int = 1,
        n_out_fc: int = 1,
        bn: bool = True,
        dropout: float = 0.0,
        dropout_in_evaluation: bool = False,
        add_skip: bool = False,
        add_layer_skip: bool = False,
        diagonal: bool = False,
        full: bool = False,
        input_dim_downsample: int | None = None,
        init_scale: float = 1.0,
        init_off_diagonal: float = 1.0,
    ) -> None:
        super().__init__()
        width = hidden_dim if equiv_out_features is None else equiv_out_features
        self.layers = DWSNet(
            dims,
            in_features,
            hidden_dim,
            n_hidden,
            width,
            reduction=reduction,
            set_layer=set_layer,
            num_heads=num_heads,
            n_fc_layers=n_fc_layers,
            bn=bn,
            dropout=dropout,
            dropout_in_evaluation=dropout_in_evaluation,
            add_skip=add_skip,
            add_layer_skip=add_layer_skip,
            diagonal=diagonal,
            full=full,
            input_dim_downsample=input_dim_downsample,
            init_scale=init_scale,
            init_off_diagonal=init_off_diagonal,
        )
        self.activation = nn.Sequential(ReLU(), Dropout(dropout, dropout_in_evaluation))
        self.clf = InvariantHead(dims, width, num_classes, reduction, n_out_fc)

    def forward(self, x: MLPWeights | WeightGraphBatch) -> Tensor:
        """``[B, num_classes]``.

        Raises:
            ValueError: for networks of another layout or other features than the model is for.
        """
        x = read_mlps(x) if isinstance(x, WeightGraphBatch) else x
        scores: Tensor = self.clf(self.activation(self.layers(x)))
        return scores
