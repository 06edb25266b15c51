"""graphflow.runtime; see docs/architecture.md."""

if not __name__.startswith("graphflow."):  # two copies of every class otherwise
    raise ImportError("import graphflow.runtime, not runtime")
