"""Plotly figures of survival and risk: numbers in, `go.Figure` out. Colours come from the caller.

Every figure is drawn from a tidy table, which is also what its CSV holds.
"""
