"""Models of graphs, trained by name: do the neighbours of an image help to read it when few labels are known?

The graph joins each of scikit-learn's 1797 handwritten digits to the ten most like it; 20 labels a digit are known. Run
with ``make demo``. Everything is written to ``out/demo/training``.
"""

import shutil
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.neighbors import kneighbors_graph
from torch_geometric.data import Data
from torch_geometric.utils import from_scipy_sparse_matrix, to_undirected

from graphlab.engine import Experiment, Means, model, protocol, train
from graphlab.engine.curves import draw_comparison
from graphlab.engine.summary import shown
from graphlab.protocols.node_classification import NodeClassification, NodeClassificationConfig
from graphlab.protocols.node_models import DAGNNOptions, TwoLayerOptions, dagnn, gcn, mlp

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "out" / "demo" / "training"
SEEDS, NEIGHBOURS, EPOCHS = range(3), 10, 150
NAMES = ("MLP", "GCN", "DAGNN")
SETTINGS = {"split": "planetoid", "normalize_features": False, "dropout": 0.5, "weight_decay": 5e-4}


@protocol("neighbouring-digits", config=NodeClassificationConfig)
class NeighbouringDigits(NodeClassification):
    """The published protocol for node classification, on a graph of our own."""

    def load_graph(self) -> Data:
        images, labels = load_digits(return_X_y=True)
        edge_index, _ = from_scipy_sparse_matrix(kneighbors_graph(images, NEIGHBOURS))
        x = torch.tensor(images / 16, dtype=torch.float32)
        return Data(x, to_undirected(edge_index), y=torch.tensor(labels))


BUILT = ((mlp, TwoLayerOptions), (gcn, TwoLayerOptions), (dagnn, DAGNNOptions))
for name, (build, options) in zip(NAMES, BUILT, strict=True):
    model(f"digits-{name}", protocol="neighbouring-digits", options=options)(build)


def main() -> None:
    start = time.perf_counter()
    console = Console()
    torch.set_num_threads(1)
    shutil.rmtree(OUT, ignore_errors=True)  # otherwise what has ended would not be run again
    OUT.mkdir(parents=True)

    console.rule("Train models of graphs")
    summaries = []
    with Progress(console=console, transient=True) as bar:
        for name in NAMES:
            task = bar.add_task(name, total=len(SEEDS) * EPOCHS)
            means = Means(tell=lambda *_, task=task: bar.advance(task))
            settings = {"dataset": "digits", "epochs": EPOCHS, "stopping": "never", **SETTINGS}
            experiment = Experiment.from_values(f"digits-{name}", settings)
            summaries.append(train(experiment, SEEDS, OUT / name, means=means))
    table = Table("model", "test accuracy, %", "parameters")
    for name, summary in zip(NAMES, summaries, strict=True):
        accuracy = summary.metrics()["test_acc"]
        table.add_row(name, shown("test_acc", accuracy.mean, accuracy.std), f"{summary.runs[0].parameters:,}")
    console.print(table)
    draw_comparison(summaries, OUT / "comparison.png")
    where = OUT.relative_to(ROOT)
    console.print(
        f"Each learned from 20 labels a digit, {len(SEEDS)} times with other ones. The MLP sees one image at a time; GCN "
        f"also its neighbours and theirs; DAGNN ten steps along the edges, and learns how far each image needs to look.\n"
        f"Pictures: {where}/comparison.png, and the curves of each, such as {where}/DAGNN/curves.png. The folders also "
        f"hold configuration, environment, logs and weights. It took {time.perf_counter() - start:.0f} seconds."
    )


if __name__ == "__main__":
    main()
