"""The node groups that each architecture has, by formula.

A row says what its neurons are, how many there are, which parameters they index, and what they are inside of. `on` is a
list of shell patterns over the names of parameters and persistent buffers: ``{a,b}`` stands for each of a and b, a
pattern behind ``-`` takes away. Rows marked `fixed` are told apart by something (inputs, outputs, vocabularies, rotary
frequencies); all others may be permuted.

Reading the table of a decoder with L layers, H query heads and K key/value heads of d: one residual stream; a layer has
its feed-forward neurons, K key/value heads, in each of them the H / K query heads that share it and the d value/output
neurons. Its query/key neurons are d neurons a head (one permutation for both) unless rotary embeddings fix them: then
each of the d / 2 frequencies, the same for all layers, indexes them twice.
"""

from __future__ import annotations

import fnmatch
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Row:
    what: str
    size: int
    on: str
    within: str = ""
    fixed: bool = False


Table = list[Row]
EXPECTED: dict[str, Callable[[Any], Table]] = {}


def table(*names: str) -> Callable[[Callable[[Any], Table]], Callable[[Any], Table]]:
    """Register the rows of the architectures named, a function of the module."""

    def register(build: Callable[[Any], Table]) -> Callable[[Any], Table]:
        EXPECTED.update(dict.fromkeys(names, build))
        return build

    return register


def matching(on: str, names: list[str]) -> frozenset[str]:
    """The names that a list of patterns means."""
    found: set[str] = set()
    for pattern in on.split():
        for one in _braces(pattern.removeprefix("-")):
            hits = set(fnmatch.filter(names, one))
            assert hits, f"{one} is no parameter"
            found = found - hits if pattern.startswith("-") else found | hits
    return frozenset(found)


def _braces(pattern: str) -> Iterator[str]:
    parts = re.split(r"\{([^}]*)\}", pattern)
    choices = [part.split(",") if position % 2 else [part] for position, part in enumerate(parts)]
    return map("".join, itertools.product(*choices))


# --- perceptrons ------------------------------------------------------------------------------------------------------


def _chain(layers: list[nn.Linear], names: list[str]) -> Table:
    """Hidden neurons between each two layers; inputs and outputs fixed."""
    rows = [Row("inputs", layers[0].in_features, f"{names[0]}.weight", fixed=True)]
    rows += [
        Row("hidden", layer.out_features, f"{name}.{{weight,bias}} {following}.weight")
        for layer, name, following in zip(layers, names, names[1:], strict=False)
    ]
    return [*rows, Row("outputs", layers[-1].out_features, f"{names[-1]}.{{weight,bias}}", fixed=True)]


@table("mlp")
def mlp(m: nn.Sequential) -> Table:
    layers = {name: child for name, child in m.named_children() if isinstance(child, nn.Linear)}
    return _chain(list(layers.values()), list(layers))


@table("siren")
def siren(m: Any) -> Table:
    return _chain(list(m.layers), [f"layers.{i}" for i in range(len(m.layers))])


@table("glu_mlp")
def glu_mlp(m: Any) -> Table:
    return [
        Row("inputs", m.embed.in_features, "embed.weight", fixed=True),
        Row("residual", m.embed.out_features, "embed.* separate.* fused.weight"),
        Row("gated", m.separate.up.out_features, "separate.*"),
        Row("gated, one fused matrix", m.fused.out_features // 2, "fused.* head.weight"),
        Row("outputs", m.head.out_features, "head.*", fixed=True),
    ]


# --- convolutional networks -------------------------------------------------------------------------------------------


@table("vgg")
def vgg(m: nn.Sequential) -> Table:
    return [
        Row("colours", 3, "0.weight", fixed=True),
        Row("channels", m[0].out_channels, "0.* 2.weight"),
        Row("channels", m[2].out_channels, "2.* 5.weight"),
        Row("channels, each with 3 x 3 pixels in the next layer", m[5].out_channels, "5.* 9.weight"),
        Row("hidden", m[9].out_features, "9.* 12.weight"),
        Row("classes", m[12].out_features, "12.*", fixed=True),
    ]


_BN = "{weight,bias,running_mean,running_var}"


@table("resnet")
def resnet(m: nn.Sequential) -> Table:
    """One residual stream a stage; in each block the channels between its two convolutions."""
    first, second = m[4][0].conv1.out_channels, m[5][0].conv1.out_channels
    blocks = [
        Row("in a block", m[s][b].conv1.out_channels, f"{s}.{b}.conv1.weight {s}.{b}.bn1.{_BN} {s}.{b}.conv2.weight")
        for s in (4, 5)
        for b in (0, 1)
    ]
    into_next = "5.0.conv1.weight 5.0.downsample.0.weight"
    return [
        Row("colours", 3, "0.weight", fixed=True),
        Row("residual", first, f"0.weight 1.{_BN} 4.?.conv?.weight 4.?.bn2.{_BN} {into_next}"),
        *blocks,
        Row(
            "residual",
            second,
            f"5.0.downsample.0.weight 5.0.downsample.1.{_BN} 5.?.conv2.weight 5.?.bn2.{_BN} 5.1.conv1.weight 8.weight",
        ),
        Row("classes", m[8].out_features, "8.*", fixed=True),
    ]


@table("depthwise_separable")
def depthwise_separable(m: Any) -> Table:
    """Depthwise convolutions keep their channels; a depth multiplier puts two channels inside each."""
    expanded = [
        Row(
            "expanded", block.block[0].out_channels, f"blocks.{i}.block.{{0,3,6}}.weight blocks.{i}.block.{{1,4}}.{_BN}"
        )
        for i, block in enumerate(m.blocks)
    ]
    first = f"stem.0.weight stem.1.{_BN} blocks.0.block.{{0,6}}.weight blocks.0.block.7.{_BN} blocks.1.block.0.weight"
    last = f"blocks.{{1,2}}.block.6.weight blocks.{{1,2}}.block.7.{_BN} blocks.2.block.0.weight multiply.* head.weight"
    return [
        Row("colours", 3, "stem.0.weight", fixed=True),
        Row("residual", m.stem[0].out_channels, first),
        *expanded,
        Row("residual, later", m.multiply.in_channels, last),
        Row("multiplied", 2, "multiply.* head.weight", within="residual, later"),
        Row("classes", m.head.out_features, "head.*", fixed=True),
    ]


@table("unet")
def unet(m: Any) -> Table:
    """A joining convolution reads ``skip + up``: the encoder's channels, then the upsampled ones."""

    def double(name: str, reader: str) -> Table:
        block = getattr(m, name)
        return [
            Row("channels", block[0].out_channels, f"{name}.0.weight {name}.1.{_BN} {name}.3.weight"),
            Row("channels", block[3].out_channels, f"{name}.3.* {reader}"),
        ]

    return [
        Row("colours", 3, "down1.0.weight", fixed=True),
        *double("down1", "down2.0.weight join1.0.weight"),
        *double("down2", "bottom.0.weight join2.0.weight"),
        *double("bottom", "up2.weight"),
        Row("up", m.up2.out_channels, "up2.* join2.0.weight"),
        *double("join2", "up1.weight"),
        Row("up", m.up1.out_channels, "up1.* join1.0.weight"),
        *double("join1", "head.weight"),
        Row("classes", m.head.out_channels, "head.*", fixed=True),
    ]


@table("resnext_block")
def resnext_block(m: Any) -> Table:
    """Grouped convolutions: groups of channels, and the channels in each before and after."""
    groups = m.middle[0].groups
    before, after = m.reduce[0].out_channels // groups, m.middle[0].out_channels // groups
    around = f"reduce.0.weight reduce.1.{_BN} middle.0.weight middle.1.{_BN} expand.0.weight"
    return [
        Row("colours", 3, "stem.weight", fixed=True),
        Row("residual", m.stem.out_channels, f"stem.* reduce.0.weight expand.0.weight expand.1.{_BN} head.weight"),
        Row("channel groups", groups, around),
        Row("channels in", before, f"reduce.0.weight reduce.1.{_BN} middle.0.weight", within="channel groups"),
        Row("channels out", after, f"middle.0.weight middle.1.{_BN} expand.0.weight", within="channel groups"),
        Row("classes", m.head.out_features, "head.*", fixed=True),
    ]


@table("group_norm_cnn")
def group_norm_cnn(m: nn.Sequential) -> Table:
    groups = m[1].num_groups
    return [
        Row("colours", 3, "0.weight", fixed=True),
        Row("normalised groups", groups, "0.* 1.* 4.weight"),
        Row("channels in a group", m[0].out_channels // groups, "0.* 1.* 4.weight", within="normalised groups"),
        Row("channels", m[4].out_channels, "4.* 5.* 7.weight"),
        Row("channels", m[7].out_channels, "7.* 8.* 9.weight 12.weight"),
        Row("classes", m[12].out_features, "12.*", fixed=True),
    ]


@table("conv1d_net")
def conv1d_net(m: nn.Sequential) -> Table:
    return [
        Row("inputs", m[0].in_channels, "0.weight", fixed=True),
        Row("channels", m[0].out_channels, f"0.* 1.{_BN} 4.weight"),
        Row("channels", m[4].out_channels, "4.* 8.weight"),
        Row("classes", m[8].out_features, "8.*", fixed=True),
    ]


@table("conv3d_net")
def conv3d_net(m: nn.Sequential) -> Table:
    return [
        Row("inputs", m[0].in_channels, "0.weight", fixed=True),
        Row("channels", m[0].out_channels, f"0.* 1.{_BN} 4.weight"),
        Row("channels, each with its voxels in the next layer", m[4].out_channels, "4.* 7.weight"),
        Row("classes", m[7].out_features, "7.*", fixed=True),
    ]


@table("convnext")
def convnext(m: Any) -> Table:
    """One residual stream a stage, four times as many neurons inside each block."""
    c = m.config
    rows = [Row("colours", c.num_channels, "*patch_embeddings.weight", fixed=True)]
    for s, (width, depth) in enumerate(zip(c.hidden_sizes, c.depths, strict=True)):
        stage = f"convnext.encoder.stages.{s}"
        on = f"{stage}.layers.* -{stage}.layers.*.pwconv1.bias"
        on += " convnext.embeddings.*" if s == 0 else f" {stage}.downsampling_layer.1.*"
        last = s == len(c.depths) - 1
        on += " convnext.layernorm.* classifier.weight" if last else f" *.stages.{s + 1}.downsampling_layer.0.*"
        on += "" if last else f" *.stages.{s + 1}.downsampling_layer.1.weight"
        rows.append(Row("residual", width, on))
        rows += [
            Row("hidden", 4 * width, f"{stage}.layers.{b}.pwconv1.* {stage}.layers.{b}.pwconv2.weight")
            for b in range(depth)
        ]
    return [*rows, Row("classes", c.num_labels, "classifier.*", fixed=True)]


# --- recurrent networks -----------------------------------------------------------------------------------------------


@table("lstm", "bilstm", "gru")
def recurrent(m: Any) -> Table:
    """The hidden neurons of each layer and direction, once in every gate."""
    r = m.recurrent
    ways = ["", "_reverse"] if r.bidirectional else [""]
    rows = []
    for layer in range(r.num_layers):
        reader = f"recurrent.weight_ih_l{layer + 1}*" if layer + 1 < r.num_layers else "head.weight"
        rows += [
            Row(
                "hidden",
                r.hidden_size,
                f"recurrent.{{weight_ih,weight_hh,bias_ih,bias_hh}}_l{layer}{way} {reader}",
            )
            for way in ways
        ]
    first = " ".join(f"recurrent.weight_ih_l0{way}" for way in ways)
    return [
        Row("vocabulary", m.embedding.num_embeddings, "embedding.weight", fixed=True),
        Row("embedding", r.input_size, f"embedding.weight {first}"),
        *rows,
        Row("classes", m.head.out_features, "head.*", fixed=True),
    ]


# --- transformers -----------------------------------------------------------------------------------------------------


def _attention(q: str, k: str, v: str, o: str, heads: int, inside: int, value: int | None = None) -> Table:
    """Plain attention: heads; in each of them the query/key neurons, and the value/output neurons.

    q, k, v are patterns for weights and biases, o for the output's weight.
    """
    return [
        Row(f"heads of {q}", heads, f"{q} {k} {v} {o}"),
        Row("query/key", inside, f"{q} {k}", within=f"heads of {q}"),
        Row("value/output", value or inside, f"{v} {o}", within=f"heads of {q}"),
    ]


@table("transformer_encoder")
def transformer_encoder(m: Any) -> Table:
    layers = m.encoder.layers
    rows = []
    for i, layer in enumerate(layers):
        name, attention = f"encoder.layers.{i}", layer.self_attn
        fused, out = f"{name}.self_attn.in_proj_*", f"{name}.self_attn.out_proj.weight"
        heads = f"heads {i}"
        rows += [
            Row(heads, attention.num_heads, f"{fused} {out}"),
            Row("query/key", attention.head_dim, fused, within=heads),
            Row("value/output", attention.head_dim, f"{fused} {out}", within=heads),
            Row("hidden", layer.linear1.out_features, f"{name}.linear1.* {name}.linear2.weight"),
        ]
    stream = "embed.* encoder.* head.weight -encoder.layers.*.self_attn.in_proj_bias -encoder.layers.*.linear1.bias"
    return [
        Row("inputs", m.embed.in_features, "embed.weight", fixed=True),
        Row("residual", m.embed.out_features, stream),
        *rows,
        Row("classes", m.head.out_features, "head.*", fixed=True),
    ]


@table("mha_cross")
def mha_cross(m: Any) -> Table:
    a = m.attention
    bias, out = "attention.in_proj_bias", "attention.out_proj.weight"
    return [
        Row("query inputs", m.query.in_features, "query.weight", fixed=True),
        Row("key inputs", a.kdim, "attention.k_proj_weight", fixed=True),
        Row("value inputs", a.vdim, "attention.v_proj_weight", fixed=True),
        Row("residual", a.embed_dim, "query.* attention.q_proj_weight attention.out_proj.* norm.* head.weight"),
        Row("heads", a.num_heads, f"attention.?_proj_weight {bias} {out}"),
        Row("query/key", a.head_dim, f"attention.{{q,k}}_proj_weight {bias}", within="heads"),
        Row("value/output", a.head_dim, f"attention.v_proj_weight {bias} {out}", within="heads"),
        Row("classes", m.head.out_features, "head.*", fixed=True),
    ]


@table("vit_timm_style")
def vit_timm_style(m: Any) -> Table:
    rows = []
    for i, block in enumerate(m.blocks):
        qkv, out, heads = f"blocks.{i}.attn.qkv.*", f"blocks.{i}.attn.proj.weight", f"heads {i}"
        rows += [
            Row(heads, block.attn.heads, f"{qkv} {out}"),
            Row("query/key", block.attn.head_width, qkv, within=heads),
            Row("value/output", block.attn.head_width, f"{qkv} {out}", within=heads),
            Row("hidden", block.mlp[0].out_features, f"blocks.{i}.mlp.0.* blocks.{i}.mlp.2.weight"),
        ]
    stream = "patch_embed.* cls_token pos_embed blocks.* norm.* head.weight -blocks.*.qkv.bias -blocks.*.mlp.0.bias"
    return [
        Row("colours", 3, "patch_embed.weight", fixed=True),
        Row("residual", m.patch_embed.out_channels, stream),
        *rows,
        Row("classes", m.head.out_features, "head.*", fixed=True),
    ]


@table("vit")
def vit(m: Any) -> Table:
    c = m.config
    rows = []
    for i in range(c.num_hidden_layers):
        a, f = f"vit.layers.{i}.attention", f"vit.layers.{i}.mlp"
        heads = c.num_attention_heads
        rows += _attention(*(f"{a}.{x}_proj.*" for x in "qkv"), f"{a}.o_proj.weight", heads, c.hidden_size // heads)
        rows.append(Row("hidden", c.intermediate_size, f"{f}.fc1.* {f}.fc2.weight"))
    return [
        Row("colours", c.num_channels, "vit.embeddings.patch_embeddings.projection.weight", fixed=True),
        Row("residual", c.hidden_size, "vit.* classifier.weight -vit.layers.*.{q_proj,k_proj,v_proj,fc1}.bias"),
        *rows,
        Row("classes", c.num_labels, "classifier.*", fixed=True),
    ]


@table("swin")
def swin(m: Any) -> Table:
    """One residual stream a stage; merging reads four neighbours of it; heads index their bias table."""
    c = m.config
    rows = [Row("colours", c.num_channels, "*patch_embeddings.projection.weight", fixed=True)]
    for s, (depth, heads) in enumerate(zip(c.depths, c.num_heads, strict=True)):
        width, stage = c.embed_dim * 2**s, f"swin.encoder.layers.{s}"
        on = f"{stage}.blocks.* -{stage}.blocks.*.{{q_proj,k_proj,v_proj,fc1}}.bias"
        on += f" -{stage}.blocks.*.relative_position_bias_table"
        on += " swin.embeddings.*" if s == 0 else f" swin.encoder.layers.{s - 1}.downsample.reduction.weight"
        last = s == len(c.depths) - 1
        on += " swin.layernorm.* classifier.weight" if last else f" {stage}.downsample.*"
        rows.append(Row("residual", width, on))
        for b in range(depth):
            a, f = f"{stage}.blocks.{b}.attention", f"{stage}.blocks.{b}.mlp"
            bias = f"{a}.relative_position_bias.relative_position_bias_table"
            q, k, v, o = *(f"{a}.{x}_proj.*" for x in "qkv"), f"{a}.o_proj.weight"
            plain = _attention(q, k, v, o, heads, width // heads)
            rows += [Row(plain[0].what, heads, f"{plain[0].on} {bias}"), *plain[1:]]
            rows.append(Row("relative positions", (2 * c.window_size - 1) ** 2, bias, fixed=True))
            rows.append(Row("hidden", int(c.mlp_ratio * width), f"{f}.fc1.* {f}.fc2.weight"))
    return [*rows, Row("classes", c.num_labels, "classifier.*", fixed=True)]


def _bert_layers(c: Any) -> Table:
    rows = []
    for i in range(c.num_hidden_layers):
        layer = f"bert.encoder.layer.{i}"
        q, k, v = (f"{layer}.attention.self.{x}.*" for x in ("query", "key", "value"))
        heads = c.num_attention_heads
        rows += _attention(q, k, v, f"{layer}.attention.output.dense.weight", heads, c.hidden_size // heads)
        hidden = f"{layer}.intermediate.dense.* {layer}.output.dense.weight"
        rows.append(Row("hidden", c.intermediate_size, hidden))
    embeddings = "bert.embeddings"
    return [
        *rows,
        Row("positions", c.max_position_embeddings, f"{embeddings}.position_embeddings.weight", fixed=True),
        Row("token types", c.type_vocab_size, f"{embeddings}.token_type_embeddings.weight", fixed=True),
    ]


_BERT_STREAM = "bert.* -bert.encoder.layer.*.{query,key,value}.bias -bert.encoder.layer.*.intermediate.dense.bias"


@table("bert", "bert_eager")
def bert(m: Any) -> Table:
    c = m.config
    return [
        Row("vocabulary", c.vocab_size, "*.word_embeddings.weight", fixed=True),
        Row("residual", c.hidden_size, f"{_BERT_STREAM} -bert.pooler.dense.bias"),
        *_bert_layers(c),
        Row("pooled", c.hidden_size, "bert.pooler.dense.* classifier.weight"),
        Row("classes", c.num_labels, "classifier.*", fixed=True),
    ]


@table("bert_mlm")
def bert_mlm(m: Any) -> Table:
    """The decoder is tied to the word embeddings: one vocabulary, and it reads the residual stream's order."""
    c = m.config
    return [
        Row("vocabulary", c.vocab_size, "*.word_embeddings.weight cls.predictions.bias", fixed=True),
        Row("residual", c.hidden_size, f"{_BERT_STREAM} cls.predictions.transform.*"),
        *_bert_layers(c),
    ]


@table("gpt2")
def gpt2(m: Any) -> Table:
    """Query, key and value in one matrix, ``[in, 3 * (heads . inside)]``; the head is tied to the embedding."""
    c = m.config
    rows = []
    for i in range(c.n_layer):
        layer, heads = f"transformer.h.{i}", f"heads {i}"
        fused, out = f"{layer}.attn.c_attn.*", f"{layer}.attn.c_proj.weight"
        rows += [
            Row(heads, c.n_head, f"{fused} {out}"),
            Row("query/key", c.n_embd // c.n_head, fused, within=heads),
            Row("value/output", c.n_embd // c.n_head, f"{fused} {out}", within=heads),
            Row("hidden", c.n_inner, f"{layer}.mlp.c_fc.* {layer}.mlp.c_proj.weight"),
        ]
    return [
        Row("vocabulary", c.vocab_size, "transformer.wte.weight", fixed=True),
        Row("positions", c.n_positions, "transformer.wpe.weight", fixed=True),
        Row("residual", c.n_embd, "transformer.* -transformer.h.*.c_attn.bias -transformer.h.*.c_fc.bias"),
        *rows,
    ]


@table("gpt_neox", "gpt_neox_partial")
def gpt_neox(m: Any) -> Table:
    """Query, key and value inside each head: ``heads . (query + key + value)``; rotary on the first part of a head.

    What rotary embeddings leave of query and key stays free.
    """
    c = m.config
    inside = c.hidden_size // c.num_attention_heads
    rotary = int(inside * c.rope_parameters["partial_rotary_factor"])
    rows = []
    for i in range(c.num_hidden_layers):
        layer, heads = f"gpt_neox.layers.{i}", f"heads {i}"
        fused, out = f"{layer}.attention.query_key_value.*", f"{layer}.attention.dense.weight"
        rows += [
            Row(heads, c.num_attention_heads, f"{fused} {out}"),
            Row("value/output", inside, f"{fused} {out}", within=heads),
            Row("hidden", c.intermediate_size, f"{layer}.mlp.dense_h_to_4h.* {layer}.mlp.dense_4h_to_h.weight"),
        ]
        if rotary < inside:
            rows.append(Row("query/key beside rotary", inside - rotary, fused, within=heads))
    stream = "* -*.query_key_value.bias -*.dense_h_to_4h.bias"
    return [
        Row("vocabulary", c.vocab_size, "gpt_neox.embed_in.weight", fixed=True),
        Row("residual", c.hidden_size, stream),
        Row("rotary frequencies", rotary // 2, "*.query_key_value.*", fixed=True),
        *rows,
        Row("vocabulary, predicted", c.vocab_size, "lm_head.weight", fixed=True),
    ]


def _decoder(m: Any, feed_forward: Callable[[str], Table], norms: str = "") -> Table:
    """Grouped-query attention with rotary embeddings; `norms` are the weights of query/key normalisation."""
    c = m.config
    inside = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    rows = []
    for i in range(c.num_hidden_layers):
        a, kv = f"model.layers.{i}.self_attn", f"key/value heads {i}"
        rows += [
            Row(kv, c.num_key_value_heads, f"{a}.{{q,k,v,o}}_proj.weight"),
            Row(
                "query heads that share it",
                c.num_attention_heads // c.num_key_value_heads,
                f"{a}.{{q,o}}_proj.weight",
                within=kv,
            ),
            Row("value/output", inside, f"{a}.{{v,o}}_proj.weight", within=kv),
            *feed_forward(f"model.layers.{i}.mlp"),
        ]
    tied = m.get_output_embeddings().weight is m.get_input_embeddings().weight
    vocabularies = [Row("vocabulary", c.vocab_size, "model.embed_tokens.weight", fixed=True)]
    if not tied:
        vocabularies.append(Row("vocabulary, predicted", c.vocab_size, "lm_head.weight", fixed=True))
    return [
        *vocabularies,
        Row("residual", c.hidden_size, "*" + (f" -{norms}" if norms else "")),
        Row("rotary frequencies", inside // 2, f"model.layers.*.self_attn.{{q,k}}_proj.weight {norms}", fixed=True),
        *rows,
    ]


@table("llama", "llama_tied", "llama_eager")
def llama(m: Any) -> Table:
    return _decoder(m, lambda mlp: [Row("hidden", m.config.intermediate_size, f"{mlp}.{{gate,up,down}}_proj.weight")])


@table("qwen3")
def qwen3(m: Any) -> Table:
    def hidden(mlp: str) -> Table:
        return [Row("hidden", m.config.intermediate_size, f"{mlp}.{{gate,up,down}}_proj.weight")]

    return _decoder(m, hidden, norms="model.layers.*.self_attn.{q,k}_norm.weight")


def _experts(count: int, size: int) -> Callable[[str], Table]:
    """Experts with their router rows, and the hidden neurons of each."""
    return lambda mlp: [
        Row(f"experts {mlp}", count, f"{mlp}.gate.weight {mlp}.experts.*"),
        Row("hidden in an expert", size, f"{mlp}.experts.*", within=f"experts {mlp}"),
    ]


@table("mixtral")
def mixtral(m: Any) -> Table:
    return _decoder(m, _experts(m.config.num_local_experts, m.config.intermediate_size))


@table("qwen3_moe")
def qwen3_moe(m: Any) -> Table:
    experts = _experts(m.config.num_experts, m.config.moe_intermediate_size)
    return _decoder(m, experts, norms="model.layers.*.self_attn.{q,k}_norm.weight")


@table("t5")
def t5(m: Any) -> Table:
    """The position bias of the first layer serves all: the heads of a stack's self-attention are one group.

    Encoder and decoder share one residual stream's order, for they share the embedding.
    """
    c = m.config
    rows = []
    for stack, depth, feed_forward in (("encoder", c.num_layers, 1), ("decoder", c.num_decoder_layers, 2)):
        own = f"{stack}.block.*.layer.0.SelfAttention"
        bias = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        rows += [
            Row(f"{stack} heads", c.num_heads, f"{own}.{{q,k,v,o}}.weight {bias}"),
            Row("relative positions", c.relative_attention_num_buckets, bias, fixed=True),
        ]
        for i in range(depth):
            layer = f"{stack}.block.{i}.layer"
            a = f"{layer}.0.SelfAttention"
            rows += [
                Row("query/key", c.d_kv, f"{a}.{{q,k}}.weight", within=f"{stack} heads"),
                Row("value/output", c.d_kv, f"{a}.{{v,o}}.weight", within=f"{stack} heads"),
                Row("hidden", c.d_ff, f"{layer}.{feed_forward}.DenseReluDense.{{wi,wo}}.weight"),
            ]
            if stack == "decoder":
                q, k, v, o = (f"{layer}.1.EncDecAttention.{x}.weight" for x in "qkvo")
                rows += _attention(q, k, v, o, c.num_heads, c.d_kv)
    return [
        Row("vocabulary", c.vocab_size, "shared.weight", fixed=True),
        Row("residual", c.d_model, "* -*.relative_attention_bias.weight"),
        *rows,
    ]


@table("whisper")
def whisper(m: Any) -> Table:
    """The decoder's cross-attention reads the encoder's residual stream."""
    c = m.config
    rows = []
    for stack, depth, heads, hidden in (
        ("encoder", c.encoder_layers, c.encoder_attention_heads, c.encoder_ffn_dim),
        ("decoder", c.decoder_layers, c.decoder_attention_heads, c.decoder_ffn_dim),
    ):
        for i in range(depth):
            layer = f"model.{stack}.layers.{i}"
            for a in ["self_attn"] if stack == "encoder" else ["self_attn", "encoder_attn"]:
                q, k, v = (f"{layer}.{a}.{x}_proj.*" for x in "qkv")
                rows += _attention(q, k, v, f"{layer}.{a}.out_proj.weight", heads, c.d_model // heads)
            rows.append(Row("hidden", hidden, f"{layer}.fc1.* {layer}.fc2.weight"))
    biases = "-*.{q_proj,v_proj,fc1}.bias"
    cross = "*.encoder_attn.{k,v}_proj.weight"
    return [
        Row("mel bins", c.num_mel_bins, "model.encoder.conv1.weight", fixed=True),
        Row("first convolution", c.d_model, "model.encoder.conv1.* model.encoder.conv2.weight"),
        Row("encoder positions", c.max_source_positions, "model.encoder.embed_positions.weight", fixed=True),
        Row("decoder positions", c.max_target_positions, "model.decoder.embed_positions.weight", fixed=True),
        Row("vocabulary", c.vocab_size, "model.decoder.embed_tokens.weight", fixed=True),
        Row("encoder residual", c.d_model, f"model.encoder.* -model.encoder.conv1.* {biases} {cross}"),
        Row("decoder residual", c.d_model, f"model.decoder.* {biases} -{cross}"),
        *rows,
    ]


@table("clip")
def clip(m: Any) -> Table:
    """Two towers that meet in the projection, whose neurons are free: only products over them come out."""
    rows = []
    for tower, c in (("text_model", m.config.text_config), ("vision_model", m.config.vision_config)):
        for i in range(c.num_hidden_layers):
            layer = f"{tower}.encoder.layers.{i}"
            q, k, v = (f"{layer}.self_attn.{x}_proj.*" for x in "qkv")
            heads = c.num_attention_heads
            rows += _attention(q, k, v, f"{layer}.self_attn.out_proj.weight", heads, c.hidden_size // heads)
            rows.append(Row("hidden", c.intermediate_size, f"{layer}.mlp.fc1.* {layer}.mlp.fc2.weight"))
        projection = "text_projection.weight" if tower == "text_model" else "visual_projection.weight"
        biases = "-*.{q_proj,k_proj,v_proj,fc1}.bias"
        rows.append(Row("residual", c.hidden_size, f"{tower}.* {projection} {biases}"))
    text, vision = m.config.text_config, m.config.vision_config
    places = (vision.image_size // vision.patch_size) ** 2 + 1
    return [
        Row("vocabulary", text.vocab_size, "text_model.embeddings.token_embedding.weight", fixed=True),
        Row("positions", text.max_position_embeddings, "text_model.embeddings.position_embedding.weight", fixed=True),
        Row("colours", vision.num_channels, "vision_model.embeddings.patch_embedding.weight", fixed=True),
        Row("places", places, "vision_model.embeddings.position_embedding.weight", fixed=True),
        Row("projection", m.config.projection_dim, "text_projection.weight visual_projection.weight"),
        *rows,
    ]
