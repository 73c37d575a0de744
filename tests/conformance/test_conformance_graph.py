"""The mode graph."""

import random
import time

import networkx as nx
import numpy as np
import pytest
from comparing import compare_all
from hypothesis import given
from hypothesis import strategies as st

from graphlab.conformance import ConformanceError
from graphlab.conformance.compare.isomorphism import Edges, are_isomorphic

RULES = [{"match": "output/*/graph/*", "mode": "graph", "names": "networks[{1}].names"}]

TYPES = [9, 4, 11, 7, 4, 4]
SHAPES = [[0] * 4, [8, 3, 3, 3], [8, 0, 0, 0], [0] * 4, [8, 8, 1, 1], [8, 8, 1, 1]]
NAMES = ["input", "conv.weight", "bn.weight", "AddBackward0", "left.weight", "right.weight"]
EDGES = [[0, 1, 1], [1, 2, 1], [2, 4, 1], [2, 5, 1], [4, 3, 1], [5, 3, 1], [0, 2, 2], [1, 4, 2], [1, 5, 2], [2, 3, 2]]
ORDER = [0, 1, 2, 4, 5, 3]  # the nodes of the tables above in a topological order


def build(order=ORDER, names=NAMES, edges=EDGES, types=TYPES, shapes=SHAPES):
    """Tensors and document of the graph with its nodes listed in ``order``."""
    place = {node: index for index, node in enumerate(order)}
    tensors = {
        "output/0/graph/node_type": [types[node] for node in order],
        "output/0/graph/edges": [[place[s], place[t], d] for s, t, d in edges],
        "output/0/graph/param_shape": [shapes[node] for node in order],
    }
    return tensors, {"networks": [{"names": [names[node] for node in order]}]}


def compare_graphs(answer, reference=None):
    (a, a_document), (b, b_document) = answer, reference or build()
    outcome = compare_all(RULES, a, b, a_document, b_document)
    assert all(comparison.passed for comparison in outcome if not comparison.name.endswith("edges"))
    return next(comparison for comparison in outcome if comparison.name.endswith("edges"))


def test_relabelled_graph_is_the_same():
    renamed = ["MeanBackward1" if name == "AddBackward0" else name for name in NAMES]
    other_order = [0, 1, 2, 5, 4, 3]
    assert compare_graphs(build(other_order, renamed, edges=EDGES[::-1])).passed


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"types": [9, 4, 11, 8, 4, 4]}, "unexpected node of type 8, shape [0, 0, 0, 0], name free"),
        ({"shapes": [*SHAPES[:4], [8, 8, 3, 3], [8, 8, 1, 1]]}, "unexpected node of type 4"),
        ({"names": [*NAMES[:4], "left.weight", "other.weight"]}, "name other.weight"),
        ({"edges": EDGES[:-1]}, "edges by distance: {} too many, {2.0: 1} too few"),
        ({"edges": [*EDGES[:-1], [2, 3, 3]]}, "edges by distance"),
        ({"edges": [*EDGES[:-1], [0, 3, 2]]}, "no relabelling"),
        ({"order": [0, 1, 2, 3, 4, 5]}, "topological"),
        ({"edges": [*EDGES, EDGES[0]]}, "twice"),
    ],
)
def test_another_graph_is_not_the_same(change, reason):
    comparison = compare_graphs(build(**change))
    assert not comparison.passed
    assert reason in comparison.reason


def test_swapped_parameter_names_are_another_graph():
    """Renaming is an automorphism for left and right, unless one of them has a further edge."""
    marked = [*EDGES, [0, 4, 3]]
    swapped = [*NAMES[:4], "right.weight", "left.weight"]
    assert compare_graphs(build(names=swapped)).passed
    assert not compare_graphs(build(edges=marked, names=swapped), build(edges=marked)).passed


def test_malformed_answers():
    tensors, document = build()
    short = {"networks": [{"names": NAMES[:3]}]}
    assert "list of 6 node names" in compare_graphs((tensors, short)).reason
    assert "missing in the document" in compare_graphs((tensors, {})).reason
    outside = {**tensors, "output/0/graph/edges": [[0, 6, 1]]}
    assert "nodes 0 to 5" in compare_graphs((outside, document)).reason
    flat = {**tensors, "output/0/graph/edges": [0, 1, 1]}
    assert "expected node_type [N]" in compare_graphs((flat, document)).reason
    del tensors["output/0/graph/node_type"]
    outcome = compare_all(RULES, tensors, build()[0], document, document)
    assert sum(not comparison.passed for comparison in outcome) == 2


def test_names_that_are_not_recorded_are_free():
    tensors, _ = build()
    assert compare_graphs((tensors, {}), (tensors, {"networks": [{"names": None}]})).passed


def test_rule_on_another_tensor_is_an_error_of_the_case():
    with pytest.raises(ConformanceError, match="node_type, edges, param_shape"):
        compare_all([{"match": "*", "mode": "graph"}], {"output/x": [1]}, {"output/x": [1]})


def edges_of(graph):
    listed = list(graph.edges)
    source, target = np.array(listed, dtype=np.int64).reshape(-1, 2).T
    return Edges(source, target, np.array([graph.edges[edge].get("label", 1) for edge in listed], dtype=np.float64))


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(1, 2))
def test_isomorphism_agrees_with_networkx(seed, n, labels):
    rng = random.Random(seed)
    a = nx.gnp_random_graph(n, 0.4, seed=rng.randrange(2**32), directed=True)
    nx.set_edge_attributes(a, {edge: rng.randint(1, labels) for edge in a.edges}, "label")
    order = rng.sample(range(n), n)
    b = nx.relabel_nodes(a, dict(enumerate(order)))
    if b.edges and rng.random() < 0.7:
        s, t = rng.choice(list(b.edges))
        label = b.edges[s, t]["label"]
        b.remove_edge(s, t)
        b.add_edge(*rng.choice(list(nx.non_edges(b))), label=label)
    colours = np.zeros(n, dtype=np.int64)
    expected = nx.is_isomorphic(a, b, edge_match=lambda x, y: x == y)
    assert are_isomorphic((colours, edges_of(a)), (colours, edges_of(b))) is expected


def test_refinement_alone_cannot_tell_these_apart():
    two_triangles = nx.disjoint_union(nx.cycle_graph(3), nx.cycle_graph(3)).to_directed()
    hexagon = nx.cycle_graph(6).to_directed()
    colours = np.zeros(6, dtype=np.int64)
    assert not are_isomorphic((colours, edges_of(two_triangles)), (colours, edges_of(hexagon)))
    assert are_isomorphic((colours, edges_of(hexagon)), (colours, edges_of(hexagon)))
    assert are_isomorphic((colours[:0], edges_of(nx.DiGraph())), (colours[:0], edges_of(nx.DiGraph())))


def test_hundreds_of_nodes_with_many_twins():
    """A chain of 100 diamonds: two equal nodes side by side in each; all pairs with their distances."""
    graph = nx.DiGraph()
    for i in range(100):
        for middle in ((i, "a"), (i, "b")):
            graph.add_edge((i, "top"), middle)
            graph.add_edge(middle, (i + 1, "top"))
    distances = dict(nx.all_pairs_shortest_path_length(graph, cutoff=50))
    order = {node: index for index, node in enumerate(nx.topological_sort(graph))}
    pairs = [(order[s], order[t], d) for s, found in distances.items() for t, d in found.items() if d]
    table = np.array(pairs, dtype=np.int64)
    shuffled = np.random.default_rng(0).permutation(len(order))
    a, b = (Edges(m[table[:, 0]], m[table[:, 1]], table[:, 2].astype(float)) for m in (np.arange(len(order)), shuffled))
    colours = np.zeros(len(order), dtype=np.int64)
    start = time.perf_counter()
    assert are_isomorphic((colours, a), (colours, b))
    b.label[0] += 1
    assert not are_isomorphic((colours, a), (colours, b))
    assert time.perf_counter() - start < 20
