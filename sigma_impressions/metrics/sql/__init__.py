"""The queries of the metrics, one file each."""
