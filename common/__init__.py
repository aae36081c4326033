"""The ground that every room stands on: standard library and numpy only."""
