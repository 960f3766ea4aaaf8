"""Whether a run would work: the steps of `sigma-impressions check` and of the job `test_source`."""
