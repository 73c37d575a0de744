"""BERT with its language-model head, whose decoder is tied to the word embedding."""

from graphlab.weightgraph.layouts.nino.attention import Separate
from graphlab.weightgraph.layouts.nino.transformer import Family, Input
from graphlab.weightgraph.layouts.nino.types import EdgeType

BERT = Family(
    trunk="bert.",
    blocks="encoder.layer.",
    inputs=(
        Input("embeddings.word_embeddings.weight", EdgeType.WORD),
        Input("embeddings.position_embeddings.weight", EdgeType.POSITION),
        Input("embeddings.token_type_embeddings.weight", EdgeType.BIAS),
    ),
    input_norms=("embeddings.LayerNorm",),
    projections=Separate("attention.self.query", "attention.self.key", "attention.self.value"),
    output="attention.output.dense",
    between=("attention.output.LayerNorm",),
    expand="intermediate.dense",
    contract="output.dense",
    after=("output.LayerNorm",),
    head="cls.predictions.transform.dense",
    head_norms=("cls.predictions.transform.LayerNorm",),
    vocabulary_bias="cls.predictions.bias",
)
