"""The same network as message passing of PyTorch Geometric, with the same weights: what the padded form is held to."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor
from torch_geometric.nn import MessagePassing
from torch_geometric.utils import softmax

from fusion.graph.network import HEADS, Attention, GraphNetwork, Padded


class EdgeAttention(MessagePassing):  # type: ignore[misc]  # PyTorch Geometric is not typed
    """`Attention` over a list of edges, of any number per node."""

    def __init__(self, padded: Attention) -> None:
        super().__init__(aggr="add", node_dim=0)
        self.ask, self.offer, self.tell, self.out = padded.ask, padded.offer, padded.tell, padded.out
        self.each = padded.each

    def forward(self, asking: Tensor, offered: Tensor, lists: Padded, extra: Tensor | None = None) -> Tensor:
        node, seat = torch.nonzero(lists.mask, as_tuple=True)
        edges = torch.stack([lists.rows[node, seat], node])
        told = None if extra is None else extra[node, seat]
        size = (len(offered), len(asking))
        heard: Tensor = self.propagate(
            edges, size=size, asked=(None, self.ask(asking)), offer=(self.offer(offered), None), told=told
        )
        return heard

    def message(self, asked_i: Tensor, offer_j: Tensor, told: Tensor | None, index: Tensor, size_i: int) -> Tensor:
        if self.tell is not None and told is not None:
            offer_j = offer_j + self.tell(told)
        key, value = offer_j.reshape(len(offer_j), 2, HEADS, self.each).unbind(1)
        query = asked_i.reshape(len(asked_i), HEADS, self.each)
        weight = softmax((query * key).sum(-1) / math.sqrt(self.each), index, num_nodes=size_i)
        told_each: Tensor = (weight[..., None] * value).reshape(len(value), HEADS * self.each)
        return told_each

    def update(self, aggregated: Tensor) -> Tensor:
        out: Tensor = self.out(aggregated)
        return out


def reference(network: GraphNetwork) -> GraphNetwork:
    """A copy of the network whose attention runs over edges."""
    twin = copy.deepcopy(network)
    for module in list(twin.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Attention):
                setattr(module, name, EdgeAttention(child))
    return twin
