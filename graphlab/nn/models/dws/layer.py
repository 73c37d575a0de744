r"""One linear equivariant layer on weight spaces (Navon, Shamsian, Achituve, Fetaya, Chechik, Maron, "Equivariant
Architectures for Learning in Deep Weight Spaces", ICML 2023, section 5 and appendix A).

.. math:: W'_j = \frac{1}{2L} \Bigl(\sum_i L_{ij}(W_i) + \sum_i L_{ij}(b_i)\Bigr), \qquad b'_j \text{ alike}

Each of the :math:`4 L^2` maps :math:`L_{ij}` pools its source to what both tensors have in common and broadcasts the
result to its target (:mod:`~graphlab.nn.models.dws.places`). Every tensor is pooled once for all of them; all maps of
the same pooled tensor are one product; contributions are summed before they are broadcast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from graphlab.nn.models.dws.fused import apply_all
from graphlab.nn.models.dws.places import REDUCTIONS, Map, Place, Reduction, maps, places
from graphlab.nn.models.dws.sets import DeepSets, SelfAttention, SetLayer, mlp
from graphlab.weightgraph.mlp_weights import MLPWeights, dims_of


class Term(NamedTuple):
    """A part of a map: ``share`` times what a module makes of its source, pooled over all but ``over``."""

    map: Map
    over: tuple[int, ...]
    module: nn.Module
    share: float


class DWSLayer(nn.Module):
    """Features of all weights and biases to new ones, equivariant to permutations of hidden neurons.

    Args:
        dims: ``d_0, ..., d_L`` of the networks, L >= 1.
        in_features, out_features: Of an entry.
        reduction: How neurons are pooled: ``max``, ``mean`` or ``sum``.
        set_layer: What maps sets: ``sab`` (:class:`SelfAttention`) or ``ds`` (:class:`DeepSets`).
        num_heads: Of the attention; must divide ``out_features``.
        n_fc_layers: Linear maps in each map; 1 makes the layer linear but for attention and the maximum.
        add_layer_skip: Add one linear map of every entry.
        diagonal: Only maps between tensors of the same or of neighbouring layers.
        full: All of the theorem's maps: the published network does not tell the outputs apart in some
            (:func:`~graphlab.nn.models.dws.places.maps`).

    Raises:
        ValueError: for unknown names, sizes that are not positive, heads that do not divide the features.
    """

    def __init__(
        self,
        dims: Sequence[int],
        in_features: int,
        out_features: int,
        reduction: Reduction = "max",
        set_layer: str = "sab",
        num_heads: int = 8,
        n_fc_layers: int = 1,
        add_layer_skip: bool = False,
        diagonal: bool = False,
        full: bool = False,
    ) -> None:
        super().__init__()
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction: expected {', '.join(REDUCTIONS)}, got {reduction!r}")
        if set_layer not in ("sab", "ds"):
            raise ValueError(f"set_layer: expected sab or ds, got {set_layer!r}")
        if min(in_features, out_features, n_fc_layers) < 1:
            raise ValueError(f"expected positive sizes, got {in_features}, {out_features}, {n_fc_layers} linear maps")
        if set_layer == "sab" and (num_heads < 1 or out_features % num_heads):
            raise ValueError(f"num_heads: expected heads that divide {out_features} features, got {num_heads}")
        self.dims, self.reduction = dims_of(dims), reduction
        self.in_features, self.out_features = in_features, out_features
        self.maps = tuple(maps(self.dims, diagonal, full))
        self._terms: list[tuple[Map, tuple[int, ...], str, float]] = []

        def set_map(width_in: int, width_out: int) -> SetLayer:
            if set_layer == "sab":
                return SetLayer(SelfAttention(width_in, width_out, num_heads))
            return SetLayer(DeepSets(width_in, width_out, reduction, n_fc_layers))

        for block in ("weight_to_weight", "bias_to_bias", "bias_to_weight", "weight_to_bias"):
            self.add_module(block, nn.ModuleDict({"layers": nn.ModuleDict()}))
        for own in self.maps:
            sizes = (own.source.fixed * in_features, own.width * out_features)
            parts: dict[str, tuple[tuple[int, ...], nn.Module]]
            if len(own.over) == 2:
                rows, columns = own.over
                overs = {"lin_all": own.over, "lin_n": (columns,), "lin_m": (rows,), "lin_both": ()}
                parts = {name: (over, mlp(*sizes, n_fc_layers)) for name, over in overs.items()}
            elif own.over:
                name = "set_layer" if own.block == "weight_to_weight" else "layer"
                parts = {name: (own.over, set_map(*sizes))}
            else:
                always = own.near or own.source.kind == own.target.kind
                parts = {"layer": ((), mlp(*sizes, n_fc_layers if always else 1))}
            layers = self.get_submodule(f"{own.block}.layers")
            assert isinstance(layers, nn.ModuleDict)
            layers[own.name] = nn.ModuleDict({name: module for name, (_, module) in parts.items()})
            for name, (over, _) in parts.items():
                self._terms.append((own, over, f"{own.block}.layers.{own.name}.{name}", 1 / len(parts)))
        self.skips_all = add_layer_skip
        self.skip = nn.Sequential(nn.Linear(in_features, out_features)) if add_layer_skip else None

    def terms(self) -> list[Term]:
        """The parts of all maps."""
        return [Term(own, over, self.get_submodule(name), share) for own, over, name, share in self._terms]

    def parts(self, x: MLPWeights) -> dict[Map, Tensor]:
        """What each map gives by itself, broadcast to its target: the definition of the layer, map by map."""
        found: dict[Map, Tensor] = {}
        sources = dict(zip(places(self.dims), x.tensors(), strict=True))
        for own, over, module, share in self.terms():
            source, target = sources[own.source], own.target
            made = share * module(own.source.pooled(own.source.as_set(source), over, self.reduction))
            shape = (len(x), *(self.dims[layer] for layer in target.axes), self.out_features)
            made = target.as_tensor(made, over, own.whole).expand(shape)
            found[own] = found[own] + made if own in found else made
        return found

    def forward(self, x: MLPWeights) -> MLPWeights:
        """Of ``in_features`` to ``out_features``.

        Raises:
            ValueError: for networks of another layout, or other features.
        """
        if x.dims != self.dims or x.features != self.in_features:
            raise ValueError(
                f"expected networks {list(self.dims)} with {self.in_features} features an entry, got {list(x.dims)} "
                f"with {x.features}"
            )
        tensors = dict(zip(places(self.dims), x.tensors(), strict=True))
        sums: dict[Place, dict[tuple[tuple[int, ...], bool], Tensor]] = {place: {} for place in tensors}
        by_source: dict[tuple[Place, tuple[int, ...]], list[Term]] = {}
        for term in self.terms():
            by_source.setdefault((term.map.source, term.over), []).append(term)
        for (source, over), terms in by_source.items():
            pooled = source.pooled(source.as_set(tensors[source]), over, self.reduction)
            for term, made in zip(terms, apply_all([own.module for own in terms], pooled), strict=True):
                own = sums[term.map.target]
                key = (over, term.map.whole)
                made = made if term.share == 1 else made * term.share
                own[key] = own[key] + made if key in own else made
        scale = 1 / (2 * (len(self.dims) - 1))
        made = []
        for place, tensor in tensors.items():
            total = sum(place.as_tensor(own * scale, over, whole) for (over, whole), own in sums[place].items())
            assert isinstance(total, Tensor)
            total = total.expand(*tensor.shape[:-1], self.out_features)
            made.append(total + self.skip(tensor) if self.skip is not None and self.skips_all else total)
        return MLPWeights(tuple(made[: x.num_layers]), tuple(made[x.num_layers :]))
