"""The upstream Sigma integration's side: `sigma_resources`, its contract, and the ways to read it."""
