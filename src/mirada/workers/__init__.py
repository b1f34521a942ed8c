"""Other processes and machines at the same work: executors, a Dask cluster, peers that share the cores."""
