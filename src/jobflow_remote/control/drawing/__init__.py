"""Pictures: of reports, of the graph of a flow, of its timeline. Data in, shapes or text out."""
