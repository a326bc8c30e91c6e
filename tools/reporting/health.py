"""The report's section on health: what each sign means, whether it is fine in the run, and what to change."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from sagan_tf.training.health.signs import SIGNS, Sign

_HEAD = ("sign", "value", "healthy", "in this run", "meaning", "what to change")


def health_section(lines: Sequence[Mapping[str, Any]]) -> str:
    """Write the table of the signs; empty if no line of `metrics.jsonl` shows any.

    Args:
        lines: The lines of `metrics.jsonl`, see `report.read_lines`.
    """
    rows = [row for name, sign in SIGNS.items() if (row := _row(name, sign, lines))]
    if not rows:
        return ""
    table = [f"<tr>{''.join(f'<th>{text}</th>' for text in _HEAD)}</tr>"]
    table += [f"<tr>{''.join(f'<td>{html.escape(text)}</td>' for text in row)}</tr>" for row in rows]
    return f"<table>{''.join(table)}</table>"


def _row(name: str, sign: Sign, lines: Sequence[Mapping[str, Any]]) -> tuple[str, ...] | None:
    judged = [(line, verdict) for line in lines if (verdict := sign.judge(line)) is not None]
    if not judged:
        return None
    line, _ = judged[-1]
    healthy_steps = [index for index, (_, verdict) in enumerate(judged) if not verdict]
    first = healthy_steps[-1] + 1 if healthy_steps else 0
    is_unhealthy = len(judged) - first >= sign.patience
    found = f"unhealthy since step {judged[first][0]['step']:,}" if is_unhealthy else "fine"
    value = f"{sign.scalar} {line[sign.scalar]:.4g} at step {line['step']:,}"
    return name, value, sign.healthy, found, sign.meaning, sign.advice if is_unhealthy else "nothing"
