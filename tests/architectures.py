"""Small, randomly initialised networks that the tests trace.

Every builder is a function of no arguments, registered under its own name in `ARCHITECTURES`, that returns a fresh
`Example`: a float32 module in evaluation mode together with example inputs. Sizes are kept apart where that is
possible, so that two axes do not agree by accident, and every parameter is moved off its initial value, so that no
bias is zero, no norm is the identity and no layer scale is vanishing.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ARCHITECTURES", "Example", "architecture"]

BATCH = 2
SEQUENCE = 7
HIDDEN = 24
FFN = 40
HEADS = 4
KV_HEADS = 2
LAYERS = 2
VOCAB = 53
LABELS = 5
POSITIONS = 19


@dataclass(frozen=True)
class Example:
    """A network, the inputs it is traced on, and the name of the output that counts (None: the first)."""

    module: nn.Module
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    output: str | int | None = None


ARCHITECTURES: dict[str, Callable[[], Example]] = {}


def architecture(build: Callable[[], Example]) -> Callable[[], Example]:
    """Register a builder under its own name, seeded, its module randomised and put in evaluation mode."""
    name = build.__name__
    if name in ARCHITECTURES:
        raise ValueError(f"architecture {name!r} is registered twice")

    @functools.wraps(build)
    def seeded() -> Example:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            example = build()
            _randomise(example.module)
        example.module.eval()
        return example

    ARCHITECTURES[name] = seeded
    return seeded


@torch.no_grad()
def _randomise(module: nn.Module) -> None:
    """Move every parameter off its initial value and give every batch norm non-trivial running statistics."""
    for parameter in module.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.1)
    for submodule in module.modules():
        if isinstance(submodule, nn.modules.batchnorm._BatchNorm) and submodule.running_mean is not None:
            submodule.running_mean.normal_(0.0, 0.3)
            submodule.running_var.uniform_(0.5, 1.5)


def _tokens(length: int = SEQUENCE, vocab: int = VOCAB) -> Tensor:
    """Token ids that are never a special token (the special ids used below are 0, 1 and 2)."""
    return torch.randint(3, vocab, (BATCH, length))


# --- plain networks ---------------------------------------------------------------------------------------------------


@architecture
def mlp() -> Example:
    module = nn.Sequential(nn.Linear(11, 24), nn.ReLU(), nn.Linear(24, 17), nn.ReLU(), nn.Linear(17, LABELS))
    return Example(module, (torch.randn(BATCH, 11),))


class Siren(nn.Module):
    def __init__(self, sizes: tuple[int, ...], omega: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in itertools.pairwise(sizes))
        self.omega = omega

    def forward(self, x: Tensor) -> Tensor:
        *hidden, last = self.layers
        for layer in hidden:
            x = torch.sin(self.omega * layer(x))
        return last(x)


@architecture
def siren() -> Example:
    return Example(Siren((2, 24, 17, 3), omega=30.0), (torch.rand(13, 2) * 2 - 1,))


class SwiGLU(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


class GatedMLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(11, HIDDEN)
        self.separate = SwiGLU(HIDDEN, FFN)
        self.fused = nn.Linear(HIDDEN, 2 * 17)
        self.head = nn.Linear(17, LABELS)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        x = x + self.separate(x)
        return self.head(F.glu(self.fused(x), dim=-1))


@architecture
def glu_mlp() -> Example:
    return Example(GatedMLP(), (torch.randn(BATCH, 11),))


# --- convolutional networks -------------------------------------------------------------------------------------------


@architecture
def vgg() -> Example:
    module = nn.Sequential(
        nn.Conv2d(3, 10, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(10, 12, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 14, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(14 * 3 * 3, 22),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(22, LABELS),
    )
    return Example(module, (torch.randn(BATCH, 3, 12, 12),))


class ResidualBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        x += shortcut
        return self.relu(x)


@architecture
def resnet() -> Example:
    module = nn.Sequential(
        nn.Conv2d(3, 10, 7, 2, 3, bias=False),
        nn.BatchNorm2d(10),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
        nn.Sequential(ResidualBlock(10, 10, 1), ResidualBlock(10, 10, 1)),
        nn.Sequential(ResidualBlock(10, 14, 2), ResidualBlock(14, 14, 1)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(1),
        nn.Linear(14, LABELS),
    )
    return Example(module, (torch.randn(BATCH, 3, 32, 32),))


class InvertedResidual(nn.Module):
    def __init__(self, inputs: int, expanded: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.residual = stride == 1 and inputs == outputs
        self.block = nn.Sequential(
            nn.Conv2d(inputs, expanded, 1, bias=False),
            nn.BatchNorm2d(expanded),
            nn.ReLU6(),
            nn.Conv2d(expanded, expanded, 3, stride, 1, groups=expanded, bias=False),
            nn.BatchNorm2d(expanded),
            nn.ReLU6(),
            nn.Conv2d(expanded, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x) if self.residual else self.block(x)


class DepthwiseSeparable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.Hardswish())
        self.blocks = nn.Sequential(
            InvertedResidual(8, 20, 8, 1), InvertedResidual(8, 22, 12, 2), InvertedResidual(12, 26, 12, 1)
        )
        # A depth multiplier: two output channels to each input channel.
        self.multiply = nn.Conv2d(12, 24, 3, padding=1, groups=12)
        self.head = nn.Linear(24, LABELS)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.multiply(self.blocks(self.stem(x))))
        return self.head(x.mean((2, 3)))


@architecture
def depthwise_separable() -> Example:
    return Example(DepthwiseSeparable(), (torch.randn(BATCH, 3, 20, 20),))


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down1 = self._double(3, 8)
        self.down2 = self._double(8, 12)
        self.bottom = self._double(12, 20)
        self.up2 = nn.ConvTranspose2d(20, 14, 2, stride=2)
        self.join2 = self._double(14 + 12, 16)
        self.up1 = nn.ConvTranspose2d(16, 10, 2, stride=2)
        self.join1 = self._double(10 + 8, 9)
        self.head = nn.Conv2d(9, LABELS, 1)

    @staticmethod
    def _double(inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        skip1 = self.down1(x)
        skip2 = self.down2(F.max_pool2d(skip1, 2))
        x = self.bottom(F.max_pool2d(skip2, 2))
        x = self.join2(torch.cat([skip2, self.up2(x)], dim=1))
        x = self.join1(torch.cat([skip1, self.up1(x)], dim=1))
        return self.head(x)


@architecture
def unet() -> Example:
    return Example(UNet(), (torch.randn(BATCH, 3, 28, 28),))


class ResNeXtBlock(nn.Module):
    """A bottleneck whose middle convolution has 4 groups of 3 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 20, 3, padding=1)
        self.reduce = nn.Sequential(nn.Conv2d(20, 12, 1, bias=False), nn.BatchNorm2d(12), nn.ReLU())
        self.middle = nn.Sequential(nn.Conv2d(12, 12, 3, padding=1, groups=4, bias=False), nn.BatchNorm2d(12))
        self.expand = nn.Sequential(nn.Conv2d(12, 20, 1, bias=False), nn.BatchNorm2d(20))
        self.head = nn.Linear(20, LABELS)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = F.relu(x + self.expand(F.relu(self.middle(self.reduce(x)))))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


@architecture
def resnext_block() -> Example:
    return Example(ResNeXtBlock(), (torch.randn(BATCH, 3, 9, 9),))


@architecture
def group_norm_cnn() -> Example:
    module = nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1),
        nn.GroupNorm(4, 12),
        nn.SiLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(12, 14, 3, padding=1),
        nn.GroupNorm(1, 14),
        nn.LeakyReLU(0.1),
        nn.Conv2d(14, 16, 3, padding=1),
        nn.InstanceNorm2d(16, affine=True),
        nn.PReLU(16),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, LABELS),
    )
    return Example(module, (torch.randn(BATCH, 3, 10, 10),))


@architecture
def conv1d_net() -> Example:
    module = nn.Sequential(
        nn.Conv1d(6, 10, 5, padding=2),
        nn.BatchNorm1d(10),
        nn.ELU(),
        nn.MaxPool1d(2),
        nn.Conv1d(10, 14, 3, dilation=2, padding=2),
        nn.Tanh(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(14, LABELS),
    )
    return Example(module, (torch.randn(BATCH, 6, 18),))


@architecture
def conv3d_net() -> Example:
    module = nn.Sequential(
        nn.Conv3d(2, 8, 3, padding=1),
        nn.BatchNorm3d(8),
        nn.ReLU(),
        nn.MaxPool3d(2),
        nn.Conv3d(8, 10, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(10 * 2 * 3 * 4, LABELS),
    )
    return Example(module, (torch.randn(BATCH, 2, 4, 6, 8),))


# --- recurrent networks and torch's own attention ---------------------------------------------------------------------


class Recurrent(nn.Module):
    """Embedding, recurrent layers, and a linear head on the last step."""

    def __init__(self, recurrent: nn.RNNBase) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCAB, 10)
        self.recurrent = recurrent
        width = recurrent.hidden_size * (2 if recurrent.bidirectional else 1)
        self.head = nn.Linear(width, LABELS)

    def forward(self, ids: Tensor) -> Tensor:
        states, _ = self.recurrent(self.embedding(ids))
        return self.head(states[:, -1])


@architecture
def lstm() -> Example:
    return Example(Recurrent(nn.LSTM(10, 12, LAYERS, batch_first=True, dropout=0.1)), (_tokens(),))


@architecture
def bilstm() -> Example:
    return Example(Recurrent(nn.LSTM(10, 12, LAYERS, batch_first=True, bidirectional=True)), (_tokens(),))


@architecture
def gru() -> Example:
    return Example(Recurrent(nn.GRU(10, 12, LAYERS, batch_first=True)), (_tokens(),))


class TorchEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(HIDDEN, HEADS, FFN, activation="gelu", batch_first=True)
        self.embed = nn.Linear(11, HIDDEN)
        self.encoder = nn.TransformerEncoder(layer, LAYERS)
        self.head = nn.Linear(HIDDEN, LABELS)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(x)).mean(1))


@architecture
def transformer_encoder() -> Example:
    return Example(TorchEncoder(), (torch.randn(BATCH, SEQUENCE, 11),))


class CrossAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(11, HIDDEN)
        self.attention = nn.MultiheadAttention(HIDDEN, HEADS, batch_first=True, kdim=10, vdim=14)
        self.norm = nn.LayerNorm(HIDDEN)
        self.head = nn.Linear(HIDDEN, LABELS)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        query = self.query(query)
        attended, _ = self.attention(query, key, value, need_weights=False)
        return self.head(self.norm(query + attended))


@architecture
def mha_cross() -> Example:
    inputs = (torch.randn(BATCH, SEQUENCE, 11), torch.randn(BATCH, 9, 10), torch.randn(BATCH, 9, 14))
    return Example(CrossAttention(), inputs)


# --- vision transformers ----------------------------------------------------------------------------------------------


class TimmAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.head_width = width // heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        qkv = self.qkv(x).reshape(batch, length, 3, self.heads, self.head_width).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        x = F.scaled_dot_product_attention(query, key, value)
        return self.proj(x.transpose(1, 2).reshape(batch, length, width))


class TimmBlock(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = TimmAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class TimmViT(nn.Module):
    def __init__(self, side: int, patch: int) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(3, HIDDEN, patch, patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, HIDDEN))
        self.pos_embed = nn.Parameter(torch.randn(1, (side // patch) ** 2 + 1, HIDDEN) * 0.02)
        self.blocks = nn.Sequential(*(TimmBlock(HIDDEN, HEADS, FFN) for _ in range(LAYERS)))
        self.norm = nn.LayerNorm(HIDDEN, eps=1e-6)
        self.head = nn.Linear(HIDDEN, LABELS)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1) + self.pos_embed
        return self.head(self.norm(self.blocks(x))[:, 0])


@architecture
def vit_timm_style() -> Example:
    return Example(TimmViT(28, 4), (torch.randn(BATCH, 3, 28, 28),))


@architecture
def vit() -> Example:
    config = transformers.ViTConfig(
        image_size=28,
        patch_size=4,
        hidden_size=HIDDEN,
        intermediate_size=FFN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_labels=LABELS,
    )
    module = transformers.ViTForImageClassification(config)
    return Example(module, kwargs={"pixel_values": torch.randn(BATCH, 3, 28, 28)}, output="logits")


@architecture
def convnext() -> Example:
    config = transformers.ConvNextConfig(
        image_size=24, patch_size=2, num_stages=2, hidden_sizes=[10, 14], depths=[2, 1], num_labels=LABELS
    )
    module = transformers.ConvNextForImageClassification(config)
    return Example(module, kwargs={"pixel_values": torch.randn(BATCH, 3, 24, 24)}, output="logits")


@architecture
def swin() -> Example:
    """Stages of 12x12 and 6x6 tokens under 3x3 windows, the second block of each with shifted windows."""
    config = transformers.SwinConfig(
        image_size=24,
        patch_size=2,
        embed_dim=12,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=3,
        mlp_ratio=2.5,
        num_labels=LABELS,
    )
    module = transformers.SwinForImageClassification(config)
    return Example(module, kwargs={"pixel_values": torch.randn(BATCH, 3, 24, 24)}, output="logits")


# --- language models --------------------------------------------------------------------------------------------------


def _language(module: nn.Module, **kwargs: Tensor) -> Example:
    """A transformers model on token ids, with further keyword arguments."""
    return Example(module, kwargs={"input_ids": _tokens(), **kwargs}, output="logits")


def _bert_config(**options: Any) -> transformers.BertConfig:
    return transformers.BertConfig(
        vocab_size=VOCAB,
        hidden_size=HIDDEN,
        intermediate_size=FFN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=POSITIONS,
        type_vocab_size=3,
        num_labels=LABELS,
        use_cache=False,
        **options,
    )


@architecture
def bert() -> Example:
    mask = torch.ones(BATCH, SEQUENCE, dtype=torch.long)
    mask[1, -2:] = 0
    return _language(transformers.BertForSequenceClassification(_bert_config()), attention_mask=mask)


@architecture
def bert_eager() -> Example:
    return _language(transformers.BertForSequenceClassification(_bert_config(attn_implementation="eager")))


@architecture
def bert_mlm() -> Example:
    return _language(transformers.BertForMaskedLM(_bert_config()))


@architecture
def gpt2() -> Example:
    config = transformers.GPT2Config(
        vocab_size=VOCAB,
        n_positions=POSITIONS,
        n_embd=HIDDEN,
        n_layer=LAYERS,
        n_head=HEADS,
        n_inner=FFN,
        bos_token_id=1,
        eos_token_id=2,
        use_cache=False,
    )
    return _language(transformers.GPT2LMHeadModel(config))


def _gpt_neox(heads: int, rotary: float, parallel: bool) -> Example:
    config = transformers.GPTNeoXConfig(
        vocab_size=VOCAB,
        hidden_size=HIDDEN,
        intermediate_size=FFN,
        num_hidden_layers=LAYERS,
        num_attention_heads=heads,
        rotary_pct=rotary,
        use_parallel_residual=parallel,
        max_position_embeddings=POSITIONS,
        bos_token_id=1,
        eos_token_id=2,
        use_cache=False,
    )
    return _language(transformers.GPTNeoXForCausalLM(config))


@architecture
def gpt_neox() -> Example:
    """Parallel residuals, and rotary embeddings over the whole head."""
    return _gpt_neox(HEADS, rotary=1.0, parallel=True)


@architecture
def gpt_neox_partial() -> Example:
    """Sequential residuals, and rotary embeddings over half of each of three heads, as published ones cover a part."""
    return _gpt_neox(3, rotary=0.5, parallel=False)


_DECODER: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": HIDDEN,
    "intermediate_size": FFN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "max_position_embeddings": POSITIONS,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "use_cache": False,
}


@architecture
def llama() -> Example:
    return _language(transformers.LlamaForCausalLM(transformers.LlamaConfig(**_DECODER, tie_word_embeddings=False)))


@architecture
def llama_tied() -> Example:
    return _language(transformers.LlamaForCausalLM(transformers.LlamaConfig(**_DECODER, tie_word_embeddings=True)))


@architecture
def llama_eager() -> Example:
    config = transformers.LlamaConfig(**_DECODER, tie_word_embeddings=False, attn_implementation="eager")
    return _language(transformers.LlamaForCausalLM(config))


@architecture
def qwen3() -> Example:
    """Heads of 8, so that the query projection is wider than the residual stream."""
    config = transformers.Qwen3Config(**_DECODER, head_dim=8, tie_word_embeddings=False)
    return _language(transformers.Qwen3ForCausalLM(config))


@architecture
def mixtral() -> Example:
    config = transformers.MixtralConfig(
        **_DECODER, num_local_experts=5, num_experts_per_tok=3, experts_implementation="batched_mm"
    )
    return _language(transformers.MixtralForCausalLM(config))


@architecture
def qwen3_moe() -> Example:
    config = transformers.Qwen3MoeConfig(
        **_DECODER,
        head_dim=8,
        moe_intermediate_size=28,
        num_experts=5,
        num_experts_per_tok=3,
        norm_topk_prob=True,
        tie_word_embeddings=False,
        experts_implementation="batched_mm",
    )
    return _language(transformers.Qwen3MoeForCausalLM(config))


@architecture
def t5() -> Example:
    config = transformers.T5Config(
        vocab_size=VOCAB,
        d_model=HIDDEN,
        d_kv=8,
        d_ff=FFN,
        num_layers=LAYERS,
        num_heads=HEADS,
        relative_attention_num_buckets=10,
        relative_attention_max_distance=16,
        decoder_start_token_id=0,
        use_cache=False,
    )
    return _language(transformers.T5ForConditionalGeneration(config), decoder_input_ids=_tokens(5))


@architecture
def whisper() -> Example:
    """Eleven mel bins over 18 frames, which the encoder's second convolution halves to its 9 source positions."""
    config = transformers.WhisperConfig(
        vocab_size=VOCAB,
        num_mel_bins=11,
        d_model=HIDDEN,
        encoder_layers=LAYERS,
        decoder_layers=LAYERS,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=FFN,
        decoder_ffn_dim=44,
        max_source_positions=9,
        max_target_positions=POSITIONS,
        decoder_start_token_id=1,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        use_cache=False,
    )
    module = transformers.WhisperForConditionalGeneration(config)
    inputs = {"input_features": torch.randn(BATCH, 11, 18), "decoder_input_ids": _tokens()}
    return Example(module, kwargs=inputs, output="logits")


@architecture
def clip() -> Example:
    """Two sentences against three images; the sentences end in the end-of-sequence token at different places."""
    config = transformers.CLIPConfig(
        text_config={
            "vocab_size": VOCAB,
            "hidden_size": HIDDEN,
            "intermediate_size": FFN,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "max_position_embeddings": POSITIONS,
            "bos_token_id": 1,
            "eos_token_id": VOCAB - 1,
            "pad_token_id": 0,
        },
        vision_config={
            "hidden_size": 30,
            "intermediate_size": 44,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": 3,
            "image_size": 20,
            "patch_size": 4,
        },
        projection_dim=18,
    )
    ids = _tokens(vocab=VOCAB - 1)
    ids[0, 4:] = VOCAB - 1
    ids[1, 6:] = VOCAB - 1
    inputs = {"input_ids": ids, "pixel_values": torch.randn(3, 3, 20, 20)}
    return Example(transformers.CLIPModel(config), kwargs=inputs, output="logits_per_image")
