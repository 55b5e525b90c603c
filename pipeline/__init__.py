"""The Dagster code location: what is built, from what, when. `definitions` is where it comes together."""
