"""GPT-2: weights stored (in, out), queries, keys and values fused along the outputs, the output layer tied."""

from graphlab.weightgraph.layouts.nino.attention import Fused
from graphlab.weightgraph.layouts.nino.transformer import Family, Input
from graphlab.weightgraph.layouts.nino.types import EdgeType

GPT2 = Family(
    trunk="transformer.",
    blocks="h.",
    inputs=(Input("wte.weight", EdgeType.WORD), Input("wpe.weight", EdgeType.POSITION)),
    before=("ln_1",),
    projections=Fused("attn.c_attn.weight", "attn.c_attn.bias", in_first=True),
    output="attn.c_proj",
    between=("ln_2",),
    expand="mlp.c_fc",
    contract="mlp.c_proj",
    in_first=True,
    final_norms=("ln_f",),
)
