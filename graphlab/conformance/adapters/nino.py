"""Answers to the golden cases of NiNo."""

from graphlab.conformance import Case, Results, adapter
from graphlab.weightgraph.layouts.nino import (
    edge_features,
    edge_parameters,
    head_counts,
    nino,
    transposed_embeddings,
    word_positions,
)
from graphlab.weightgraph.positions import laplacian_eigenvalues, laplacian_positions


@adapter("nino", "graph")
def graph(case: Case) -> Results:
    architecture = case.document["architecture"]
    shapes = dict(architecture["parameters"])
    wiring = nino(
        shapes,
        case.document["graph"],
        **head_counts(architecture),
        max_slots=architecture.get("max_feat_size", case.document.get("max_feat_size")),
        shifted_residuals=True,
    )
    transposed = transposed_embeddings(shapes, case.document["graph"])
    return Results(
        {
            "edge_index": wiring.edge_index(),
            "edge_type": wiring.edge_type,
            "edge_param_index": edge_parameters(wiring, shapes, transposed),
            "edge_attr": edge_features(wiring, shapes, case.inputs["states"], transposed),
            "pos_w": word_positions(wiring),
            "laplacian_eigenvalues": laplacian_eigenvalues(wiring),
            "lpe": laplacian_positions(wiring, architecture["lpe"]),
        }
    )
