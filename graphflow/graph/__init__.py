"""Types, Variables, Apply nodes, Ops, source lines and errors."""
