"""A structure from names and shapes alone, for checkpoints whose code is not there.

It is a guess and says so: every group is fixed, with the reason :data:`GUESS`, so nothing is ever permuted on it. What
a :class:`~graphlab.weightgraph.Structure` claims stays true, and drawings, explicit graphs and files work as for any.

The heuristics:

1. *Layers.* Parameters that differ only in the words weight, bias, running_mean, ... are one layer. Layers run in the
   order of the file; in a file in the order of the alphabet, numbers and telling words (embed, attention, query,
   output, head) put them in order.
2. *Matrices* are ``[out, in, *kernel]``, or ``[in, out, *kernel]`` where the bias is as long as the second axis.
   ``[n, 1, *kernel]`` (depthwise) keeps the outputs of the layer before. ``[experts, out, in]`` if the name says
   expert; the experts are the outputs of the router (gate, router) of the same block.
3. *Vectors* go with the outputs of their layer; those of a layer of their own (norms) with the outputs before it if
   the sizes agree, else with the stream.
4. *Tables* (embed, wte, token, position; ``[1, n, width]``) have rows of their own. Their width is that of the outputs
   before, to which they are added; after a block it is a new stream, of a decoder.
5. *Repeated blocks* (``layers.3``, with two matrices or more) have a residual stream: what their first layer reads.
   Layers that give as many outputs as the block's last one write to it, unless the next one of the same module reads
   them.
6. *Attention.* Queries, keys and values (q, k, v, or one matrix of all three) read the stream; keys and values of a
   cross-attention the stream before it. The next layer reads the values, if the sizes agree.
7. *Siblings* of one module with equal shapes that read the same neurons (gate and up, query and key) write the same
   ones, values excepted. A matrix with twice as many outputs as the next has inputs writes ``2 * neurons`` (gates).
8. *Inputs* are the outputs before if the sizes agree, else the stream, else the latest neurons of that number; else,
   with ``x`` before, ``x . positions`` (a flattened image), ``skip + x`` (convolutions), ``2 * x`` or ``4 * x`` (in a
   block); else neurons of their own.
9. *Recurrent layers* (``weight_ih_l0``) have 4, 3 or 1 times the hidden neurons as outputs; what follows both
   directions reads the one and then the other.

How good it is, over pairs of axes of which one says "the same neurons", against traced structures: on the 35 networks
of ``tests/architectures.py`` (on which the words above were chosen) mean precision 1.00 and recall 0.96 in module
order, 0.99 and 0.95 in the order of the alphabet. On 14 families of Hugging Face's that played no part in the choice,
12 had a precision of 0.99 or more in either order; worst were MobileNetV2 (0.82; by the alphabet 0.32) and SegFormer
(0.70; 0.67). It sees no residual connection outside of numbered blocks, no heads, and of grouped convolutions only the
depthwise.
"""

from __future__ import annotations

from collections.abc import Mapping

from graphlab.weightgraph.guess_axes import GUESS, Links
from graphlab.weightgraph.guess_layers import Shape, layers
from graphlab.weightgraph.structure import Structure


def guess(shapes: Mapping[str, Shape], tied: Mapping[str, str] | None = None) -> Structure:
    """The structure that a network with these parameters probably has; none of its groups is free.

    Args:
        shapes: Name -> shape of the parameters, in the order of their file. Integer tensors hold no neurons and are
            best left out: a :class:`~graphlab.weightgraph.WeightGraph` carries them along as they are.
        tied: Further name of a tensor -> the name in ``shapes`` whose memory it shares.
    """
    tied = tied or {}
    links = Links(layers({name: shape for name, shape in shapes.items() if name not in tied}))
    return Structure(
        groups=links.groups,
        axes=links.axes,
        reads=links.reads,
        outputs={},
        counted=(),
        tied=tied,
        unused=(),
        without_rule={},
    )


def is_guess(structure: Structure) -> bool:
    """Whether the structure was guessed, here or before it was saved."""
    return any(group.reason == GUESS for group in structure.groups.values())
