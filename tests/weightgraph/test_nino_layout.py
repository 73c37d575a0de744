"""NiNo's published drawings: the recorded graphs, the way back to the parameters, and what is refused."""

import os
from math import prod
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from graphlab.conformance import Answer, compare, load_case, run, strip_case
from graphlab.conformance.report import Status
from graphlab.weightgraph.layouts.nino import (
    EdgeType,
    edge_features,
    edge_parameters,
    head_counts,
    lay_transposed,
    nino,
    split_vector,
    transposed_embeddings,
    undo_transposed,
    word_positions,
)
from graphlab.weightgraph.wiring import WiringError

REPOSITORY = Path(__file__).parents[2]
DATA = Path(os.environ.get("GRAPHLAB_DATA", REPOSITORY.parent / "shared" / "data"))
GOLDEN = DATA.parent / "golden" / "nino"
SMALL = REPOSITORY / "tests" / "golden" / "nino"
CASES = sorted({path.name: path for folder in (SMALL, GOLDEN) for path in folder.glob("graph_*.json")}.values())

needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"no golden cases in {GOLDEN}")
each_case = pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)


def drawn(case):
    architecture = case.document["architecture"]
    shapes = dict(architecture["parameters"])
    return shapes, nino(shapes, case.document["graph"], **head_counts(architecture), shifted_residuals=True)


def gpt2(width=8, layers=2, words=13):
    """Shapes of a GPT-2."""
    shapes = {"transformer.wte.weight": (words, width), "transformer.wpe.weight": (5, width)}
    for layer in range(layers):
        modules = {
            "ln_1": (width,),
            "attn.c_attn": (width, 3 * width),
            "attn.c_proj": (width, width),
            "ln_2": (width,),
            "mlp.c_fc": (width, 4 * width),
            "mlp.c_proj": (4 * width, width),
        }
        for module, shape in modules.items():
            shapes[f"transformer.h.{layer}.{module}.weight"] = shape
            shapes[f"transformer.h.{layer}.{module}.bias"] = shape[-1:]
    return shapes | {"transformer.ln_f.weight": (width,), "transformer.ln_f.bias": (width,)}


def llama(width=12, heads=6, kv_heads=2, biases=()):
    """Shapes of a Llama of one block; ``biases`` of the modules named."""
    shared = width // heads * kv_heads
    modules = {
        "self_attn.q_proj": (width, width),
        "self_attn.k_proj": (shared, width),
        "self_attn.v_proj": (shared, width),
        "self_attn.o_proj": (width, width),
        "mlp.gate_proj": (16, width),
        "mlp.up_proj": (16, width),
        "mlp.down_proj": (width, 16),
        "input_layernorm": (width,),
        "post_attention_layernorm": (width,),
    }
    shapes = {"model.embed_tokens.weight": (15, width)}
    for module, shape in modules.items():
        shapes[f"model.layers.0.{module}.weight"] = shape
        if module.rpartition(".")[2] in biases:
            shapes[f"model.layers.0.{module}.bias"] = shape[:1]
    return shapes | {"model.norm.weight": (width,)}


def random_state(shapes):
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


@each_case
def test_recorded_graph(path):
    (row,) = run(path).rows
    assert row.status is Status.PASS, row.reason


@each_case
def test_recorded_graph_of_a_stripped_case(path, tmp_path):
    (row,) = run(strip_case(path, tmp_path / "stripped"), dump=tmp_path).rows
    assert row.status is Status.DUMPED, row.reason
    answer = Answer(load_file(tmp_path / f"{path.stem}.safetensors"), {})
    assert all(comparison.passed for comparison in compare(load_case(path), answer))


@each_case
def test_edges_are_in_the_recorded_order(path):
    case = load_case(path).case
    _, wiring = drawn(case)
    assert torch.equal(wiring.edge_index(), load_file(path.with_suffix(".safetensors"))["output/edge_index"])
    for block in case.document["edge_blocks_in_order"]:
        assert wiring.edge_type[slice(*block["edges"])].unique().tolist() == [block["type"]], block["name"]


@each_case
def test_parameters_come_back(path):
    shapes, wiring = drawn(load_case(path).case)
    state = random_state(shapes)
    empty = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    read = wiring.read_back(wiring.edge_values(state), empty)
    assert all(torch.equal(read[name], state[name]) for name in shapes)


@needs_golden
def test_one_graph_a_block():
    path = GOLDEN / "nowcast_subgraph.json"
    document, recorded = load_case(path).case.document, load_file(path.with_suffix(".safetensors"))
    for index, block in enumerate(document["blocks"]):
        fused = {name.replace(f"c_attn.{part}.", "c_attn.") for name in block["edge_blocks_in_order"] for part in "qkv"}
        shapes = {name: shape for name, shape in document["parameters"] if name in fused}
        wiring = nino(shapes, "gpt2", document["architecture"]["n_head"])
        assert wiring.num_nodes == block["num_nodes"]
        assert torch.equal(wiring.edge_index(), recorded[f"output/edge_index_block{index}"])
        assert torch.equal(wiring.edge_type, recorded[f"output/edge_type_block{index}"])


@pytest.mark.parametrize(
    "biases", [(), ("q_proj", "k_proj", "v_proj"), ("o_proj",), ("gate_proj", "up_proj", "down_proj")]
)
@pytest.mark.parametrize("shifted", [False, True])
def test_llama_with_shared_heads_and_biases(biases, shifted):
    shapes = llama(biases=biases)
    wiring = nino(shapes, "llama", 6, 2, shifted_residuals=shifted)
    state = random_state(shapes)
    empty = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    read = wiring.read_back(wiring.edge_values(state), empty)
    assert all(torch.equal(read[name], state[name]) for name in shapes)
    source, target = wiring.edge_index()[:, wiring.edge_type != EdgeType.SELF_LOOP]
    assert torch.cat([source, target]).unique().numel() == wiring.num_nodes


def test_heads_may_be_wider_than_the_residual():
    norms = {f"model.layers.0.self_attn.{part}_norm.weight": (5,) for part in "qk"}
    projections = {"q": (30, 12), "k": (10, 12), "v": (10, 12), "o": (12, 30)}
    wide = {f"model.layers.0.self_attn.{part}_proj.weight": shape for part, shape in projections.items()}
    wiring = nino(llama() | wide | norms, "qwen3", **head_counts({"num_attention_heads": 6, "num_key_value_heads": 2}))
    index = wiring.edge_index()
    heads = index[:, wiring.edge_type == EdgeType.HEAD]
    assert heads[0].bincount()[heads[0].unique()].tolist() == [10, 10, 5, 5, 5, 5]
    query_norm = "model.layers.0.self_attn.q_norm.weight"
    blocks = [block for block in wiring.blocks if getattr(block.values, "parameter", None) == query_norm]
    assert [(block.source_offset, block.target_offset, block.shape) for block in blocks] == [(0, 5, (5,))]


def test_an_embedding_is_laid_on_the_edges_of_its_words_unless_published():
    shapes = llama()
    name, wiring = "model.embed_tokens.weight", nino(shapes, "llama", 6)
    words, width = shapes[name]
    table = torch.arange(words * width).view(words, width)
    assert transposed_embeddings(shapes, "llama") == [name]
    assert torch.equal(edge_parameters(wiring, shapes)[: words * width, 0], table.flatten())
    assert torch.equal(edge_parameters(wiring, shapes, [name])[: words * width, 0], table.T.flatten())
    assert torch.equal(undo_transposed(lay_transposed(table)), table)


def test_embeddings_of_gpt2_and_chains_are_never_transposed():
    assert transposed_embeddings(gpt2(), "gpt2") == transposed_embeddings({"fc.weight": (2, 3)}, "chain") == []


def test_features_are_slot_by_slot():
    shapes = {"conv.weight": (2, 1, 3, 3), "linear.weight": (1, 2)}
    wiring = nino(shapes)
    states = torch.arange(40.0).view(20, 2)
    features = edge_features(wiring, shapes, states)
    assert features.shape == (wiring.num_edges, 18)
    assert torch.equal(features[1], states[9:18].flatten())
    assert torch.equal(features[2], torch.cat([states[18], torch.zeros(16)]))
    assert torch.equal(features[-1], torch.tensor([2.0, 2.0] + [0.0] * 16))


def test_slots_may_be_more_than_needed():
    shapes = {"linear.weight": (3, 2)}
    assert nino(shapes, max_slots=9).edge_values(random_state(shapes)).shape == (11, 9)


def test_parameters_without_axes_stay_what_they_are():
    shapes = {"linear.weight": (3, 2), "temperature": ()}
    wiring, state = nino(shapes), random_state(shapes)
    assert "temperature" not in {getattr(block.values, "parameter", None) for block in wiring.blocks}
    assert wiring.read_back(wiring.edge_values(state), state)["temperature"] is state["temperature"]


def test_word_positions_count_from_one():
    positions = word_positions(nino(gpt2(words=4), "gpt2", num_heads=2))
    assert positions[:4].tolist() == [1, 2, 3, 4]
    assert not positions[4:].any()


def test_a_large_vocabulary_takes_no_memory():
    wiring = nino(gpt2(width=768, layers=12, words=50257), "gpt2", num_heads=12)
    assert wiring.num_edges > 10**8
    assert len(wiring.blocks) < 1000


def without(shapes, name):
    return {own: shape for own, shape in shapes.items() if own != name}


@pytest.mark.parametrize(
    ("shapes", "arguments", "message"),
    [
        (gpt2(), {"family": "mamba"}, "'mamba'; there are chain, gpt2, bert, llama, qwen3, vit"),
        (gpt2(), {"family": "gpt2"}, "needs the number of heads"),
        (gpt2(), {"family": "gpt2", "num_heads": 0}, "num_heads=0"),
        (gpt2(), {"family": "gpt2", "num_heads": 3}, "8 query neurons cannot be split into 3 heads"),
        (gpt2(), {"family": "gpt2", "num_heads": 2, "num_kv_heads": 1}, "expected 1 heads, the shape has 2"),
        (
            gpt2(),
            {"family": "llama", "num_heads": 2},
            r"blocks called layers.0., layers.1., ...; found them under \[\]",
        ),
        (
            without(gpt2(), "transformer.wpe.weight"),
            {"family": "gpt2", "num_heads": 2},
            "transformer.wpe.weight is mis",
        ),
        (
            without(gpt2(), "transformer.h.1.mlp.c_fc.weight"),
            {"family": "gpt2", "num_heads": 2},
            "parameter transformer.h.1.mlp.c_fc.weight is missing",
        ),
        (
            gpt2() | {"lm_head.weight": (13, 8)},
            {"family": "gpt2", "num_heads": 2},
            "tied parameters are listed once.*lm_head.weight",
        ),
        (
            gpt2() | {"transformer.h.0.attn.c_attn.weight": (8, 25)},
            {"family": "gpt2", "num_heads": 2},
            "multiple of 3",
        ),
        (
            gpt2() | {"transformer.h.0.mlp.c_proj.weight": (8, 32)},
            {"family": "gpt2", "num_heads": 2},
            r"expected 32 inputs and 8 outputs, got the shape \[8, 32\], read as \(in, out\)",
        ),
        (
            gpt2() | {"transformer.ln_f.bias": (9,)},
            {"family": "gpt2", "num_heads": 2},
            r"ln_f.bias: expected a vector of 8, got the shape \[9\]",
        ),
        (gpt2() | {"transformer.wte.weight": (13,)}, {"family": "gpt2", "num_heads": 2}, "wte.weight: expected 2 axes"),
        (llama(kv_heads=4), {"family": "llama", "num_heads": 6}, "8 key and 8 value neurons are not those of 2-wide"),
        (
            llama() | {f"model.layers.0.self_attn.{part}_norm.weight": (3,) for part in "qk"},
            {"family": "qwen3", "num_heads": 6},
            "q_norm.weight: expected a vector of 2",
        ),
        (
            llama(heads=1, kv_heads=1) | {f"model.layers.0.self_attn.{part}_norm.weight": (12,) for part in "qk"},
            {"family": "qwen3", "num_heads": 1},
            "drawn from one head to the next",
        ),
        ({"conv.weight": (4, 3, 5, 5)}, {"max_slots": 9}, "conv.weight: its kernel has 25 positions"),
        (
            {"conv.weight": (4, 3, 3, 3), "fc.weight": (2, 36)},
            {},
            "fc.weight has 36 inputs.*has 4 outputs: not a chain",
        ),
        ({"fc.weight": (2, 3), "fc.bias": (3,)}, {}, "fc.bias: expected a vector of 2"),
        ({"norm.weight": (3,), "fc.weight": (2, 3)}, {}, "norm.weight: a vector before the first weight"),
        ({"scale": (3,)}, {}, "scale: a vector before the first weight"),
        ({}, {}, "at least one weight"),
    ],
)
def test_refused(shapes, arguments, message):
    with pytest.raises(WiringError, match=message):
        nino(shapes, **arguments)


def test_split_vector_refuses_another_length():
    shapes = {"fc.weight": (2, 3)}
    assert split_vector(torch.zeros(prod((2, 3))), shapes)["fc.weight"].shape == (2, 3)
    with pytest.raises(WiringError, match="expected a vector of 6 parameters"):
        split_vector(torch.zeros(7), shapes)
