"""Questions at a terminal, with `questionary`: an answer, or `KeyboardInterrupt` for Ctrl-C and Ctrl-D."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import questionary

_OTHER = "another one, by its URL"


def ask_text(asks: str, hint: str, default: str) -> str:
    """A text; the default stands there and can be edited."""
    return str(_answer(questionary.text(_line(asks, hint), default=default)))


def ask_secret(asks: str, hint: str, *, is_set: bool) -> str:
    """A text that is not shown; blank to keep the one that is set."""
    return str(_answer(questionary.password(_line(asks, "set; Enter keeps it" if is_set else hint))))


def choose(asks: str, titles: Mapping[str, str], default: str | None) -> str:
    """One of several answers, by its title; where there is no default the first one is offered."""
    choices = [questionary.Choice(title, value=value) for value, title in titles.items()]
    preset = default if default in titles else None
    question = questionary.select(_line(asks), choices, default=preset, instruction="(arrow keys, Enter)")
    return str(_answer(question))


def choose_or_write(asks: str, titles: Mapping[str, str], default: str) -> str:
    """One of several answers, or any other text, which is the default if it is none of them."""
    width = max(map(len, titles))
    offered = {value: f"{value:<{width}}  {title}" for value, title in titles.items()} | {_OTHER: _OTHER}
    chosen = choose(asks, offered, _OTHER if default and default not in titles else default)
    return ask_text(asks, "URL", default) if chosen == _OTHER else chosen


def confirm(asks: str) -> bool:
    """Whether it is wanted; Enter says yes."""
    return _answer(questionary.confirm(asks)) is True


def _line(asks: str, hint: str = "") -> str:
    sign = "" if asks.endswith("?") else ":"
    return f"{asks}{f' ({hint})' if hint else ''}{sign}"


def _answer(question: questionary.Question) -> Any:
    try:
        return question.unsafe_ask()
    except EOFError:
        raise KeyboardInterrupt from None
