"""Every state that an operator's neighbourhood can be in, as rows of one static graph.

Two rounds of attention carry to an operator only what its own conditions say. So operator o with k
conditions has 2^k different results, whatever the rest of a sample looks like, and all results of
all operators are a table of Σ_o 2^k rows (1,300 for the packaged hypergraph's 258 operators):
computed once per parameter state, it serves any number of samples, each of which reads one row for
every operator. Nothing is approximated.
"""

import numpy as np
import torch
from torch import Tensor, nn

from tedg_fast.hypergraph import Hypergraph, HypergraphError
from tedg_fast.hypergraph.schema import NODE_OPERATOR
from tedg_fast.ops import Graph

MAX_ROWS = 1 << 17
"""Most rows of a table; an operator alone may have 17 conditions."""


class RuleTable(nn.Module):
    """The static structure: which rows there are, and the two graphs between terms and operators.

    A *term* is a condition that does not hold [0, C), a condition that holds [C, 2C), or an effect
    [2C, 2C + F). A row (o, p) is operator o while condition i of it (in node order) holds exactly
    if bit i of p is set.

    Attributes:
        to_rows: edges from terms to rows, the hypergraph's relations. M = rows R.
        to_terms: edges from operators to terms. M = 2C + F.
        operator_of [R] int64, unmet [R] float32 (conditions that do not hold),
        expert_of [O] int64 (index into EXPERTS), term_node [2C + F] int64 (node of each term).
    """

    def __init__(self, hypergraph: Hypergraph):
        super().__init__()
        num_conditions, num_operators = hypergraph.num_conditions, hypergraph.num_operators
        requires = hypergraph.operator_conditions
        count = requires.sum(1)
        _check_size(hypergraph, count)
        sizes = 1 << count
        first_row = np.concatenate([[0], sizes.cumsum()[:-1]])
        operator_of = np.repeat(np.arange(num_operators), sizes)
        pattern = np.arange(sizes.sum()) - first_row[operator_of]
        # The place of each condition among its operator's conditions, −1 where it is none.
        place = np.where(requires, requires.cumsum(1) - 1, -1)
        holds = (pattern[:, None] >> place[operator_of].clip(0)) & 1

        edge_index, relation = hypergraph.edges()
        is_operator = hypergraph.node_type == NODE_OPERATOR
        up = is_operator[edge_index[1]]
        if (is_operator[edge_index[0]] == up).any():
            raise ValueError("an edge of the hypergraph joins no operator to a condition or effect")
        first_operator = int(is_operator.argmax())
        inside, outside = edge_index[:, up], edge_index[:, ~up]

        # Each edge term → operator appears in every row of the operator, from the state at hand.
        repeats = sizes[inside[1] - first_operator]
        edge = np.repeat(np.arange(inside.shape[1]), repeats)
        start = (repeats.cumsum() - repeats)[edge]
        operator = inside[1][edge] - first_operator
        row = first_row[operator] + np.arange(len(edge)) - start
        node = inside[0][edge]
        condition = node < num_conditions
        state = np.where(condition, holds[row, node.clip(max=num_conditions - 1)], 0)
        effect = node - num_operators + num_conditions  # effects follow both states of conditions
        source = np.where(condition, node + state * num_conditions, effect)
        num_terms = 2 * num_conditions + hypergraph.num_effects
        self.to_rows = _graph(source, row, num_terms, len(operator_of), relation[up][edge])

        sender = outside[0] - first_operator
        effect = outside[1] - num_operators + num_conditions
        is_condition = outside[1] < num_conditions
        targets = np.where(is_condition, outside[1], effect)
        again = outside[1][is_condition] + num_conditions
        self.to_terms = _graph(
            np.concatenate([sender, sender[is_condition]]),
            np.concatenate([targets, again]),
            num_operators,
            num_terms,
            np.concatenate([relation[~up], relation[~up][is_condition]]),
        )
        conditions = np.arange(num_conditions)
        effects = np.arange(num_conditions + num_operators, hypergraph.num_nodes)
        self._constant("term_node", np.concatenate([conditions, conditions, effects]))
        self._constant("operator_of", operator_of)
        self._constant("expert_of", hypergraph.operator_expert)
        self._constant("unmet", (count[operator_of] - np.bitwise_count(pattern)).astype(np.float32))
        self._constant("first_row", first_row.astype(np.float32))
        self._constant("place_value", np.where(requires, 2.0**place, 0).astype(np.float32))

    def _constant(self, name: str, value: np.ndarray) -> None:
        self.register_buffer(name, torch.from_numpy(value), persistent=False)

    def _apply(self, fn, *args, **kwargs):
        super()._apply(fn, *args, **kwargs)
        device = self.term_node.device
        self.to_rows, self.to_terms = self.to_rows.to(device), self.to_terms.to(device)
        return self

    @property
    def num_rows(self) -> int:
        """R."""
        return len(self.operator_of)

    def rows(self, active: Tensor) -> Tensor:
        """The row of every operator for samples ``active`` [B, C] bool → [B, O] int64.

        Row numbers stay below 2^24, so float32 products give them exactly.
        """
        active = active.to(self.place_value.dtype)
        return (self.first_row + active @ self.place_value.T).long()


def _check_size(hypergraph: Hypergraph, count: np.ndarray) -> None:
    if (2.0**count).sum() > MAX_ROWS:
        worst = hypergraph.operators[int(count.argmax())]
        raise HypergraphError(
            f"hypergraph {hypergraph.name!r}: operator {worst.name!r} has {count.max()} conditions; "
            f"the sum of 2^conditions over all operators may be at most {MAX_ROWS}: split it up"
        )


def _graph(
    source: np.ndarray, target: np.ndarray, sources: int, targets: int, relation: np.ndarray
) -> Graph:
    edge_index = torch.from_numpy(np.stack([source, target]))
    return Graph(edge_index, sources, targets, relation=torch.from_numpy(relation))
