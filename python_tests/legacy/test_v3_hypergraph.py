"""V3's hypergraph files: what is read, and one clear line for everything that is wrong."""

import pickle

import numpy as np
import pytest
from v3_files import CONDITIONS, rules, small_hypergraph, structure, write_hypergraph

from tedg_fast.legacy import LegacyError, V3Hypergraph, is_v3_hypergraph
from tedg_fast.legacy.hypergraph import RULES_FILE, STRUCTURE_FILE


def test_reads_nodes_edges_and_rules(tmp_path):
    hypergraph = small_hypergraph(tmp_path)
    conditions = np.flatnonzero(hypergraph.node_type == 0)
    assert tuple(hypergraph.labels[i] for i in conditions) == CONDITIONS
    assert hypergraph.operators.tolist() == [0, 7, 8, 9]
    assert hypergraph.edge_index.shape == (2, 9) and hypergraph.edge_type.max() == 2
    assert hypergraph.pre_nodes[1] == ("hp_full", "player_alive")
    assert is_v3_hypergraph(tmp_path) and not is_v3_hypergraph(tmp_path / RULES_FILE)


def test_digest_tells_contents_apart_and_survives_pickling(tmp_path):
    digest = small_hypergraph(tmp_path / "one").digest
    assert pickle.loads(pickle.dumps(small_hypergraph(tmp_path / "same"))).digest == digest
    other = structure()
    other["edges"].reverse()
    write_hypergraph(tmp_path / "other", other, rules())
    assert V3Hypergraph.load(tmp_path / "other").digest != digest


def changed(*path, to):
    """The small graph's two files with one value replaced."""
    files = {"structure": structure(), "rules": rules()}
    place = files
    for key in path[:-1]:
        place = place[key]
    if to is None:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return files


@pytest.mark.parametrize(
    ("path", "to", "words"),
    [
        (("structure",), [], r"the content is \[\]; expected an object"),
        (("structure", "nodes"), None, "has no 'nodes'"),
        (("structure", "nodes"), [], "nodes is .*not empty"),
        (("structure", "nodes", 1), 5, r"nodes\[1\] is 5"),
        (("structure", "nodes", 1, "id"), 2, r"nodes\[1\].id is 2; expected 1"),
        (("structure", "nodes", 1, "id"), True, r"nodes\[1\].id is true"),
        (("structure", "nodes", 1, "label"), [], r"nodes\[1\].label is \[\]"),
        (("structure", "nodes", 2, "label"), "player_alive", "no other node has"),
        (("structure", "nodes", 1, "type"), "goal", "one of condition, operator, effect"),
        (("structure", "edges", 3), [1, 2], r"edges\[3\] is \[1, 2\]"),
        (("structure", "edges", 3, 0), 99, "a node's id, 0 to 12"),
        (("structure", "edges", 3, 1), -1, "a node's id, 0 to 12"),
        (("structure", "edges", 3, 1), 1, "the id of a node of type operator"),
        (("structure", "edges", 3, 2), {}, "one of satisfies, context_of, leads_to"),
        (("rules", "hyperedges", 0), "x", r"hyperedges\[0\] is"),
        (("rules", "hyperedges", 0, "pre_nodes"), "x", "lists pre_nodes and scene_atoms"),
        (("rules", "hyperedges", 0, "pre_nodes", 0), "unheard_of", "the label of a condition"),
        (("rules", "hyperedges", 0, "scene_atoms", 0), 7, r"scene_atoms\[0\] is 7"),
    ],
)
def test_wrong_content_is_one_clear_line(tmp_path, path, to, words):
    write_hypergraph(tmp_path, **changed(*path, to=to))
    with pytest.raises(LegacyError, match=words) as error:
        V3Hypergraph.load(tmp_path)
    assert "\n" not in str(error.value)
    file = RULES_FILE if path[0] == "rules" else STRUCTURE_FILE
    assert str(tmp_path / file) in str(error.value)


def test_graph_without_operators(tmp_path):
    nodes = [{"id": 0, "label": "a", "type": "condition"}]
    write_hypergraph(tmp_path, {"nodes": nodes, "edges": [[0, 0, "satisfies"]]}, rules())
    with pytest.raises(LegacyError, match="no operator"):
        V3Hypergraph.load(tmp_path)


def test_missing_folder_missing_file_and_no_json(tmp_path):
    with pytest.raises(LegacyError, match="is no folder"):
        V3Hypergraph.load(tmp_path / "nowhere")
    write_hypergraph(tmp_path, structure(), rules())
    for name, content in ((STRUCTURE_FILE, b"\xff\xfe{"), (RULES_FILE, b'{"hyperedges": [')):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content)
        with pytest.raises(LegacyError, match=f"{name} is no JSON"):
            V3Hypergraph.load(tmp_path)
        (tmp_path / name).unlink()
        with pytest.raises(LegacyError, match=f"has no {name}"):
            V3Hypergraph.load(tmp_path)
        (tmp_path / name).write_bytes(whole)
