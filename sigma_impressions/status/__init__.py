"""How the pipeline is doing, from what is stored and recorded: nothing is asked of the exports' bucket, or written."""
