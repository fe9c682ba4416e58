"""The documentation site: ``python -m sphinx -W -c docs . site``, from the top of the repository.

The pages lie where a reader of the repository finds them, so the source is the repository itself;
a link that leads nowhere ends the build.
"""

import tedg_fast

project = "tedg_fast"
version = release = tedg_fast.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = [
    "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/*", "bench/results/**.md",
    "csrc/cuda/README.md", "tedg_fast/hypergraph/README.md",
]  # fmt: skip
html_theme = "furo"
html_title = "tedg_fast"

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
suppress_warnings = ["myst.header"]  # a table's page may begin its sections at any depth

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
python_display_short_literal_types = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
