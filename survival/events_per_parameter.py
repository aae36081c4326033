"""Ten events for each parameter of an unpenalised Cox regression. With fewer, coefficients are biased and their
intervals too narrow (Peduzzi, Concato, Feinstein, Holford, J Clin Epidemiol 1995;48:1503)."""

from __future__ import annotations

EVENTS_A_PARAMETER = 10


def enough_events(events: int, parameters: int) -> bool:
    """Whether a regression with so many parameters in all has ten events for each."""
    return events >= EVENTS_A_PARAMETER * parameters


def too_few_words(events: int, parameters: int) -> str:
    """'45 events for 11 parameters (4.1 each; at least 10 are needed)'."""
    return (
        f"{events} event{'s' * (events != 1)} for {parameters} parameter{'s' * (parameters != 1)} "
        f"({events / parameters:.1f} each; at least {EVENTS_A_PARAMETER} are needed)"
    )
