"""What a new study's table leaves open, asked of the person: thousands or decimals, day or month, codes, spellings."""

from __future__ import annotations

import streamlit as st

from study.intake.guess import Look
from study.intake.questions import Question, answered, questions
from study.settings import Settings
from ui.elements import blocks
from ui.elements.escaping import labelled, plain

VALUES = "They are values"
CODES = "Missing values"


def ask(seen: Look, settings: Settings, turn: int) -> tuple[Settings, bool]:
    """The settings with the answers so far, and whether everything that must be answered is."""
    asked: set[tuple[str, str]] = set()
    complete = True
    # An answer may open the next question: only numbers that can be read show their codes.
    while left := [q for q in questions(seen.raw, settings) if (q.kind, q.column) not in asked]:
        if not asked:
            blocks.section("What the table leaves open")
            blocks.note("The values alone are ambiguous. Nothing is chosen for you.")
        for question in left:
            asked.add((question.kind, question.column))
            answers = _ask(question, turn)
            complete &= answers is not None
            settings = answered(settings, question, answers) if answers is not None else settings
    return settings, complete


def _ask(question: Question, turn: int) -> list[str] | None:
    """The answers to one question; None while there is none and there must be one."""
    key = f"cohort-ask-{question.kind}-{question.column}-{turn}"
    words = {answer: text for text, answer in question.choices}
    if question.kind == "spellings":
        merge = st.checkbox(plain(question.choices[0][0]), key=key, help=plain(question.sentence))
        return ["merge"] if merge else []
    if question.kind == "missing":
        left, right = st.columns([3, 2], gap="large", vertical_alignment="bottom")
        codes = left.multiselect(
            plain(question.sentence), list(words), default=list(words), key=key, format_func=labelled(words.get)
        )
        answer = right.radio("They are", (CODES, VALUES), index=None, key=f"{key}-confirm", horizontal=True)
        if answer is None:
            return None
        return codes if answer == CODES else []
    return _one(question, words, key)


def _one(question: Question, words: dict[str, str], key: str) -> list[str] | None:
    chosen = st.radio(
        plain(question.sentence), list(words), index=None, key=key, format_func=labelled(words.get), horizontal=True
    )
    return None if chosen is None else [chosen]
