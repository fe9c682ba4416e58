"""tedg_fast: graph-guided mixture-of-experts agents for NetHack on fused native kernels.

Sub-packages are imported on their own, so that using the kernels needs no NetHack and reading a
hypergraph needs no torch: ``tedg_fast.ops`` (kernels), ``tedg_fast.nn`` (modules on them),
``tedg_fast.hypergraph``, ``tedg_fast.nethack``, ``tedg_fast.policy``, ``tedg_fast.runs``,
``tedg_fast.train``.
"""

__version__ = "0.1.0"


def load(run, **options):
    """The agent of a checkpoint or run folder; see ``tedg_fast.loading.load``."""
    from tedg_fast.loading import load as load_agent  # here: it needs torch and NetHack

    return load_agent(run, **options)
