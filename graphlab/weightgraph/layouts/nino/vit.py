"""Vision transformer by torchvision's names: queries, keys and values fused along the outputs."""

from graphlab.weightgraph.layouts.nino.attention import Fused
from graphlab.weightgraph.layouts.nino.transformer import Family, Input
from graphlab.weightgraph.layouts.nino.types import EdgeType

VIT = Family(
    trunk="",
    blocks="encoder.layers.encoder_layer_",
    inputs=(
        Input("class_token", EdgeType.WORD, dim=3),
        Input("conv_proj.weight", EdgeType.CONV, dim=4, in_first=False),
        Input("encoder.pos_embedding", EdgeType.POSITION, dim=3),
    ),
    before=("ln_1",),
    projections=Fused("self_attention.in_proj_weight", "self_attention.in_proj_bias"),
    output="self_attention.out_proj",
    between=("ln_2",),
    expand="mlp.0",
    contract="mlp.3",
    final_norms=("encoder.ln",),
    head="heads.head",
)
