"""Llama and Qwen3. As published, the norms are drawn on the block's output, not where they act."""

from dataclasses import replace

from graphlab.weightgraph.layouts.nino.attention import Separate
from graphlab.weightgraph.layouts.nino.transformer import Family, Input
from graphlab.weightgraph.layouts.nino.types import EdgeType

LLAMA = Family(
    trunk="model.",
    blocks="layers.",
    inputs=(Input("embed_tokens.weight", EdgeType.WORD),),
    projections=Separate("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    output="self_attn.o_proj",
    gate="mlp.gate_proj",
    expand="mlp.up_proj",
    contract="mlp.down_proj",
    after=("input_layernorm", "post_attention_layernorm"),
    final_norms=("norm",),
    head="lm_head",
)

QWEN3 = replace(LLAMA, qk_norms=("self_attn.q_norm", "self_attn.k_norm"))
