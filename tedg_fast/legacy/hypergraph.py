"""V3's hypergraph: a folder with two JSON files, as one validated, immutable object."""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tedg_fast.legacy.errors import LegacyError

STRUCTURE_FILE = "hypergraph_gat_structure.json"
RULES_FILE = "hypergraph_complete_real.json"

NODE_TYPES = ("condition", "operator", "effect")
EDGE_TYPES = {
    "satisfies": ("condition", "operator"),
    "context_of": ("condition", "operator"),
    "leads_to": ("operator", "effect"),
}
"""Name of each edge type, in the order of V3's numbers for them -> types of its two ends."""


@dataclass(frozen=True, eq=False)
class V3Hypergraph:
    """Nodes and edges of V3's graph, and the conditions of each of its hyperedges (rules).

    ``labels``: label of each of the N nodes; ``node_type`` int64 [N], index into ``NODE_TYPES``;
    ``edge_index`` int64 [2, E], row 0 source, row 1 target, duplicates as in the file;
    ``edge_type`` int64 [E], index into ``EDGE_TYPES``; ``pre_nodes`` and ``scene_atoms``: labels
    of the state and scene conditions of each hyperedge. ``digest``: sha256, hexadecimal, over all
    of these. ``files``: name and text of the two files.
    """

    name: str
    labels: tuple[str, ...]
    node_type: np.ndarray
    edge_index: np.ndarray
    edge_type: np.ndarray
    pre_nodes: tuple[tuple[str, ...], ...]
    scene_atoms: tuple[tuple[str, ...], ...]
    files: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: str | Path) -> "V3Hypergraph":
        """Read ``folder``, which holds V3's two hypergraph files.

        Raises LegacyError naming the file, the place in it and what was expected there.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise LegacyError(
                f"{folder} is no folder; a V3 hypergraph is a folder with {STRUCTURE_FILE} and "
                f"{RULES_FILE}"
            )
        structure = _File(folder / STRUCTURE_FILE)
        labels, node_type = _read_nodes(structure)
        edge_index, edge_type = _read_edges(structure, node_type)
        conditions = {label for label, kind in zip(labels, node_type) if kind == 0}
        rules = _File(folder / RULES_FILE)
        pre_nodes, scene_atoms = _read_rules(rules, conditions)
        files = {file.path.name: json.dumps(file.content) for file in (structure, rules)}
        return cls("V3", labels, node_type, edge_index, edge_type, pre_nodes, scene_atoms, files)

    @property
    def names_actions(self) -> bool:
        """V3's rules name none: nothing can be played by them without a network."""
        return False

    @property
    def num_nodes(self) -> int:
        return len(self.labels)

    @property
    def operators(self) -> np.ndarray:
        """Node numbers of the operators, int64 [O], ascending."""
        return np.flatnonzero(self.node_type == NODE_TYPES.index("operator"))

    @cached_property
    def digest(self) -> str:
        content = [
            list(self.labels),
            self.node_type.tolist(),
            self.edge_index.tolist(),
            self.edge_type.tolist(),
            self.pre_nodes,
            self.scene_atoms,
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def is_v3_hypergraph(path: str | Path) -> bool:
    """Whether ``path`` is meant as a V3 hypergraph: a folder with at least one of its files."""
    return any((Path(path) / name).is_file() for name in (STRUCTURE_FILE, RULES_FILE))


class _File:
    """A JSON file whose content is taken apart with errors that name the place."""

    def __init__(self, path: Path):
        self.path = path
        try:
            self.content = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise LegacyError(
                f"{path.parent} has no {path.name}; a V3 hypergraph is a folder with "
                f"{STRUCTURE_FILE} and {RULES_FILE}"
            ) from None
        except OSError as error:
            raise LegacyError(f"{path} cannot be read: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            raise LegacyError(f"{path} is no JSON, or it was cut short: {error}") from None
        if not isinstance(self.content, dict):
            raise self.error("the content", self.content, "an object")

    def error(self, place: str, value: Any, expected: str) -> LegacyError:
        shown = json.dumps(value)
        if len(shown) > 60:
            shown = f"{shown[:60]}…"
        return LegacyError(f"{self.path}: {place} is {shown}; expected {expected}")

    def list(self, key: str) -> list[Any]:
        """The non-empty list at ``key``."""
        if key not in self.content:
            raise LegacyError(f"{self.path} has no {key!r}; expected a list of them")
        value = self.content[key]
        if not isinstance(value, list) or not value:
            raise self.error(key, value, "a list that is not empty")
        return value


def _read_nodes(file: _File) -> tuple[tuple[str, ...], np.ndarray]:
    labels: dict[str, int] = {}
    kinds = []
    for number, node in enumerate(file.list("nodes")):
        place = f"nodes[{number}]"
        if not isinstance(node, dict) or not {"id", "label", "type"} <= node.keys():
            raise file.error(place, node, "an object with id, label and type")
        if type(node["id"]) is not int or node["id"] != number:
            raise file.error(f"{place}.id", node["id"], f"{number}, its place in the list")
        label = node["label"]
        if not isinstance(label, str) or label in labels:
            raise file.error(f"{place}.label", label, "a string that no other node has")
        if node["type"] not in NODE_TYPES:
            raise file.error(f"{place}.type", node["type"], f"one of {', '.join(NODE_TYPES)}")
        labels[label] = number
        kinds.append(NODE_TYPES.index(node["type"]))
    for kind, name in enumerate(NODE_TYPES[:2]):
        if kind not in kinds:
            raise LegacyError(f"{file.path}: nodes has no {name}; expected at least one")
    return tuple(labels), np.array(kinds, np.int64)


def _read_edges(file: _File, node_type: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edge index [2, E] and edge types [E], both int64."""
    ends, kinds = [], []
    names = list(EDGE_TYPES)
    for number, edge in enumerate(file.list("edges")):
        place = f"edges[{number}]"
        if not isinstance(edge, list) or len(edge) != 3:
            raise file.error(place, edge, "[source, target, type]")
        *pair, name = edge
        if name not in names:
            raise file.error(f"{place}[2]", name, f"one of {', '.join(names)}")
        for end, node in enumerate(pair):
            if type(node) is not int or not 0 <= node < len(node_type):
                raise file.error(f"{place}[{end}]", node, f"a node's id, 0 to {len(node_type) - 1}")
            kind = NODE_TYPES[node_type[node]]
            if kind != EDGE_TYPES[name][end]:
                raise file.error(
                    f"{place}[{end}]", node, f"the id of a node of type {EDGE_TYPES[name][end]}"
                )
        ends.append(pair)
        kinds.append(names.index(name))
    return np.array(ends, np.int64).T.copy(), np.array(kinds, np.int64)


def _read_rules(file: _File, conditions: set[str]) -> tuple[tuple[tuple[str, ...], ...], ...]:
    """``pre_nodes`` and ``scene_atoms`` of each hyperedge."""
    lists: dict[str, list[tuple[str, ...]]] = {"pre_nodes": [], "scene_atoms": []}
    for number, rule in enumerate(file.list("hyperedges")):
        for key, read in lists.items():
            place = f"hyperedges[{number}]"
            if not isinstance(rule, dict) or not isinstance(rule.get(key), list):
                raise file.error(place, rule, "an object with the lists pre_nodes and scene_atoms")
            for index, label in enumerate(rule[key]):
                if not isinstance(label, str) or label not in conditions:
                    raise file.error(
                        f"{place}.{key}[{index}]",
                        label,
                        f"the label of a condition node of {STRUCTURE_FILE}",
                    )
            read.append(tuple(rule[key]))
    return tuple(tuple(read) for read in lists.values())
