"""fastws beside its peers: `python -m benchmarks` prints the table, README.md says how."""
