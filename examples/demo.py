"""A trained network is a graph: train a small CNN, open it as one, and prove what graphlab says about it.

Run with ``make demo``. Everything is written to ``out/demo``.
"""

import time
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional as F

from graphlab import checkpoint
from graphlab.weightgraph import Verification, WeightGraph, equal_bytes, random_permutations, verify
from graphlab.weightgraph.draw import draw
from graphlab.weightgraph.draw_adjacency import draw_adjacency

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "out" / "demo"
EPOCHS = 20
SEED = 0


class Block(nn.Module):
    """Two convolutions around which the input is carried past."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(y + self.skip(x))


class DigitNet(nn.Module):
    """A residual network for images of 8 by 8 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.stage1 = nn.Sequential(Block(16, 16, 1), Block(16, 16, 1))
        self.stage2 = nn.Sequential(Block(16, 32, 2), Block(32, 32, 1))
        self.head = nn.Linear(32, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(images)))
        return self.head(self.stage2(self.stage1(x)).mean((2, 3)))


def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images and labels to train on, images and labels to test on."""
    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(images, labels, test_size=0.3, random_state=SEED, stratify=labels)
    train, test = (torch.tensor(part, dtype=torch.float32).view(-1, 1, 8, 8) / 16 for part in parts[:2])
    return train, torch.tensor(parts[2]), test, torch.tensor(parts[3])


def train(model: nn.Module, images: Tensor, labels: Tensor, console: Console) -> None:
    batches = EPOCHS * (len(images) // 64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=batches)
    for _ in track(range(batches), "Training", console=console):
        chosen = torch.randint(len(images), (64,))
        loss = F.cross_entropy(model(images[chosen]), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    return float((model(images).argmax(1) == labels).double().mean())


def table(result: Verification) -> Table:
    rows = Table("group", "neurons", "status", "permuted", "wrongly permuted")
    for check in result.checks:
        reason = result.structure.groups[check.group].reason
        permuted, control = ("" if x is None else f"{x:.1e}" for x in (check.difference, check.control))
        rows.add_row(check.group, str(check.size), f"fixed: {reason}" if reason else "free", permuted, control)
    return rows


def shown(name: str) -> Path:
    """Where an output is, seen from the repository's root."""
    return (OUT / name).relative_to(ROOT)


def main() -> None:
    start = time.perf_counter()
    console = Console()
    OUT.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # the network is so small that a second one only waits for the first

    console.rule("1. Train a residual network on handwritten digits")
    images, labels, test_images, test_labels = digits()
    model = DigitNet()
    train(model, images, labels, console)
    before = accuracy(model, test_images, test_labels)
    torch.save(model.state_dict(), OUT / "digits.pt")
    console.print(f"It reads {before:.2%} of {len(test_labels)} unseen digits right. Saved as {shown('digits.pt')}.")

    console.rule("2. Open the file as a graph")
    example = test_images[:2]
    with torch.device("meta"):
        skeleton = DigitNet().eval()
    opened = checkpoint.open(OUT / "digits.pt")
    graph = WeightGraph.from_checkpoint(opened, skeleton, (example.to("meta"),))
    console.print(str(graph), markup=False, highlight=False)
    console.print("Every axis of every tensor is named by the neurons that index it. No number was copied or changed.")

    console.rule("3. Prove it")
    result = verify(model, (example,))
    console.print(table(result))
    console.print(
        "'permuted': how much the output changes when the neurons of a group are put in a random order, wherever the "
        "group appears. It is rounding error. 'wrongly permuted': two neurons swapped in one place only. The output "
        "changes, so the check can tell."
    )
    if not result.passed:
        raise SystemExit("The symmetries could not be verified.")

    console.rule("4. Save it, and get every bit back")
    graph.save(OUT / "digits.safetensors")
    again = WeightGraph.load(OUT / "digits.safetensors")
    same = equal_bytes(again.state_dict(), dict(opened))
    console.print(f"Read again from {shown('digits.safetensors')}: bit for bit the trained network: {same}.")
    if not same:
        raise SystemExit("The round trip changed the weights.")

    console.rule("5. The same network in another order")
    permutations = random_permutations(graph.structure, generator=torch.Generator().manual_seed(SEED))
    permuted = DigitNet().eval()
    graph.permute(permutations).load_into(permuted)
    after = accuracy(permuted, test_images, test_labels)
    moved = sum(int((table != torch.arange(table.shape[-1])).sum()) for table in permutations.values())
    console.print(f"{moved} neurons moved. Accuracy before {before:.2%}, after {after:.2%}.")

    console.rule("6. An edge for every weight, and back")
    data = graph.to_data()
    console.print(str(data), markup=False, highlight=False)
    same = equal_bytes(graph.with_data(data).state_dict(), graph.state_dict())
    console.print(f"A graph of PyTorch Geometric. The weights on its edges are, bit for bit, the trained ones: {same}.")
    if not same:
        raise SystemExit("The explicit graph lost weights.")

    draw(graph, OUT / "structure.png")
    draw_adjacency(graph.wiring(), graph.tensors, OUT / "adjacency.png")
    console.rule("What was shown")
    free = len(graph.structure.free)
    console.print(
        f"A weight file was opened as a graph without copying it. graphlab found {free} groups of neurons that may be "
        f"put in any order, and running the network confirmed each (largest change {result.worst:.0e}). The graph was "
        f"saved and came back bit for bit. Pictures of it: {shown('structure.png')} (neurons and what couples them) "
        f"and {shown('adjacency.png')} (every weight).\n"
        f"It took {time.perf_counter() - start:.0f} seconds."
    )


if __name__ == "__main__":
    main()
