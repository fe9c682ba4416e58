import subprocess
import sys

_WITHOUT_NLE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("nle", "gymnasium"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Refuse())
import tedg_fast.nn, tedg_fast.ops
assert not [m for m in sys.modules if m.split(".")[0] in ("nle", "gymnasium")]
"""


def test_ops_and_nn_import_where_nle_is_not_installed():
    subprocess.run([sys.executable, "-c", _WITHOUT_NLE], check=True)
