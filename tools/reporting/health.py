"""The report's section on health signs: their meaning, their state in the run, and advice."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from sagan_tf.training.health.signs import SIGNS, Sign

_HEAD = ("sign", "value", "healthy", "in this run", "meaning", "what to change")


def format_health_section(lines: Sequence[Mapping[str, Any]]) -> str:
    """Format the health signs of a run as an HTML table.

    Args:
        lines: The lines of `metrics.jsonl`, see `report.read_lines`.

    Returns:
        The table; empty if no line has a sign.
    """
    rows = [row for name, sign in SIGNS.items() if (row := _format_row(name, sign, lines))]
    if not rows:
        return ""
    table = [f"<tr>{''.join(f'<th>{text}</th>' for text in _HEAD)}</tr>"]
    table += [f"<tr>{''.join(f'<td>{html.escape(text)}</td>' for text in row)}</tr>" for row in rows]
    return f"<table>{''.join(table)}</table>"


def _format_row(name: str, sign: Sign, lines: Sequence[Mapping[str, Any]]) -> tuple[str, ...] | None:
    checks = [(line, is_shown) for line in lines if (is_shown := sign.check(line)) is not None]
    if not checks:
        return None
    line, _ = checks[-1]
    healthy = [index for index, (_, is_shown) in enumerate(checks) if not is_shown]
    first = healthy[-1] + 1 if healthy else 0
    is_unhealthy = len(checks) - first >= sign.patience
    state = f"unhealthy since step {checks[first][0]['step']:,}" if is_unhealthy else "fine"
    value = f"{sign.scalar} {line[sign.scalar]:.4g} at step {line['step']:,}"
    return name, value, sign.healthy, state, sign.meaning, sign.advice if is_unhealthy else "nothing"
